"""Reads nested YAML from parser events, as ``yamlfile.py`` does flat YAML: values stay text, and every one knows its line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from gptmill.config.wording import one_line
from gptmill.config.yamlfile import NULL, yaml_problem
from gptmill.errors import UserError

DEEPEST = 20


@dataclass(frozen=True)
class Node:
    """Text, None, a list or a mapping, and the line it is on."""

    value: str | list[Node] | dict[str, Node] | None
    line: int

    def plain(self) -> object:
        """Without the lines."""
        match self.value:
            case list():
                return [node.plain() for node in self.value]
            case dict():
                return {name: node.plain() for name, node in self.value.items()}
        return self.value


def read_tree(text: str, path: str) -> Node:
    """The one document of a YAML text.

    Raises:
        UserError: it is not valid, or uses aliases, anchors, tags or a key twice.
    """
    try:
        events = iter(yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
        next(events)  # of the stream
        first = next(events)
        if not isinstance(first, yaml.DocumentStartEvent):
            return Node(None, 1)
        tree = _node(next(events), events, path, 0)
        next(events)  # the end of the document
        if isinstance(more := next(events), yaml.DocumentStartEvent):
            raise UserError(f"{path}:{_line(more)}: a second document; write one")
    except yaml.YAMLError as error:
        raise UserError(yaml_problem(error, text, path)) from None
    return tree


def _node(event: yaml.Event, rest: Iterator[yaml.Event], path: str, depth: int) -> Node:
    line = _line(event)
    match event:
        case yaml.AliasEvent():
            raise UserError(f"{path}:{line}: aliases (*name) are not read; write the value out")
        case yaml.NodeEvent(anchor=str()):
            raise UserError(f"{path}:{line}: anchors (&name) are not read; write the value out")
        case yaml.ScalarEvent(tag=str(tag)) | yaml.CollectionStartEvent(tag=str(tag)):
            raise UserError(f"{path}:{line}: the tag {one_line(tag)} is not read; write a plain value")
        case yaml.ScalarEvent():
            return Node(None if not event.style and event.value in NULL else event.value, line)
    if depth == DEEPEST:
        raise UserError(f"{path}:{line}: is nested more than {DEEPEST} deep")
    if isinstance(event, yaml.SequenceStartEvent):
        listed = []
        while not isinstance(each := next(rest), yaml.SequenceEndEvent):
            listed.append(_node(each, rest, path, depth + 1))
        return Node(listed, line)
    mapping: dict[str, Node] = {}
    while not isinstance(each := next(rest), yaml.MappingEndEvent):
        key = _node(each, rest, path, depth + 1)
        if not isinstance(key.value, str):
            raise UserError(f"{path}:{key.line}: a key must be a name")
        if key.value in mapping:
            raise UserError(f"{path}:{key.line}: {one_line(key.value)} is set twice; keep one")
        found = _node(next(rest), rest, path, depth + 1)
        mapping[key.value] = Node(found.value, key.line)
    return Node(mapping, line)


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1
