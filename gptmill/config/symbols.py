"""Kconfig symbols for our keys: those the schema implies, and other systems' names for them.

A symbol is a name that people know (a key or one of its other names) in capitals, with or without the prefix GPT2_;
one value of a key that has a list of them (NORMALIZATION_RMSNORM); or in a table below.
"""

from __future__ import annotations

from typing import get_args

from gptmill.config.aliases import MODEL_NAMES
from gptmill.config.coerce import choices, is_switch
from gptmill.config.files import packaged
from gptmill.config.names import KNOWN
from gptmill.config.schema import AdamBase, Config

OPTIMIZERS = ("sgd", "adam", "adamw", "adamwadv", "adamwspam", "adamwprune")
BASES = get_args(AdamBase)
PRUNING = ("none", "magnitude", "movement", "state")
SPARSITIES = (50, 70, 90, 95, 99)
DATASETS = {"SHAKESPEARE": "shakespeare", "FINEWEBEDU": "fineweb-edu", "OPENWEBTEXT": "openwebtext", "CUSTOM": "custom"}

RENAMED: dict[str, str] = {
    "GPT2_MODEL_NAME": "model_name",
    "GPT2_DATASET_NAME": "dataset",
    "GPT2_GENERATION_TEMPERATURE": "temperature",
    "GPT2_GENERATION_TOP_K": "generate_top_k",
    "GPT2_GENERATION_MAX_TOKENS": "generate_max_length",
    "PRUNING_FREQUENCY": "pruning_interval",
    "ADAMWPRUNE_TARGET_SPARSITY": "target_sparsity",
    "ADAMWPRUNE_WARMUP_STEPS": "pruning_warmup",
    "ADAMWPRUNE_FREQUENCY": "pruning_interval",
}

# A symbol that is y for one value of a key: symbol -> (key, value).
ONE_OF: dict[str, tuple[str, str]] = {
    "GPT2_MODEL_124M": ("preset", MODEL_NAMES["gpt2"]),
    "GPT2_MODEL_350M": ("preset", MODEL_NAMES["gpt2-medium"]),
    "GPT2_MODEL_774M": ("preset", MODEL_NAMES["gpt2-large"]),
    "GPT2_MODEL_1558M": ("preset", MODEL_NAMES["gpt2-xl"]),
    "PRUNING_MODE_NONE": ("pruning_method", "none"),
    **{f"GPT2_DATASET_{symbol}": ("dataset", name) for symbol, name in DATASETS.items()},
    **{f"OPTIMIZER_SELECT_{name.upper()}": ("optimizer", name) for name in OPTIMIZERS},
    **{f"PRUNING_SELECT_{name.upper()}": ("pruning_method", name) for name in PRUNING},
    **{f"ADAMWPRUNE_BASE_{name.upper()}": ("adamwprune_base_optimizer_name", name) for name in BASES},
}

# A symbol whose y and n are two values of a key: symbol -> (key, value of y, value of n).
SWITCHES: dict[str, tuple[str, str, str]] = {"MIXED_PRECISION": ("dtype", "auto", "float32")}

# Symbols that ask for many runs at once; y of any makes the file one of `gptmill matrix`.
MATRIX = ("OPTIMIZER_MODE_MULTIPLE", "PRUNING_MODE_MULTIPLE", "MODEL_MODE_MULTIPLE", "TEST_MATRIX_MODE")

# What the matrix would vary, and how it would be run: nothing to a single training.
OF_A_MATRIX = frozenset(
    [
        *(f"OPTIMIZER_ENABLE{d}_{name.upper()}" for d in ("", "D") for name in OPTIMIZERS),
        *(f"TEST_OPTIMIZER_ENABLED_{name.upper()}" for name in OPTIMIZERS),
        *(f"PRUNING_ENABLE{d}_{name.upper()}" for d in ("", "D") for name in PRUNING),
        *(f"TEST_PRUNING_{name.upper()}" for name in (*PRUNING, "methods")),
        *(f"{kind}_{percent}" for kind in ("SPARSITY_ENABLE", "TEST_SPARSITY") for percent in SPARSITIES),
        *("AUTO_GENERATE_GRAPHS", "PARALLEL_JOBS", "PARALLEL_BATCH_SIZE", "MAX_GPU_MEMORY_PERCENT"),
        *("TEST_MODELS", "TEST_RESULTS_DIR", "OPTIMIZER_DEFAULT", "PRUNING_DEFAULT", "PRUNING_COUNT"),
        *("ADAMWPRUNE_ENABLE_PRUNING", "ADAMWPRUNE_PRUNING_METHOD", "ADAMWPRUNE_RAMP_END_EPOCH"),
        "PRUNING_RAMP_END_EPOCH",
    ]
)

# Symbols that ask for what is so anyway, or that nothing here would read: symbol -> why.
GIVEN = "a run trains one GPT"
KEPT = "checkpoints are always kept"
NO_EFFECT: dict[str, str] = {
    **dict.fromkeys(("MODEL_MODE_SINGLE", "MODEL_SELECT_GPT2", "MODEL_GPT2", "MODEL"), GIVEN),
    **dict.fromkeys(("PRESET_NO_ARCHITECTURE", "PRESET_NO_SIZE"), GIVEN),
    **dict.fromkeys(("OPTIMIZER_MODE_SINGLE", "OPTIMIZER_MODE_NONE", "PRUNING_MODE_SINGLE"), GIVEN),
    **dict.fromkeys(("SAVE_CHECKPOINT", "CHECKPOINT_INTERVAL"), KEPT),
    **dict.fromkeys(("DEBUG", "VERBOSE", "LOG_LEVEL", "PROFILE", "GPU_MONITOR"), "metrics.jsonl records every step"),
}
SAID_NOT = (GIVEN,)  # true of every file: not worth a line


def choice_symbols() -> dict[str, tuple[str, str]]:
    """One symbol for each value of the keys that have a list of values, and for each preset."""
    found = {}
    for key in Config.model_fields:
        words = list(choices(key))
        if words and is_switch(key):  # compile: auto, True or False
            words += ["True", "False"]
        found.update({f"{key}_{word}".upper(): (key, word) for word in words})
    names = [preset.source.name.removesuffix(".yaml") for preset in packaged("config/presets")]
    return found | {f"PRESET_{name}".upper().replace("-", "_"): ("preset", name) for name in names}


def name_of(symbol: str) -> str | None:
    """The key, or a name of it, that a symbol with a value of its own stands for."""
    if symbol in RENAMED:
        return RENAMED[symbol]
    for name in (symbol.lower(), symbol.removeprefix("GPT2_").lower()):
        if name in KNOWN and symbol.isupper():
            return name
    return None


def all_symbols() -> list[str]:
    """Every symbol that can be written, for "did you mean"."""
    tables = (RENAMED, ONE_OF, SWITCHES, MATRIX, OF_A_MATRIX, NO_EFFECT, choice_symbols())
    return sorted({symbol for table in tables for symbol in table} | {name.upper() for name in KNOWN})
