"""Build the wheel, then train, go on and sample with it in an empty folder, as someone who only did `pip install` would.

The wheel is unpacked into a folder of its own in front of this environment's libraries, so that nothing is downloaded
again; that the package comes from there and not from this checkout is checked.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        dist, site, empty = (Path(temporary, name) for name in ("dist", "site", "empty"))
        empty.mkdir()
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
        subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(dist), str(ROOT)], check=True)
        (wheel,) = dist.glob("*.whl")
        subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True)
        environment = {**os.environ, "PYTHONPATH": str(site)}

        def run(*words: str) -> str:
            done = subprocess.run(words, cwd=empty, env=environment, check=True, stdout=subprocess.PIPE, text=True)
            return done.stdout

        where = run(sys.executable, "-c", "import gptmill; print(gptmill.__file__)").strip()
        assert Path(where).is_relative_to(site), f"gptmill came from {where}"
        gptmill = (sys.executable, "-m", "gptmill")
        run(*gptmill, "configs")
        assert json.loads(run(*gptmill, "plan", "full_llama_1.36b", "--json"))["params"] == 1_294_159_104
        run(sys.executable, "-m", "gptmill.cli.kconfig", "defconfig", "gpt2-shakespeare-l4")
        assert json.loads(run(*gptmill, "plan", ".config", "--max_iters=1", "--json"))["batch_size"] == 64
        short = ("train", "quick", "--max_iters=40", "--warmup_iters=5", "--eval_interval=20", "--out_dir=out")
        first = json.loads(run(*gptmill, *short, "--json"))
        assert first["iters"] == 40, first
        more = json.loads(run(*gptmill, *short, "--max_iters=60", "--resume", "--json"))
        assert more["iters"] == 60 and more["best_val_loss"] < first["best_val_loss"], more
        assert run(*gptmill, "sample", "--run", "out", "--prompt", "def ", "--max_new_tokens", "20").startswith("def ")
        run(*gptmill, "verify", "--run", "out")
        print(f"{wheel.name}: trains, goes on, samples and verifies in an empty folder")


if __name__ == "__main__":
    main()
