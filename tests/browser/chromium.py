"""Chromium without a window, driven over a pipe in its DevTools protocol: open a page, ask it questions, photograph it.

Source: https://chromedevtools.github.io/devtools-protocol/; messages on file descriptors 3 and 4 end in a zero byte.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_chromium() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@dataclass
class Opened:
    """A page as it stood once everything was drawn.

    Args:
        errors: console errors and warnings, exceptions, refused content.
        requests: every address that was asked for.
    """

    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


class Chromium:
    """One browser process, as a context manager; ``profile`` is an empty folder for its own files."""

    def __init__(self, program: str, profile: Path) -> None:
        theirs_in, mine_out = os.pipe()
        mine_in, theirs_out = os.pipe()
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 20) for fd in (theirs_in, theirs_out)]
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe",
                 "--disable-dev-shm-usage", "--disable-background-networking", "--no-first-run",
                 f"--user-data-dir={profile}"]  # fmt: skip
        shell = f'exec "$@" 3<&{high[0]} 4>&{high[1]} 2>/dev/null >/dev/null'
        self._process = subprocess.Popen(["bash", "-c", shell, "bash", program, *flags], pass_fds=high)
        for fd in (theirs_in, theirs_out, *high):
            os.close(fd)
        self._to, self._from = os.fdopen(mine_out, "wb", buffering=0), os.fdopen(mine_in, "rb", buffering=0)
        self._left, self._number, self._session = b"", 0, ""
        self.seen = Opened()

    def __enter__(self) -> Chromium:
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._to.close()
        self._from.close()

    def open(self, page: Path, *, width: int, height: int = 900, dark: bool = False) -> Opened:
        """Load a file and wait until its script says that all is drawn."""
        self.seen = Opened()
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self.ask("Page.navigate", url=page.absolute().as_uri())
        for _ in range(600):
            if self.evaluate(
                "document.readyState === 'complete' && document.documentElement.dataset.drawn !== undefined"
            ):
                return self.seen
            time.sleep(0.05)
        raise TimeoutError(f"{page} was not drawn in 30 s: {self.seen.errors}")

    def evaluate(self, expression: str) -> Any:
        return self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)["result"].get(
            "value"
        )

    def photograph(self, target: Path) -> None:
        """The whole page, from top to bottom, as PNG."""
        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = self.ask("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        target.write_bytes(base64.b64decode(shot["data"]))

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """One command and its answer; what happens meanwhile is noted in ``seen``."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._to.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self._note(answer.get("method", ""), answer.get("params", {}))

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._left:
            more = self._from.read(65536)
            assert more, "chromium ended"
            self._left += more
        message, self._left = self._left.split(b"\0", 1)
        return json.loads(message)

    def _note(self, method: str, params: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            self.seen.errors.append(str(params["exceptionDetails"].get("exception", {}).get("description", params)))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.seen.errors.append(str([arg.get("value", arg.get("description")) for arg in params["args"]]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.seen.errors.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.seen.requests.append(params["request"]["url"])
