"""A web server on 127.0.0.1 that misbehaves as told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """Args: faults: what to do to the next requests, in order; then everything works.

    A fault is a status code, or one of: cut (half of the bytes), longer, page (HTML), hang, ignore_range, elsewhere.
    """

    files: dict[str, bytes]
    faults: list[object] = field(default_factory=list)
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # path and Range of every request
    url: str = ""


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            site.asked.append((self.path, wanted))
            fault = site.faults.pop(0) if site.faults else None
            content = site.files.get(self.path.removeprefix("http://gone.invalid"))
            if content is None or isinstance(fault, int):
                self.send_response(fault if isinstance(fault, int) else 404)
                self.send_header("Retry-After", "0")
                self.end_headers()
                return
            if fault == "hang":
                time.sleep(1.5)
                return
            if fault == "elsewhere":
                self.send_response(302)
                self.send_header("Location", f"{site.url}{self.path}")
                self.end_headers()
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and fault != "ignore_range" else 0
            if start >= len(content) > 0:
                self.send_response(416)
                self.end_headers()
                return
            body = b"<!DOCTYPE html><p>Please log in" if fault == "page" else content[start:]
            body += b"more" if fault == "longer" else b""
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            if fault != "longer":
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if fault == "cut" else body)

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
