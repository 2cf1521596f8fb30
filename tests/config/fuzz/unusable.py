"""Keys that are none, and values that a key cannot take."""

from __future__ import annotations

import json
import keyword
import string

from hypothesis import assume
from hypothesis import strategies as st

from gptmill.config import later
from gptmill.config.names import KNOWN
from gptmill.config.rules.limits import LARGEST
from tests.config.fuzz.breaking import Broken, alike, bare, breaks, named, put
from tests.config.fuzz.wishes import PRESETS, SCHEMA, SYNTAX, TEXTS, choices, kinds, least, most

NUMBERS = [key for key in SCHEMA if kinds(key) & {"integer", "number"}]
WHOLE = [key for key in NUMBERS if "integer" in kinds(key)]
SWITCHES = [key for key in SCHEMA if "boolean" in kinds(key)]
PARTS = [key for key in SCHEMA if choices(key) and "boolean" not in kinds(key)]
LETTERS = string.ascii_lowercase + string.digits + "_"


def slips(word: str) -> set[str]:
    """Everything one slip of the finger away: a letter left out, added, replaced, or two swapped."""
    cuts = [(word[:i], word[i:]) for i in range(len(word) + 1)]
    found = {a + b[1:] for a, b in cuts if b} | {a + b[1] + b[0] + b[2:] for a, b in cuts if len(b) > 1}
    found |= {a + c + b[1:] for a, b in cuts if b for c in LETTERS} | {a + c + b for a, b in cuts for c in LETTERS}
    return found - {word}


def is_name(word: str) -> bool:
    """Free to be a misspelling in every form: in a .py file a leading underscore makes a helper, not a key."""
    return word.isidentifier() and not keyword.iskeyword(word) and word[0] != "_" and word not in {*KNOWN, "config"}


@breaks
def key_with_one_slip(draw: st.DrawFn) -> Broken:
    wrong = draw(st.sampled_from(sorted(filter(is_name, slips(draw(st.sampled_from(sorted(KNOWN))))))))
    assume(wrong.removeprefix("no_") not in KNOWN)
    meant = slips(wrong) & KNOWN
    return put(draw, wrong, bare("1"), ("unknown key", *(f"did you mean {m!r}" for m in meant if len(meant) == 1)))


@breaks
def key_with_two_slips(draw: st.DrawFn) -> Broken:
    once = draw(st.sampled_from(sorted(filter(is_name, slips(draw(st.sampled_from(sorted(KNOWN))))))))
    wrong = draw(st.sampled_from(sorted(filter(is_name, slips(once)))))
    assume(wrong.removeprefix("no_") not in KNOWN)
    return put(draw, wrong, bare("1"), ("unknown key",))


@breaks
def key_with_a_letter_of_another_alphabet(draw: st.DrawFn) -> Broken:
    lookalike = {"a": "а", "c": "с", "e": "е", "o": "о", "p": "р", "x": "х", "i": "і", "n": "ո", "h": "һ", "s": "ѕ"}
    key = draw(st.sampled_from([k for k in sorted(KNOWN) if set(k) & set(lookalike)]))
    at = draw(st.sampled_from([i for i, c in enumerate(key) if c in lookalike]))
    broken = put(draw, key[:at] + lookalike[key[at]] + key[at + 1 :], bare("1"))
    return broken


@breaks
def key_in_capitals(draw: st.DrawFn) -> Broken:
    key = draw(st.sampled_from(sorted(KNOWN)))
    wrong = draw(st.sampled_from([key.upper(), key.title()]))
    return put(draw, wrong, bare("1"), ("unknown key", f"did you mean {key!r}"))


@breaks
def key_of_a_nested_config(draw: st.DrawFn) -> Broken:
    group, key = draw(st.sampled_from(["model", "train", "optim"])), draw(st.sampled_from(list(SCHEMA)))
    return put(draw, f"{group}.{key}", {"yaml": "1", "flag": "1"}, (key,))


@breaks
def word_for_a_number(draw: st.DrawFn) -> Broken:
    key, name = named(draw, NUMBERS)
    word = draw(
        st.sampled_from(["six", "12k", "1,000", "0b11", "1e", "1..5", "1 2", "--1", "12:30", "½", "1_", "e5", "$1"])
    )
    return put(draw, name, alike(word), (key, word, "number"), (key,))


@breaks
def number_in_other_digits(draw: st.DrawFn) -> Broken:
    key, name = named(draw, NUMBERS)
    zero = draw(st.sampled_from("٠۰०０𝟎"))
    digits = "".join(chr(ord(zero) + int(c)) for c in str(draw(st.integers(0, 10**6))))
    return put(draw, name, alike(digits), (key, "number"), (key,))


@breaks
def fraction_for_a_whole_number(draw: st.DrawFn) -> Broken:
    key, name = named(draw, WHOLE)
    number = draw(st.integers(0, 1000)) + draw(st.sampled_from([0.5, 0.25, 0.125]))
    return put(draw, name, bare(repr(number)), (key, repr(number), "whole number"), (key,))


@breaks
def switch_for_a_number(draw: st.DrawFn) -> Broken:
    key, name = named(draw, NUMBERS)
    return put(draw, name, bare(draw(st.sampled_from(["True", "False"]))), (key, "number"), (key,))


@breaks
def number_for_a_switch(draw: st.DrawFn) -> Broken:
    key, name = named(draw, SWITCHES)
    number = draw(st.integers(2, 99) | st.floats(1.5, 99))
    # on a command line the word after a switch is a config, unless an equals sign joins them
    return put(draw, name, {"py": repr(number), "yaml": repr(number)}, (key, "True"), (key,))


