"""Layers -> one Config, and where every value came from. Every problem of every layer is reported at once."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from gptmill.config.coerce import expects
from gptmill.config.files import packaged, read_found
from gptmill.config.layers import DEFAULT, Layer, Parts, Setting
from gptmill.config.names import KNOWN
from gptmill.config.own import OwnConfig
from gptmill.config.rules import broken_rules
from gptmill.config.schema import Config
from gptmill.config.translate import Translation
from gptmill.config.wording import blame, config_error, nearest, show

# At most one of each group decides; the first is the one with a default.
EXCLUSIVE: tuple[tuple[str, ...], ...] = (
    ("max_iters", "epochs", "max_tokens"),
    ("min_lr", "min_lr_ratio"),
    ("gradient_accumulation_steps", "effective_batch_size"),
)


@dataclass(frozen=True)
class Resolved:
    """A valid Config.

    Args:
        origins: for every key, where its value was set: ``--lr``, ``config/train.py:12``, ``preset llama``,
            ``entrance``, ``default``, ``run out: --lr`` (restored), or ``not used: epochs decides``.
        notices: sentences for a person, said once at the start.
        own: of a run that is to be continued, what it recorded.
        weights: the model that a run begins with, as init_from names it; None = its weights are drawn at random.
    """

    config: Config
    origins: dict[str, str]
    notices: tuple[str, ...]
    own: OwnConfig | None = None
    weights: str | None = None

    def first_origins(self) -> dict[str, str]:
        """Where each value was set when it was set first: what a run keeps on record, however often it is resumed."""
        restored = f"run {self.own.run}: " if self.own else ""
        return {key: origin.removeprefix(restored) for key, origin in self.origins.items()}


def resolve(
    layers: list[Layer], entrance: Layer | None = None, problems: list[str] | None = None, parts: Parts | None = None
) -> Resolved:
    """Merge layers: schema defaults < entrance < presets < ``layers`` in ascending rank.

    In a group where only one key may decide (max_iters, epochs, max_tokens), the highest layer that sets one wins and
    the others fall back to their defaults, so a non-None epochs or max_tokens is what rules the length. None resets
    a key: whatever lower layers said about it is forgotten.

    Args:
        problems: what went wrong while reading the layers; rules over several keys are then not checked, since
            half of what they compare is missing.
        parts: names of imported parts, by the key that chooses among them.

    Raises:
        ConfigError: all problems, each ``origin: key=value: reason; what to try``.
    """
    translation = Translation(parts or {})
    found = list(problems or [])
    ranked = [translation.layer(layer, layers[above:]) for above, layer in enumerate([entrance or {}, *layers])]
    ranked.insert(1, _preset_layer(ranked, translation))
    reset = _apply_resets(ranked)
    not_used = _choose_in_groups(ranked, translation)
    _let_numbers_end_the_choosing(ranked)
    chosen: Layer = {}
    for layer in ranked:
        chosen.update(layer)
    values = {key: s.value for key, s in chosen.items() if key not in translation.bad}
    config, out_of_range = _validated(values, chosen, translation)
    found += translation.problems + out_of_range
    for broken in broken_rules(config):
        whole = not problems or len(broken.keys) == 1
        if whole and not translation.bad & set(broken.keys):
            found.append(f"{_where(broken.keys, chosen)}: {broken.says}")
    if found:
        raise config_error(found)
    origins = {key: chosen[key].origin if key in chosen else DEFAULT for key in Config.model_fields}
    origins |= {key: f"{DEFAULT}, reset by {origin}" for key, origin in reset.items() if key not in chosen}
    return Resolved(config, origins | not_used, translation.all_notices())


def _preset_layer(ranked: list[Layer], translation: Translation) -> Layer:
    """The settings of all presets that any layer names, lower layers first; of several, the later wins.

    An architecture sets all parts and a size all sizes, so a flag's ``--preset=tiny`` shrinks a config file's llama,
    and ``--preset=gpt2`` replaces it.
    """
    files = {found.source.name.removesuffix(".yaml"): found for found in packaged("config/presets")}
    merged: Layer = {}
    names: list[str] = []
    for wanted in [layer["preset"] for layer in ranked if "preset" in layer]:
        if not wanted.value:  # --preset= and None forget those of lower layers
            merged, names = {}, []
        for name in (word.strip() for word in str(wanted.value or "").split(",") if word):
            if name in files:
                written = read_found(files[name], KNOWN).layer
                merged.update({key: Setting(s.value, f"preset {name}") for key, s in written.items()})
                names.append(name)
                if wanted.from_flag:
                    translation.notices += _outranked(name, translation.layer(written), ranked[1:])
            else:
                says = f"unknown; one of {', '.join(files)}{nearest(name, files)}"
                translation.problems.append(f"{blame(wanted.origin, 'preset', name)}: {says}")
    for layer in ranked:
        if layer.get("preset", Setting(None, "")).value:
            layer["preset"] = Setting(",".join(dict.fromkeys(names)), layer["preset"].origin)
    return translation.layer(merged)


def _outranked(preset: str, written: Layer, files: list[Layer]) -> list[str]:
    """A sentence about what a preset named by a flag cannot change, because a config file says otherwise."""
    kept: dict[str, list[str]] = {}
    for key, setting in written.items():
        highest = next((layer[key] for layer in reversed(files) if key in layer), None)
        if highest is not None and not highest.from_flag and highest.value != setting.value:
            kept.setdefault(highest.origin.rpartition(":")[0], []).append(key)
    return [
        f"--preset={preset}: {', '.join(keys)} as {place} has it, which beats a preset; flags beat it"
        for place, keys in kept.items()
    ]


def _apply_resets(ranked: list[Layer]) -> dict[str, str]:
    """Drop what an explicit None forgets; return {key: origin of the None}."""
    reset: dict[str, str] = {}
    for rank, layer in enumerate(ranked):
        for key in [key for key, setting in layer.items() if setting.value is None]:
            reset[key] = layer[key].origin
            for lower in ranked[: rank + 1]:
                lower.pop(key, None)
    return reset


def _choose_in_groups(ranked: list[Layer], translation: Translation) -> dict[str, str]:
    """Leave one key of each exclusive group; return {loser that still has a default: why it is not used}."""
    not_used: dict[str, str] = {}
    for group in EXCLUSIVE:
        highest = next((layer for layer in reversed(ranked) if any(key in layer for key in group)), {})
        here = [key for key in group if key in highest]
        if _says_the_same(here, highest):
            here = here[1:]
        if len(here) > 1:
            places = " and ".join(f"{highest[key].origin} ({key}={show(highest[key].value)})" for key in here)
            translation.problems.append(f"{places}: only one of {', '.join(here)} can decide; leave one out")
            translation.bad.update(here)
        elif here:
            losers = [key for key in group if key != here[0]]
            for layer in ranked:
                for key in losers:
                    layer.pop(key, None)
            if Config.model_fields[losers[0]].default is not None and losers[0] == group[0]:
                not_used[group[0]] = f"not used: {here[0]} decides"
    return not_used


def _let_numbers_end_the_choosing(ranked: list[Layer]) -> None:
    """A batch_size in a higher layer is meant, whatever a lower one said about choosing it."""
    for rank, layer in enumerate(ranked):
        if "batch_size" in layer and "auto_batch_size" not in layer:
            for lower in ranked[:rank]:
                lower.pop("auto_batch_size", None)


def _says_the_same(keys: list[str], layer: Layer) -> bool:
    """A layer that spells out batch_size x gradient_accumulation_steps = effective_batch_size contradicts nothing."""
    sizes = [layer[key].value for key in ("batch_size", *keys) if key in layer]
    match sizes:
        case [int() as batch_size, int() as accumulation, int() as wanted]:
            return "effective_batch_size" in keys and batch_size * accumulation == wanted
    return False


def _validated(values: dict[str, object], chosen: Layer, translation: Translation) -> tuple[Config, list[str]]:
    """A Config of the values in range, and a problem for each that is not."""
    imported = {key: value for key, value in values.items() if value in translation.parts.get(key, ())}
    values = {key: value for key, value in values.items() if key not in imported}
    try:
        return Config.model_validate(values).model_copy(update=imported), []
    except ValidationError as error:
        wrong = [str(e["loc"][0]) for e in error.errors(include_url=False, include_input=False)]
    wrong = list(dict.fromkeys(wrong))
    translation.bad.update(wrong)
    problems = [
        f"{blame(chosen[key].origin, key, values[key])}: must be {expects(key)}{_default(key)}" for key in wrong
    ]
    usable = Config.model_validate({k: v for k, v in values.items() if k not in wrong})
    return usable.model_copy(update=imported), problems


def _default(key: str) -> str:
    value = Config.model_fields[key].default
    return "" if value is None else f"; the default is {value}"


def _where(keys: tuple[str, ...], chosen: Layer) -> str:
    """The setting, or for several keys the places that set them."""
    if len(keys) == 1 and keys[0] in chosen:
        return blame(chosen[keys[0]].origin, keys[0], chosen[keys[0]].value)
    places = [chosen[key].origin for key in keys if key in chosen]
    return " and ".join(dict.fromkeys(places)) or DEFAULT
