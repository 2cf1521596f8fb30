"""Text to token files beside nanoGPT's way and beside one tiktoken thread, in one run; and memory from 10 to 1,000 MB.

    python -m benchmarks.prepare --text train.txt --bpe FOLDER [--peer_python PYTHON] [--rounds 3] [--megabytes 60]

    --text         any text; it is repeated to the size wanted and cut into documents of about 4,000 characters
    --bpe          folder with GPT-2's encoder.json and vocab.bpe
    --peer_python  a Python with `datasets`, `tiktoken` and `numpy`; without it, nanoGPT's way is left out

nanoGPT's way is what its data/openwebtext/prepare.py does after the download: datasets.map(num_proc=cores) with
tiktoken's encode_ordinary, then the ids of every document copied into a memory map. All take turns in each round, so
a busy machine slows all of them; ratios are of medians. Writes benchmarks/results/prepare_cpu.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENT_CHARS = 4000

LOADED = """
import json, sys, time
import numpy as np, tiktoken
folder, text, out, cores = sys.argv[1:5]
from tiktoken.load import data_gym_to_mergeable_bpe_ranks
ranks = data_gym_to_mergeable_bpe_ranks(folder + "/vocab.bpe", folder + "/encoder.json")
PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\\p{L}++| ?\\p{N}++| ?[^\\s\\p{L}\\p{N}]++|\\s++$|\\s+(?!\\S)|\\s"
enc = tiktoken.Encoding("gpt2", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 50256})
"""
THREAD = """
began = time.perf_counter()
n = 0
with open(text, encoding="utf-8") as lines:
    for line in lines:
        n += len(enc.encode_ordinary(json.loads(line)["text"])) + 1
print(json.dumps({"seconds": time.perf_counter() - began, "tokens": n}))
"""
NANOGPT = """
from datasets import load_dataset
def process(example):
    ids = enc.encode_ordinary(example["text"])
    ids.append(enc.eot_token)
    return {"ids": ids, "len": len(ids)}
began = time.perf_counter()
data = load_dataset("json", data_files=text, split="train", cache_dir=out)
data = data.map(process, remove_columns=["text"], num_proc=int(cores))
total = int(np.sum(data["len"], dtype=np.uint64))
ids = np.memmap(out + "/train.bin", dtype=np.uint16, mode="w+", shape=(total,))
at = 0
for number in range(64):
    batch = data.shard(num_shards=64, index=number, contiguous=True).with_format("numpy")
    part = np.concatenate(batch["ids"])
    ids[at : at + len(part)] = part
    at += len(part)
ids.flush()
print(json.dumps({"seconds": time.perf_counter() - began, "tokens": total}))
"""
OURS = """
import json, sys, time
from pathlib import Path
began = time.perf_counter()
from gptmill.data.prepare import prepare
from gptmill.data.inputs import text_files
report = prepare(text_files([Path(sys.argv[2])]), Path(sys.argv[3]) / "d", sys.argv[1])
print(json.dumps({"seconds": time.perf_counter() - began, "tokens": report.train_tokens + report.val_tokens}))
"""


def run(python: str, code: str, *words: str) -> dict[str, float]:
    """What the script prints, and the largest memory of a process it started or was [bytes]."""
    with tempfile.TemporaryDirectory() as out:
        command = [python, "-c", f"{code}\nimport resource as r", words[0], words[1], out, words[2]]
        peak = "\nprint(max(r.getrusage(w).ru_maxrss for w in (r.RUSAGE_SELF, r.RUSAGE_CHILDREN)) * 1024)"
        command[2] += peak
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr[-2000:])
        *_, report, peak_bytes = done.stdout.strip().splitlines()
        return {**json.loads(report), "peak_memory": int(peak_bytes)}


def write_documents(text: str, path: Path, megabytes: float) -> int:
    """JSON lines, about so much text; returns its characters."""
    wanted, written = int(megabytes * 1e6), 0
    with path.open("w", encoding="utf-8") as file:
        while written < wanted:
            for start in range(0, len(text), DOCUMENT_CHARS):
                document = text[start : start + DOCUMENT_CHARS]
                file.write(json.dumps({"text": document}) + "\n")
                written += len(document)
                if written >= wanted:
                    break
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--bpe", required=True)
    parser.add_argument("--peer_python")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=float, default=60)
    parser.add_argument("--memory_megabytes", type=float, nargs="*", default=[10, 100, 1000])
    asked = parser.parse_args()
    cores = str(len(os.sched_getaffinity(0)))
    text = asked.text.read_text(encoding="utf-8")
    ways = {"gptmill": (sys.executable, OURS), "one tiktoken thread": (sys.executable, LOADED + THREAD)}
    if asked.peer_python:
        ways["nanoGPT's way"] = (asked.peer_python, LOADED + NANOGPT)
    result: dict[str, object] = {
        "machine": {"cpu": platform.processor() or platform.machine(), "cores": int(cores), "load": os.getloadavg()},
        "megabytes": asked.megabytes,
    }
    with tempfile.TemporaryDirectory() as folder:
        documents = Path(folder) / "documents.jsonl"
        characters = write_documents(text, documents, asked.megabytes)
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        peaks: dict[str, float] = {}
        tokens: set[float] = set()
        for _ in range(asked.rounds):
            for way, (python, code) in ways.items():
                report = run(python, code, asked.bpe, str(documents), cores)
                seconds[way].append(report["seconds"])
                peaks[way] = max(peaks.get(way, 0), report["peak_memory"])
                tokens.add(report["tokens"])
        assert len(tokens) == 1, f"the ways count different tokens: {tokens}"
        rates = {way: characters / statistics.median(each) / 1e6 for way, each in seconds.items()}
        result["megabytes_per_second"] = rates
        result["peak_memory"] = peaks
        result["times_as_fast_as"] = {way: rates["gptmill"] / rate for way, rate in rates.items() if way != "gptmill"}
        result["tokens"] = tokens.pop()
        for way, rate in rates.items():
            ratio = "" if way == "gptmill" else f"  gptmill is {rates['gptmill'] / rate:.2f}x"
            print(f"{way:22} {rate:6.1f} MB/s   peak {peaks[way] / 2**20:6.0f} MiB{ratio}", flush=True)
        memory: dict[str, float] = {}
        for megabytes in asked.memory_megabytes:
            write_documents(text, documents, megabytes)
            report = run(sys.executable, OURS, asked.bpe, str(documents), cores)
            memory[f"{megabytes:g} MB"] = report["peak_memory"]
            print(f"{megabytes:6g} MB of text: peak {report['peak_memory'] / 2**20:.0f} MiB", flush=True)
        result["peak_memory_by_text"] = memory
    result["machine"] = {**result["machine"], "load_after": os.getloadavg()}  # type: ignore[dict-item]
    path = ROOT / "benchmarks" / "results" / "prepare_cpu.json"
    path.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
