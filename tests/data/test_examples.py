"""``prepare --completions``: which tokens count, what is read, and what a bad line is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptmill.data.batches import Batches
from gptmill.data.examples import Examples, parts_of
from gptmill.data.facts import dataset_tokenizer, read_facts
from gptmill.data.inputs import text_files
from gptmill.data.prepare import PrepareReport, prepare
from gptmill.data.shards import open_tokens
from gptmill.errors import DataError
from tests.data.toys import prepared

PAIRS = [{"prompt": f"{n} times {n} is", "response": f" {n * n}: être" * (1 + n % 3)} for n in range(40)]
# of allenai/tulu-2-7b's tokenizer_config.json
TULU = jinja2.Template(
    "{% for message in messages %}{% if message['role'] == 'system' %}{{ '<|system|>\n' + message['content'] + '\n' }}"
    "{% elif message['role'] == 'user' %}{{ '<|user|>\n' + message['content'] + '\n' }}"
    "{% elif message['role'] == 'assistant' %}{{ '<|assistant|>\n'  + message['content'] + eos_token }}"
    "{% if not loop.last %}{{ '\n' }}{% endif %}{% endif %}{% endfor %}",
    keep_trailing_newline=True,
)
TALK = [
    {"role": role, "content": text}
    for role, text in (("system", "Add."), ("user", "1+1?"), ("assistant", "2"), ("user", "twice?"), ("assistant", "4"))
]


def examples(tmp_path: Path, lines: list[Any], tokenizer: str = "bpe-300", **options: Any) -> PrepareReport:
    file = tmp_path / "ex.jsonl"
    file.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return prepare(text_files([file], kind=Examples), tmp_path / "data/ex", tokenizer, **options)


def shown(tmp_path: Path) -> list[tuple[str, str]]:
    """Every example that was written: all of its text, and the part that counts."""
    tokenizer = dataset_tokenizer(read_facts(str(tmp_path / "data"), "ex"))
    found = []
    for split in ("train", "val"):
        ids = np.fromfile(tmp_path / f"data/ex/{split}.bin", np.uint16)
        mask = np.fromfile(tmp_path / f"data/ex/{split}.mask", np.uint8)
        ends = np.flatnonzero(ids == tokenizer.end_of_text) + 1
        for part, counts in zip(np.split(ids, ends), np.split(mask, ends)):
            found.append((tokenizer.decode(part), tokenizer.decode(part[counts == 1])))
    return sorted(pair for pair in found if pair[0])


@pytest.mark.parametrize("tokenizer", ["byte", "bpe-300"])
@pytest.mark.parametrize("answer", ["response", "completion"])
def test_the_response_and_the_end_of_text_count_and_the_prompt_does_not(
    tokenizer: str, answer: str, tmp_path: Path
) -> None:
    report = examples(tmp_path, [{"prompt": p["prompt"], answer: p["response"]} for p in PAIRS], tokenizer)
    end = "<|endoftext|>"
    assert shown(tmp_path) == sorted((p["prompt"] + p["response"] + end, p["response"] + end) for p in PAIRS)
    assert report.counted_tokens == np.fromfile(tmp_path / "data/ex/train.mask", np.uint8).sum()
    facts = read_facts(str(tmp_path / "data"), "ex")
    assert facts.counted_tokens == report.counted_tokens and 0 < report.counted_tokens < report.train_tokens


def test_a_conversation_is_written_as_the_published_template_has_it(tmp_path: Path) -> None:
    examples(tmp_path, [{"messages": TALK}] * 12, "byte", val_samples=1)
    tokenizer = dataset_tokenizer(read_facts(str(tmp_path / "data"), "ex"))
    text = tokenizer.decode(np.fromfile(tmp_path / "data/ex/val.bin", np.uint16))
    assert text == TULU.render(messages=TALK, eos_token="<|endoftext|>")
    mask = np.fromfile(tmp_path / "data/ex/val.mask", np.uint8)
    ids = np.fromfile(tmp_path / "data/ex/val.bin", np.uint16)
    assert tokenizer.decode(ids[mask == 1]) == "2<|endoftext|>4<|endoftext|>"


def test_char_counts_the_line_break_that_ends_a_response(tmp_path: Path) -> None:
    examples(tmp_path, [{"prompt": "ab", "response": "cd"}] * 9, "char")
    ids, mask = (np.fromfile(tmp_path / f"data/ex/train.{kind}", t) for kind, t in (("bin", "<u2"), ("mask", "u1")))
    tokenizer = dataset_tokenizer(read_facts(str(tmp_path / "data"), "ex"))
    assert set(tokenizer.decode(ids[mask == 1]).split()) == {"cd"}
    assert tokenizer.decode(ids[mask == 1])[2] == "\n"


def test_windows_carry_the_mask_whatever_the_split_of_the_batch(tmp_path: Path) -> None:
    examples(tmp_path, PAIRS)
    ids, mask = (np.fromfile(tmp_path / f"data/ex/train.{kind}", t) for kind, t in (("bin", "<u2"), ("mask", "u1")))
    batches = Batches(open_tokens(tmp_path / "data/ex/train.bin"), 16, seed=3)
    windows_BS = batches.take(0, 20)
    assert np.array_equal(windows_BS, np.concatenate([batches.take(n, 5) for n in range(0, 20, 5)]))
    whole = np.where(mask == 1, ids.astype(np.int64), -1 - ids.astype(np.int64))
    places = [begin for begin in range(0, len(ids) - 16, 16)]
    assert {window.tobytes() for window in windows_BS} <= {whole[begin : begin + 17].tobytes() for begin in places}
    assert (windows_BS < 0).any() and (windows_BS >= 0).any()


def test_the_same_text_with_other_bounds_is_another_dataset(tmp_path: Path) -> None:
    one = examples(tmp_path, PAIRS)
    assert examples(tmp_path, PAIRS).reused
    moved = [{"prompt": p["prompt"] + p["response"][0], "response": p["response"][1:]} for p in PAIRS]
    assert examples(tmp_path, moved, overwrite=True).sha256 != one.sha256
    plain = prepared(tmp_path, "some text " * 50, name="ex", overwrite=True)
    assert plain.counted_tokens is None and not list((tmp_path / "data/ex").glob("*.mask"))


@pytest.mark.parametrize("damage", ["flipped", "short", "gone"])
def test_a_damaged_mask_is_one_line_that_names_it(damage: str, tmp_path: Path) -> None:
    examples(tmp_path, PAIRS)
    path = tmp_path / "data/ex/train.mask"
    raw = bytearray(path.read_bytes())
    raw[7] ^= 1
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(raw if damage == "flipped" else raw[:-1])
    with pytest.raises(DataError, match=r"train\.mask: (block 0|\d+ bytes, but|missing)"):
        Batches(open_tokens(tmp_path / "data/ex/train.bin"), 16, seed=1).take(0, 4)


BAD = {
    "[1, 2]": '"prompt" and "response"',
    '{"text": "a"}': 'this one has "text"',
    '{"prompt": "a"}': '"prompt" and "response"',
    '{"prompt": 1, "response": "b"}': '"prompt" must be a string',
    '{"prompt": "a", "response": null}': '"response" must be a string',
    '{"prompt": "a", "completion": ""}': 'an empty "completion"',
    '{"prompt": "a", "response": "\\ud800"}': "half a surrogate pair",
    '{"prompt": "a", "response": "b"': "not JSON",
    "[" * 100_000: "not JSON",
    '{"messages": {}}': '"messages" must be a list',
    '{"messages": []}': '"messages" must be a list',
    '{"messages": [3]}': 'message 1 needs a "role"',
    '{"messages": [{"role": "tool", "content": "x"}]}': 'message 1 needs a "role": system, user, assistant',
    '{"messages": [{"role": ["user"], "content": "x"}]}': 'message 1 needs a "role"',
    '{"messages": [{"role": "user", "content": ["x"]}]}': 'message 1 needs a "content"',
    '{"messages": [{"role": "user", "content": "x"}]}': "the last message must be the assistant's",
}


@pytest.mark.parametrize("line", BAD, ids=lambda line: line[:40])
def test_a_bad_line_is_named_with_what_it_should_be(line: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused:
        examples(tmp_path, [*PAIRS[:2], line, *PAIRS[2:]])
    [says] = refused.value.problems
    assert says.startswith(f"{tmp_path}/ex.jsonl:3: ") and BAD[line] in says and "\n" not in says and len(says) < 300
    assert not (tmp_path / "data/ex").exists()


def test_one_example_or_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="one example"):
        examples(tmp_path, PAIRS[:1])
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(DataError, match=r"a\.txt: --completions reads \.jsonl"):
        prepare(text_files([tmp_path / "a.txt"], kind=Examples), tmp_path / "data/a", "byte")


plain = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
words = st.sampled_from(["prompt", "response", "completion", "messages", "role", "content", "user", "assistant"])
anything = st.recursive(plain | words, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner))


@given(anything)
def test_any_json_is_an_example_or_one_line(body: Any) -> None:
    try:
        parts = parts_of(body, "f:1")
    except DataError as error:
        assert len(error.problems) == 1 and error.problems[0].startswith("f:1: ") and "\n" not in str(error)
    else:
        assert parts[-1].counted and parts[-1].text
