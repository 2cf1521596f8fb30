"""Valid settings drawn from the schema itself, as pydantic describes it in JSON: every key, type, bound and choice.

What JSON schema cannot say (the syntax of some texts, rules over several keys) is stated here once more, by hand, so
that the tests do not ask the code under test what it accepts.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from gptmill.config.resolve import EXCLUSIVE
from gptmill.config.rules.limits import LARGEST
from gptmill.config.schema import Config

SCHEMA: dict[str, dict[str, Any]] = Config.model_json_schema()["properties"]
DEFAULTS = {key: described["default"] for key, described in SCHEMA.items()}
PRESETS = {
    path.stem: yaml.safe_load(path.read_text())
    for path in sorted((Path(__file__).parents[3] / "gptmill/config/presets").iterdir())
}
GROUP_OF = {key: group for group in EXCLUSIVE for key in group}
RELATED = (  # by a rule: whoever sets one of these has to know the others
    {"n_head", "n_kv_head", "n_embd", "position_encoding", "preset"},
    {"learning_rate", "min_lr", "decay_lr", "schedule"},
    {"device", "dtype"},
    {"pruning_method", "strategy", "optimizer"},
)
NO_TEXT = ("None", "null", "Null", "NULL", "~")  # as a whole word these mean "nothing was said"

folder_names = st.text("abcdefghijklmnopqrstuvwxyzABC0123456789_.é漢", min_size=1, max_size=12).filter(
    lambda name: name.strip(".") != ""
)
texts = st.one_of(
    folder_names,
    st.builds("{}/{}".format, folder_names, folder_names),
    st.text(st.characters(categories=["L", "N", "P", "S"], include_characters=" "), min_size=1, max_size=20),
    st.sampled_from(
        ["on", "off", "True", "1e3", "12:30", "a: b", "#a", "a=b", "{}", "*a", "&a", "!a", "-x", "- x", "%"]
    ),
).filter(lambda t: t.isprintable() and t.strip() != "" and t not in NO_TEXT and t[0] not in "~'\"")
folders = texts | st.sampled_from(["~", "~/runs", "~no one/x", "./~"])
SYNTAX: dict[str, st.SearchStrategy[str]] = {
    "preset": st.lists(st.sampled_from(list(PRESETS)), min_size=1, max_size=3, unique=True).map(",".join),
    "device": st.sampled_from(["auto", "cpu", "cuda", "mps"]) | st.integers(0, 9999).map("cuda:{}".format),
    "init_from": st.sampled_from(["scratch", "resume"]),  # a model decides keys itself: tests/interop
    "freeze": st.lists(st.sampled_from(["wte", "blocks.0", "blocks.[0-9].*", "norm_f"]), min_size=1, max_size=3).map(
        ",".join
    ),
    "tokenizer": st.sampled_from(["char", "byte", "gpt2"]) | st.integers(257, 65536).map("bpe-{}".format),
    "dataset": folder_names | st.builds("{}/{} + b-c".format, folder_names, folder_names) | st.just("null"),
}


def arms(key: str) -> list[dict[str, Any]]:
    """The types a key accepts besides None, in JSON schema's words."""
    return [arm for arm in SCHEMA[key].get("anyOf", [SCHEMA[key]]) if arm["type"] != "null"]


def kinds(key: str) -> set[str]:
    """Of 'boolean', 'integer', 'number', 'string' and 'choice'."""
    return {"choice" if "const" in arm or "enum" in arm else str(arm["type"]) for arm in arms(key)}


def choices(key: str) -> list[str]:
    return [word for arm in arms(key) for word in arm.get("enum", [arm["const"]] if "const" in arm else [])]


def least(key: str) -> float | None:
    """The smallest value in range, or the value just below the range when the bound itself is excluded."""
    return next((arm.get("minimum", arm.get("exclusiveMinimum")) for arm in arms(key) if "enum" not in arm), None)


def most(key: str) -> float | None:
    return next((arm.get("maximum", arm.get("exclusiveMaximum")) for arm in arms(key) if "enum" not in arm), None)


def values(key: str) -> st.SearchStrategy[Any]:
    """Values that the key alone allows."""
    if key in SYNTAX:
        return SYNTAX[key]
    words = [st.sampled_from(choices(key))] if choices(key) else []
    return st.one_of([*(_of(arm, key) for arm in arms(key) if arm["type"] != "string" or key in TEXTS), *words])


