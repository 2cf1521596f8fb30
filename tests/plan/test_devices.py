"""Peaks against what makes them: matrix units x FLOP per clock x clock, from the makers' architecture papers."""

from __future__ import annotations

import pytest

from gptmill.errors import UserError
from gptmill.plan.devices import device_of, find_device, machine_of, peak_flops, table

# the driver's name; SMs (or compute units), dense 16-bit FLOP per clock of each, boost clock of the matrix units [GHz]
SILICON = [
    ("NVIDIA A100-SXM4-80GB", 108, 2048, 1.410),
    ("NVIDIA A100 80GB PCIe", 108, 2048, 1.410),
    ("NVIDIA H100 80GB HBM3", 132, 4096, 1.830),
    ("NVIDIA H100 PCIe", 114, 4096, 1.620),
    ("NVIDIA H200", 132, 4096, 1.830),
    ("NVIDIA B200", 148, 8192, 1.860),
    ("NVIDIA A40", 84, 1024, 1.740),
    ("NVIDIA RTX A6000", 84, 1024, 1.800),
    ("NVIDIA RTX A5000", 64, 1024, 1.695),
    ("NVIDIA RTX A4000", 48, 1024, 1.560),
    ("NVIDIA RTX 6000 Ada Generation", 142, 1024, 2.505),
    ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", 188, 1024, 2.617),
    ("Tesla V100-SXM2-32GB", 80, 1024, 1.530),
    ("Tesla V100-PCIE-16GB", 80, 1024, 1.370),
    ("Tesla T4", 40, 1024, 1.590),
    ("NVIDIA L4", 58, 1024, 2.040),
    ("NVIDIA A10G", 80, 512, 1.710),
    ("NVIDIA GeForce RTX 3060", 28, 512, 1.777),
    ("NVIDIA GeForce RTX 3070", 46, 512, 1.725),
    ("NVIDIA GeForce RTX 3080", 68, 512, 1.710),
    ("NVIDIA GeForce RTX 3090", 82, 512, 1.695),
    ("NVIDIA GeForce RTX 4070", 46, 512, 2.475),
    ("NVIDIA GeForce RTX 4070 Ti", 60, 512, 2.610),
    ("NVIDIA GeForce RTX 4080", 76, 512, 2.505),
    ("NVIDIA GeForce RTX 4090", 128, 512, 2.520),
    ("NVIDIA GeForce RTX 5070", 48, 512, 2.512),
    ("NVIDIA GeForce RTX 5070 Ti", 70, 512, 2.452),
    ("NVIDIA GeForce RTX 5080", 84, 512, 2.617),
    ("NVIDIA GeForce RTX 5090", 170, 512, 2.407),
    ("AMD Instinct MI300X", 304, 2048, 2.100),
    ("AMD Instinct MI250X", 110, 1024, 1.700),
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
        "NVIDIA A100X", "NVIDIA H20", "NVIDIA H800", "NVIDIA GB300", "Apple M4 Max",
    ],
)  # fmt: skip
def test_a_device_that_is_not_known_is_not_guessed(name: str) -> None:
    assert peak_flops(name, "bfloat16") is None and peak_flops(name, "float32", "high") is None


def test_every_row_has_a_source_and_no_name_has_two_rows() -> None:
    assert all(row.source for row in table())
    names = [row.name for row in table()]
    assert len(set(names)) == len(names) and all(device_of(name) == row for name, row in zip(names, table()))
    checked = {row.tflops["float16"] for row in (device_of(name) for name, *_ in SILICON) if row}
    # of these the makers print no clock
    assert {row.tflops.get("float16") for row in table()} - checked == {None, 835.5, 2500, 362.05}


# HBM stacks or memory chips: bus width [bit], transfers [G/s], from the makers' papers
MEMORY = [
    ("NVIDIA A100-SXM4-80GB", 5120, 3.186), ("NVIDIA A100-SXM4-40GB", 5120, 2.430), ("NVIDIA L4", 192, 12.5),
    ("Tesla T4", 256, 10.0), ("NVIDIA GeForce RTX 3060", 192, 15.0), ("NVIDIA GeForce RTX 3090", 384, 19.5),
    ("NVIDIA GeForce RTX 4070", 192, 21.0), ("NVIDIA GeForce RTX 4090", 384, 21.0), ("NVIDIA GeForce RTX 5090", 512, 28.0),
    ("NVIDIA RTX A6000", 384, 16.0), ("NVIDIA L40S", 384, 18.0), ("AMD Radeon PRO W7900", 384, 18.0), ("Apple M2", 128, 6.25),
]  # fmt: skip


@pytest.mark.parametrize(("name", "bits", "rate"), MEMORY, ids=[row[0] for row in MEMORY])
def test_bandwidth_is_bus_width_times_rate(name: str, bits: int, rate: float) -> None:
    row = device_of(name)
    assert row and row.bandwidth == pytest.approx(bits / 8 * rate, rel=0.01)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("a100", "A100-SXM4-80GB"), ("A100 40GB", "A100-SXM4-40GB"), ("h100", "H100 80GB HBM3"), ("h100 pcie", "H100 PCIe"),
        ("h100 sxm", "H100 80GB HBM3"), ("4090", "GeForce RTX 4090"), ("rtx4070", "GeForce RTX 4070"), ("l4", "L4"),
        ("4070 ti", "GeForce RTX 4070 Ti"), ("l40s", "L40S"), ("v100 16gb", "V100-SXM2-16GB"), ("w7900", "Radeon PRO W7900"),
        ("Tesla T4", "T4"), ("m2 max", "M2 Max"), ("6000 ada", "RTX 6000 Ada Generation"),
    ],
)  # fmt: skip
def test_a_device_is_found_by_what_people_call_it(wanted: str, found: str) -> None:
    row = find_device(wanted)
    assert row.name == found
    assert device_of(machine_of(row).name) == row and machine_of(row).memory == row.memory


@pytest.mark.parametrize("wanted", ["", "l40", "a1000", "gtx 1080", "3090 ti", "epyc"])
def test_a_device_that_is_not_there_is_refused_with_the_nearest(wanted: str) -> None:
    with pytest.raises(UserError, match="--gpu=all"):
        find_device(wanted)
