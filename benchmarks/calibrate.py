"""Fit the roofline of gptmill/plan/roofline.py to published training speeds, and print how well it meets them.

    python -m benchmarks.calibrate

benchmarks/results/published_speed.csv has one row per run: GPT-2's shape with V=50,368 and F=4C on 8 devices, bfloat16,
without activation checkpointing; tokens/s of one device. Source: github.com/mosaicml/llm-foundry at 061f2c7,
scripts/train/benchmarking/README.md.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from gptmill.plan.devices import device_of
from gptmill.plan.roofline import ACCUMULATE_BYTES, OPTIMIZER_BYTES

SPEEDS = Path(__file__).parent / "results" / "published_speed.csv"
VOCABULARY = 50368
CHIPS = ("A100", "H100")
MICRO_STEPS = 2  # of most of these runs


def read() -> list[dict[str, str]]:
    with SPEEDS.open() as file:
        return list(csv.DictReader(file))


def terms(row: dict[str, str]) -> tuple[int, float, list[float]]:
    """Of one token: which chip it is on, seconds for the weights' own traffic, which is not fitted, and seconds at full peak
    and bandwidth of matmul, attention, one pass over layers, and one over logits.
    """
    device = device_of(row["device"])
    assert device and device.bandwidth
    L, C, T = int(row["n_layer"]), int(row["n_embd"]), int(row["block_size"])
    peak, bandwidth = device.tflops["bfloat16"] * 1e12, device.bandwidth * 1e9
    matmul, attention = 3 * (24 * L * C * C + 2 * VOCABULARY * C), 3 * 4 * L * T * C
    seconds = [matmul / peak, attention / peak, 2 * L * 5 * C / bandwidth, 2 * VOCABULARY / bandwidth]
    weights = 12 * L * C * C + (VOCABULARY + T) * C
    update = OPTIMIZER_BYTES + 2 * 8  # AdamW's two moments are read and written
    fixed = weights * (ACCUMULATE_BYTES + update / MICRO_STEPS) / (int(row["batch_size"]) * T * bandwidth)
    return CHIPS.index(device.name[:4]), fixed, seconds


def main() -> None:
    rows = read()
    A, fixed = np.zeros((len(rows), 2 * len(CHIPS) + 2)), np.zeros(len(rows))
    measured = np.array([1 / float(row["tokens_per_second"]) for row in rows])
    for i, row in enumerate(rows):
        chip, fixed[i], seconds = terms(row)
        A[i, 2 * chip : 2 * chip + 2], A[i, -2:] = seconds[:2], seconds[2:]
    # relative errors count, so every row is scaled by its own time
    fitted = np.linalg.lstsq(A / measured[:, None], 1 - fixed / measured, rcond=None)[0]
    for chip, name in enumerate(CHIPS):
        print(f"{name}: matmul {1 / fitted[2 * chip]:.3f}, attention {1 / fitted[2 * chip + 1]:.3f} of the dense peak")
    print(f"passes over residual stream and hidden layer {fitted[-2]:.2f}, over logits {fitted[-1]:.1f}")
    errors = np.abs((A @ fitted + fixed) / measured - 1)
    for name in sorted({row["device"] for row in rows}):
        own = errors[[row["device"] == name for row in rows]]
        print(
            f"{name}: {len(own)} runs, error median {np.median(own):.1%}, 95% within {np.quantile(own, 0.95):.1%}, worst {own.max():.1%}"
        )


if __name__ == "__main__":
    main()
