"""A registry maps the names people write in configs to the parts that answer to them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from gptmill.errors import UserError

Part = TypeVar("Part")


def nearest(word: str, known: Mapping[str, object] | list[str]) -> str:
    """Return the sentence tail ``; did you mean 'x'?`` or an empty string when nothing is close."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


class Registry(Mapping[str, Part], Generic[Part]):
    """Parts of one kind by name: ``NORMS["rmsnorm"]``; a class joins with ``@NORMS.register("rmsnorm")``.

    Args:
        kind: the config key that names these parts, e.g. ``normalization``; used in messages.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._parts: dict[str, Part] = {}

    def register(self, name: str) -> Callable[[Part], Part]:
        def join(part: Part) -> Part:
            assert name not in self._parts, f"{self.kind} {name!r} is registered twice"
            self._parts[name] = part
            return part

        return join

    def __getitem__(self, name: str) -> Part:
        try:
            return self._parts[name]
        except KeyError:
            known = ", ".join(self._parts)
            hint = nearest(name, self._parts) or "; a part of your own comes with --import MODULE"
            raise UserError(f"{self.kind}={name}: unknown; one of {known}{hint}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._parts  # Mapping's own would expect KeyError

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)
