"""Peaks against what makes them: matrix units x FLOP per clock x clock, from the makers' architecture papers."""

from __future__ import annotations

import pytest

from gptmill.plan.peaks import PEAKS, peak_flops, peak_of

# the driver's name; SMs (or compute units), dense 16-bit FLOP per clock of each, boost clock of the matrix units [GHz]
SILICON = [
    ("NVIDIA A100-SXM4-80GB", 108, 2048, 1.410),
    ("NVIDIA A100 80GB PCIe", 108, 2048, 1.410),
    ("NVIDIA H100 80GB HBM3", 132, 4096, 1.830),
    ("NVIDIA H100 PCIe", 114, 4096, 1.620),
    ("NVIDIA H200", 132, 4096, 1.830),
    ("NVIDIA B200", 148, 8192, 1.860),
    ("Tesla V100-SXM2-32GB", 80, 1024, 1.530),
    ("Tesla V100-PCIE-16GB", 80, 1024, 1.370),
    ("Tesla T4", 40, 1024, 1.590),
    ("NVIDIA L4", 58, 1024, 2.040),
    ("NVIDIA A10G", 80, 512, 1.710),
    ("NVIDIA GeForce RTX 3090", 82, 512, 1.695),
    ("NVIDIA GeForce RTX 4090", 128, 512, 2.520),
    ("AMD Instinct MI300X", 304, 2048, 2.100),
    ("AMD Radeon PRO W7900", 96, 512, 2.495),
]


@pytest.mark.parametrize(("name", "units", "per_clock", "ghz"), SILICON, ids=[row[0] for row in SILICON])
def test_a_16_bit_peak_is_units_times_clock(name: str, units: int, per_clock: int, ghz: float) -> None:
    assert peak_flops(name, "float16") == pytest.approx(units * per_clock * ghz * 1e9, rel=0.01)


@pytest.mark.parametrize(
    ("name", "dtype", "tflops"),
    [
        ("NVIDIA A100-SXM4-40GB", "bfloat16", 312),
        ("NVIDIA H100 80GB HBM3", "bfloat16", 989.4),
        ("NVIDIA H100 PCIe", "bfloat16", 756),
        ("NVIDIA H200", "bfloat16", 989.5),  # 1,979 with sparsity
        ("NVIDIA B200", "bfloat16", 2250),  # 4,500 with sparsity
        ("Tesla V100-SXM2-16GB", "float16", 125),
    ],
)
def test_peaks_are_dense(name: str, dtype: str, tflops: float) -> None:
    assert peak_flops(name, dtype) == tflops * 1e12


@pytest.mark.parametrize("name", ["Tesla V100-SXM2-16GB", "Tesla T4"])
def test_hardware_before_ampere_has_no_bfloat16(name: str) -> None:
    assert peak_flops(name, "bfloat16") is None


def test_float32_has_a_peak_of_its_own_where_it_runs_as_tf32() -> None:
    assert peak_flops("NVIDIA A100-SXM4-80GB", "float32", "highest") == 19.5e12
    assert peak_flops("NVIDIA A100-SXM4-80GB", "float32", "high") == 156e12
    assert peak_flops("Tesla T4", "float32", "high") == 8.1e12  # Turing has no TF32


@pytest.mark.parametrize(
    "name",
    [
        "", "NVIDIA GPU", "AMD EPYC", "Apple GPU", "NVIDIA A100-SXM4-40GB MIG 1g.5gb", "NVIDIA H200 MIG", "GRID A100-10C",
        "NVIDIA GeForce RTX 4090 Laptop GPU", "NVIDIA GeForce RTX 4090 D", "NVIDIA GeForce RTX 3090 Ti", "NVIDIA L40",
        "NVIDIA A100X", "NVIDIA H20", "NVIDIA H800", "NVIDIA GB200",
    ],
)  # fmt: skip
def test_a_device_that_is_not_known_is_not_guessed(name: str) -> None:
    assert peak_flops(name, "bfloat16") is None and peak_flops(name, "float32", "high") is None


def test_every_row_has_a_source_and_no_name_has_two_rows() -> None:
    assert all(row.source for row in PEAKS)
    for name, *_ in SILICON:
        assert peak_of(name) in PEAKS
    assert len({row.name for row in PEAKS}) == len(PEAKS)
