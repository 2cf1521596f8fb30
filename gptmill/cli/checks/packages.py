"""The packages that gptmill can use, and what for."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from gptmill.cli.checks.base import MISSING, OK, Found

OPTIONAL: dict[str, tuple[str, str]] = {  # as pip names it -> (as Python imports it, what it is for)
    "plotly": ("plotly", "the charts of `gptmill report` and `gptmill compare`"),
    "tensorboard": ("torch.utils.tensorboard", "--tensorboard_log"),
    "wandb": ("wandb", "--wandb_log"),
    "pyarrow": ("pyarrow", "datasets in Parquet files"),
    "kconfiglib": ("kconfiglib", "`make menuconfig`"),
    "nvidia-ml-py": ("pynvml", "how busy the GPU was, in the run's log"),
}


def package(name: str) -> Found:
    """Whether the package is there and can be imported; raises what its import raises."""
    module, purpose = OPTIONAL[name]
    try:
        found = version(name)
    except PackageNotFoundError:
        return Found(MISSING, f"for {purpose}", f"pip install {name}")
    import_module(module)
    return Found(OK, f"{found}, for {purpose}", figures={"version": found})


def gigatoken() -> Found:
    """The one that encodes text; gptmill cannot prepare data without it."""
    import_module("gigatoken")
    return Found(OK, f"{version('gigatoken')}, encodes text", figures={"version": version("gigatoken")})