@breaks
def number_for_text(draw: st.DrawFn) -> Broken:
    key, name = named(draw, [*SYNTAX, *TEXTS, *PARTS])
    assume(key not in NUMBERS)
    return put(draw, name, {"py": repr(draw(st.integers(0, 99) | st.booleans() | st.floats(0, 9)))}, (key,), (key,))


@breaks
def list_for_one_value(draw: st.DrawFn) -> Broken:
    key, name = named(draw, list(SCHEMA))
    value = draw(st.lists(st.integers(0, 9) | st.sampled_from(["gelu", "x"]), max_size=4))
    return put(draw, name, {"py": repr(value), "yaml": json.dumps(value)}, (), (key,))


@breaks
def not_finite(draw: st.DrawFn) -> Broken:
    key, name = named(draw, NUMBERS)
    word = draw(st.sampled_from(["nan", "inf", "-inf", "NaN", "Infinity", ".inf", "1e999", "-1e400"]))
    return put(draw, name, alike(word), (key, "number"), (key,))


@breaks
def below_the_least(draw: st.DrawFn) -> Broken:
    key, name = named(draw, [key for key in NUMBERS if least(key) is not None])
    excluded = any("exclusiveMinimum" in arm for arm in SCHEMA[key].get("anyOf", [SCHEMA[key]]))
    below = draw(st.integers(0 if excluded else 1, 10**6))
    text = repr(int(least(key) or 0) - below)
    return put(draw, name, bare(text), (key, "above" if excluded else "at least"), (key,))


@breaks
def above_the_most(draw: st.DrawFn) -> Broken:
    key, name = named(draw, [key for key in NUMBERS if most(key) is not None])
    excluded = any("exclusiveMaximum" in arm for arm in SCHEMA[key].get("anyOf", [SCHEMA[key]]))
    number = (most(key) or 0) + draw(st.floats(0 if excluded else 1e-3, 1e6))
    return put(draw, name, bare(repr(number)), (key, "below" if excluded else "at most"), (key,))


@breaks
def larger_than_any_run(draw: st.DrawFn) -> Broken:
    key, name = named(draw, sorted(LARGEST))
    number = LARGEST[key] + draw(st.integers(1, 10**30))
    return put(draw, name, bare(str(number)), (key, "too large", f"{LARGEST[key]:,}"), (key,))


@breaks
def number_of_absurd_length(draw: st.DrawFn) -> Broken:
    _, name = named(draw, NUMBERS)
    return put(draw, name, bare("9" * draw(st.integers(61, 6000))), (), ())


@breaks
def part_with_a_slip(draw: st.DrawFn) -> Broken:
    key, name = named(draw, [key for key in PARTS if set(map(len, choices(key))) != {3}])
    word = draw(st.sampled_from([c for c in choices(key) if len(c) > 3]))
    others = {*choices(key)}
    wrong = draw(st.sampled_from(sorted(w for w in slips(word) - others if not w.isdigit())))
    return put(draw, name, alike(wrong), (key, wrong, word), (key,))


@breaks
def part_nobody_has(draw: st.DrawFn) -> Broken:
    key, name = named(draw, PARTS)
    wrong = draw(st.text(string.ascii_letters, min_size=6, max_size=300))
    return put(draw, name, alike(wrong), (key, wrong[:40], *choices(key)), (key,))


@breaks
def preset_nobody_has(draw: st.DrawFn) -> Broken:
    name = draw(st.sampled_from(sorted(PRESETS)))
    wrong = draw(st.sampled_from(sorted(w for w in slips(name) - set(PRESETS) if w)))
    return put(
        draw, "preset", alike(draw(st.sampled_from([wrong, f"tiny,{wrong}"]))), ("preset", wrong, name), ("preset",)
    )


IMPOSSIBLE = {
    "device": ["gpu", "cuda:", "cuda:-1", "cuda:٣", "CPU!", "cuda:99999", "mps:0", ""],
    "tokenizer": ["bpe", "bpe-256", "bpe-65537", "bpe-٣٠٠", "gpt3", "bpe-1e3", "bpe-999999999999", ""],
    "init_from": ["resum", "/etc/passwd", "ckpt.pt", "gpt3", "", "../out-nowhere"],
    "dataset": ["..", "/etc", "a/../b", "a//b", "-x", "a\\b", "x" * 201, "", ".", "a/", "café\u0301/*"],
    "out_dir": ["", " ", "x" * 256, "é" * 128, "漢" * 90 + "/a", "ab/" * 400],
    "data_dir": ["", "  ", "y" * 300, "a/" + "é" * 200, "/abc" * 300],
}


@breaks
def impossible_text(draw: st.DrawFn) -> Broken:
    key, name = named(draw, sorted(IMPOSSIBLE))
    wrong = draw(st.sampled_from(IMPOSSIBLE[key]))
    return put(draw, name, alike(wrong), (key,), (key,))


@breaks
def text_that_cannot_be_printed(draw: st.DrawFn) -> Broken:
    key, name = named(draw, [*TEXTS, *SYNTAX])
    wrong = draw(st.text("ab", max_size=3)) + draw(st.sampled_from("\x07\x1b\x7f\u202e\u200b\n\r\t\udcff\ue000\u2028"))
    # JSON's escape of a lone surrogate is none of YAML's
    texts = {"py": ascii(wrong), "flag": wrong} | ({"yaml": json.dumps(wrong)} if "\udcff" not in wrong else {})
    return put(draw, name, texts, (key,), (key,))


@breaks
def capability_of_a_later_version(draw: st.DrawFn) -> Broken:
    name = draw(st.sampled_from(sorted(n for n, missing in later.KEYS.items() if missing.inert == later.OFF)))
    return put(draw, name, {"flag": "True"}, (name, "not in this version"))