def _of(arm: dict[str, Any], key: str) -> st.SearchStrategy[Any]:
    if arm["type"] == "boolean":
        return st.booleans()
    if arm["type"] == "integer":
        low = arm["minimum"]
        return st.integers(low, min(low + 70, LARGEST[key])) | st.integers(low, LARGEST[key])
    if arm["type"] == "number":
        high = arm.get("maximum", arm.get("exclusiveMaximum", LARGEST.get(key)))
        return st.floats(
            arm.get("minimum", arm.get("exclusiveMinimum")),
            high,
            exclude_min="exclusiveMinimum" in arm,
            exclude_max="exclusiveMaximum" in arm,
            allow_nan=False,
            allow_infinity=False,
        )
    return folders


TEXTS = [key for key in SCHEMA if "string" in kinds(key) and key not in SYNTAX]


def below(wish: dict[str, Any]) -> dict[str, tuple[Any, str]]:
    """Value and origin of every key that the wish leaves to the defaults and to the presets it names."""
    found = {key: (value, "default") for key, value in DEFAULTS.items()}
    for name in (wish.get("preset") or "").split(","):
        found |= {key: (value, f"preset {name.strip()}") for key, value in PRESETS.get(name.strip(), {}).items()}
    return found


def merged(wish: dict[str, Any]) -> dict[str, Any]:
    """Every key's final value: what the wish says; None means the default again, whatever a preset says."""
    said = {key: DEFAULTS[key] if value is None else value for key, value in wish.items()}
    for key in {"data_dir", "out_dir", "checkpoint_file"} & {key for key, value in said.items() if value is not None}:
        said[key] = re.sub(r"^~(?=/|$)", os.environ["HOME"], said[key])
    return {key: value for key, (value, _) in below(wish).items()} | said


@st.composite
def wishes(
    draw: st.DrawFn, must: dict[str, Any] | None = None, without: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """A few keys with values that work together.

    Args:
        must: settings that have to be among them.
        without: keys that must not, nor those related to them.
    """
    wish = dict(must or {})
    banned = (
        set(without).union(*(keys for keys in RELATED if keys & without))
        | {mate for key in [*wish, *without] for mate in GROUP_OF.get(key, ())}
        | set(wish)
    )
    for key in draw(st.lists(st.sampled_from(list(SCHEMA)), max_size=8, unique=True)):
        if key not in banned:
            nothing = key != "preset" and draw(st.integers(0, 9)) == 0
            wish[key] = None if nothing else draw(values(key))
            banned |= set(GROUP_OF.get(key, (key,)))
    return _consistent(draw, wish, frozenset(must or ()), without)


# A value that every other key can be with.
PLAIN: dict[str, Any] = {
    "pruning_method": "none", "optimizer": "adamw", "strategy": "ddp", "adamwprune_base_optimizer_name": "adamw",
    "generate_interval": 0, "dtype": "bfloat16", "beta1": 0.9,
}  # fmt: skip


def _consistent(draw: st.DrawFn, wish: dict[str, Any], must: frozenset[str], without: frozenset[str]) -> dict[str, Any]:
    """The wish, with the least change that the rules over several keys ask for; what must be in it stays as it is."""
    c = merged(wish)
    odd = c["position_encoding"] == "rope" and c["n_embd"] // c["n_head"] % 2
    if c["n_embd"] % c["n_head"] or odd:
        wish["n_embd"] = c["n_head"] * 2 * draw(st.integers(1, LARGEST["n_embd"] // c["n_head"] // 2))
    if c["n_kv_head"] and c["n_head"] % c["n_kv_head"]:
        divisors = [n for n in range(1, min(c["n_head"], 200) + 1) if c["n_head"] % n == 0]
        wish["n_kv_head"] = draw(st.sampled_from(divisors))
    if c["min_lr"] is not None and c["min_lr"] > c["learning_rate"]:
        wish["learning_rate"] = c["min_lr"] + draw(st.floats(0, 1))
    if c["device"] == "cpu" and c["dtype"] == "float16":
        wish["dtype"] = "bfloat16"

    def keep_apart(one: str, *others: str) -> None:
        c = merged(wish)
        for key in others if one in must else [one]:
            if c[key] != PLAIN[key]:
                wish[key] = PLAIN[key]

    whole = ("pruning_method", "optimizer", "adamwprune_base_optimizer_name", "generate_interval", "dtype")
    if c["strategy"] in ("zero1", "fsdp"):  # nothing of a device's own is needed, or no such strategy
        keep_apart("strategy", *whole)
    if c["pruning_method"] != "none" and not c["optimizer"].startswith("adam"):
        keep_apart("optimizer", "pruning_method")
    if c["optimizer"] == "schedule_free_adamw" and c["beta1"] == 0:
        keep_apart("beta1", "optimizer")
    assert not without & set(wish)
    return wish
