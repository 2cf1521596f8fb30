"""The commands of the guide's sections on foreign files work as printed."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.cli.run import SMALL, gptmill
from tests.data.toys import llmc_file

PAGE = (Path(__file__).parents[2] / "docs/guide/data.md").read_text()


def commands(section: str) -> list[list[str]]:
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    found = [shlex.split(line, comments=True)[1:] for line in re.findall(r"^    (gptmill .*)$", text, re.MULTILINE)]
    assert len(found) == 2
    return found


def test_the_parquet_commands(tmp_path):
    rows = [f"review number {n}: it was {'good' if n % 3 else 'bad'}\n" for n in range(60)]
    (tmp_path / "shards").mkdir()
    pq.write_table(pa.table({"text": [*rows, None]}), tmp_path / "reviews.parquet")
    for n in (0, 1):
        pq.write_table(pa.table({"body": rows[30 * n : 30 * n + 30]}), tmp_path / "shards" / f"{n}.parquet")
    (tmp_path / "more.jsonl").write_text("".join(json.dumps({"body": row}) + "\n" for row in rows))
    (tmp_path / "book.txt").write_text("".join(rows))
    first, second = (gptmill(tmp_path, *words) for words in commands("Parquet"))
    assert first.code == 0 and "data/reviews prepared" in first.out and "1 rows without text left out" in first.out
    assert second.code == 0 and "data/all prepared" in second.out


def test_the_llmc_commands(tmp_path):
    folder = tmp_path / "dev/data/fineweb10B"
    for name in ("fineweb_train_000001", "fineweb_train_000002", "fineweb_val_000000"):
        llmc_file(folder / f"{name}.bin", [n * 997 % 50_257 for n in range(400)])
    plan, train = (gptmill(tmp_path, *words, *SMALL[:-1], "--max_iters=3") for words in commands("llm.c's files"))
    for done in (plan, train):
        assert done.code == 0 and "llm.c's 2 and 1 shards, each split read as one stream, gpt2 tokens" in done.err, (
            done.err
        )
    assert "done, best val loss" in train.err
    [run] = tmp_path.glob("out*")
    sampled = gptmill(tmp_path, "sample", "--run", run.name, HOME=str(tmp_path), https_proxy="http://127.0.0.1:9")
    assert sampled.code == 3 and sampled.err.count("\n") == 1, sampled.err
    assert (
        "encoder.json could not be downloaded" in sampled.err and f"into {tmp_path}/.cache/gptmill/gpt2" in sampled.err
    )

    llmc_file(folder / "fineweb_train_000003.bin", [1, 2, 3])
    resumed = gptmill(tmp_path, *commands("llm.c's files")[1], *SMALL[:-1], f"--out_dir={run.name}", "--resume")
    assert resumed.code == 2 and "data_sha256" in resumed.err and resumed.err.count("error: ") == 1, resumed.err
