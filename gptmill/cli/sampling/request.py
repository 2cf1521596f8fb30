"""What ``gptmill sample`` is asked for: defaults, nanoGPT's defaults, config files and flags become one checked Request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gptmill.config.aliases import RENAMED
from gptmill.config.files import read_config
from gptmill.config.layers import ENTRANCE, Layer, Setting
from gptmill.config.names import KNOWN
from gptmill.config.rules.names import names_model
from gptmill.config.schema import Count, Dtype, Natural, NonNegative, Positive
from gptmill.config.wording import blame, config_error, nearest, one_line


class Request(BaseModel):
    """Every setting of a sampling; a description is what the value must be. Names are nanoGPT's.

    Args:
        out_dir: the run folder; None = the newest one here.
        start: prompts, each a text or FILE:PATH; an empty one is the start of a document.
        top_k: None = off, as top_p.
        stop: a sample ends with the tokenizer's end of text, where it has one.
    """

    model_config = ConfigDict(frozen=True)

    init_from: str = Field("resume", description="resume or the name of a model")
    out_dir: str | None = Field(None, description="the name of a run folder")
    start: tuple[str, ...] = Field(("",), description="text, or FILE:PATH")
    num_samples: Count = Field(1, description="a whole number, at least 1")
    max_new_tokens: Natural = Field(200, description="a whole number, at least 0")
    temperature: NonNegative = Field(0.8, description="a number, at least 0")
    top_k: Count | None = Field(200, description="a whole number, at least 1, or None")
    top_p: Annotated[float, Field(gt=0, le=1)] | None = Field(None, description="a number above 0, at most 1, or None")
    repetition_penalty: Positive = Field(1.0, description="a number above 0; 1 = off")
    stop: bool = Field(True, description="True or False")
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(1337, description="a whole number from 0 to 2^63 - 1")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:N or mps")
    dtype: Dtype = Field("auto", description="one of auto, float32, bfloat16, float16")
    compile: bool | Literal["auto"] = Field("auto", description="True or False")


NANOGPT: Mapping[str, object] = {  # where its defaults differ
    "num_samples": 10,
    "max_new_tokens": 500,
    "start": "\n",
    "stop": False,
}
ALSO = {"prompt": "start", "run": "out_dir"}
KEYS = frozenset(Request.model_fields)


@dataclass(frozen=True)
class Asked:
    """A valid Request, and which of its settings came from a flag: what a flag names must be there.

    Args:
        model: one that init_from names, in place of a run.
    """

    request: Request
    flags: frozenset[str]
    model: str | None = None


def settle(flags: Mapping[str, object], configs: Sequence[str], *, nanogpt: bool) -> Asked:
    """Merge defaults < nanoGPT's defaults < config files in order < flags.

    Args:
        flags: value by name, only those that were given; values as typed.
        configs: config files as ``read_config`` finds them. What only training understands in them is passed over.

    Raises:
        ConfigError: everything wrong in files and flags, one line each.
    """
    problems: list[str] = []
    chosen: Layer = {key: Setting(value, ENTRANCE) for key, value in NANOGPT.items()} if nanogpt else {}
    for name in configs:
        chosen |= _read(name, problems)
    chosen |= {ALSO.get(name, name): Setting(value, f"--{name}") for name, value in flags.items()}
    request = _validated(chosen, problems)
    model = _model(request.init_from, chosen, problems)
    if problems:
        raise config_error(problems)
    return Asked(request, frozenset(key for key, setting in chosen.items() if setting.from_flag), model)


def _read(name: str, problems: list[str]) -> Layer:
    """The settings of one config file that sampling understands."""
    reading = read_config(name, KNOWN | KEYS | ALSO.keys())
    missing = not reading.layer and any("no such config file" in problem for problem in reading.problems)
    hint = "; a prompt is given as --prompt TEXT" if missing else ""
    problems += [problem + hint for problem in reading.problems]
    found: Layer = {}
    for word, setting in reading.layer.items():
        key = word if word in KEYS else ALSO.get(word) or RENAMED.get(word, word)  # top_k is training's for another key
        if key in KEYS:
            found[key] = setting
        elif word not in KNOWN:
            problems.append(f"{setting.origin}: {one_line(word)}: unknown key{nearest(word, KEYS | KNOWN)}")
    return found


def _validated(chosen: Layer, problems: list[str]) -> Request:
    """A Request of the values that can be used; each of the others becomes a problem."""
    values = {key: _plain(key, setting.value) for key, setting in chosen.items()}
    wrong = [key for key, value in values.items() if isinstance(value, bool) and key not in ("compile", "stop")]
    good = {key: value for key, value in values.items() if key not in wrong}
    try:
        return Request.model_validate(good)
    except ValidationError as error:
        wrong += [str(e["loc"][0]) for e in error.errors(include_url=False, include_input=False)]
        return Request.model_validate({key: value for key, value in good.items() if key not in wrong})
    finally:
        for key in dict.fromkeys(wrong):
            must = f"must be {Request.model_fields[key].description}"
            problems.append(f"{blame(chosen[key].origin, key, chosen[key].value)}: {must}")


def _plain(key: str, value: object) -> object:
    if key == "start":
        return value if isinstance(value, list) else [value]
    return None if value == "None" else value


def _model(init_from: str, chosen: Layer, problems: list[str]) -> str | None:
    """The model to load in place of a run. A training config's init_from says how training began, so its run decides."""
    setting = chosen.get("init_from")
    if setting is None or init_from == "resume" or not (setting.from_flag or "out_dir" not in chosen):
        return None
    if not names_model(init_from):
        if setting.from_flag:
            says = "must be resume, gpt2, gpt2-medium, gpt2-large, gpt2-xl, the folder of a model, or OWNER/NAME on the Hub"
            problems.append(f"{blame(setting.origin, 'init_from', init_from)}: {says}")
        return None
    if (run := chosen.get("out_dir")) is not None and run.from_flag:
        problems.append(f"{setting.origin} and {run.origin}: two models to write with; leave one out")
    return init_from
