"""Reads a flat YAML mapping from parser events: no object is ever constructed, so tags and bombs have nothing to act on.

Every value stays text (or None); the key's type decides later what it means. So ``6e-4`` is a number where a number
is due, and ``on`` stays text where text is due, which PyYAML's own loaders get wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import yaml

from gptmill.config.layers import Reading, Setting
from gptmill.config.wording import one_line

SWEEP = re.compile(r"^(method|program):", re.MULTILINE)  # W&B's keys of a sweep
ARMS = re.compile(r"^arms:", re.MULTILINE)  # our key of a study
MATRIX = re.compile(r"^test_matrix:", re.MULTILINE)
PARAMETERS = re.compile(r"^parameters:", re.MULTILINE)
NULL = ("", "~", "null", "Null", "NULL", "None")


def read_yaml(text: str, path: str) -> Reading:
    """The settings of a YAML config; anything but plain ``key: value`` lines is a problem naming its line."""
    if SWEEP.search(text) and PARAMETERS.search(text):
        says = "is a sweep, a list of runs, not a config; start it with"
        return Reading(problems=[f"{path}: {says} `gptmill sweep {path}`"])
    if ARMS.search(text):
        says = "is a study, runs of several arms, not a config; start it with"
        return Reading(problems=[f"{path}: {says} `gptmill ablate {path}`"])
    if MATRIX.search(text):
        says = "is a matrix, runs of every combination, not a config; start it with"
        return Reading(problems=[f"{path}: {says} `gptmill matrix {path}`"])
    reading = Reading()
    try:
        events = yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        _settings(list(_scalars(events, path, reading)), path, reading)
    except yaml.YAMLError as error:
        lines = "; a config is lines of key: value" if isinstance(error, yaml.MarkedYAMLError) else ""
        reading.problems.append(yaml_problem(error, text, path) + lines)
    return reading


def yaml_problem(error: yaml.YAMLError, text: str, path: str) -> str:
    """What is wrong with a text, and in which line of it."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return f"{path}: not valid YAML: it holds characters that YAML does not allow"
    line = error.problem_mark.line if error.problem_mark else 0
    says = one_line(error.problem or "unreadable")
    if any("\t" in written for written in text.split("\n")[line : line + 1]):  # YAML knows other line ends too
        says = "a tab stands where only spaces may"
    return f"{path}:{line + 1}: not valid YAML: {says}"


def _scalars(events: Iterable[yaml.Event], path: str, reading: Reading) -> Iterator[yaml.ScalarEvent]:
    """Keys and values in turn as ScalarEvents; ends with a problem at the first thing that is not flat."""
    n_documents = n_mappings = 0
    for event in events:
        place = f"{path}:{_line(event)}"
        match event:
            case yaml.AliasEvent():
                reading.problems.append(f"{place}: aliases (*name) are not read; write the value out")
                return
            case yaml.NodeEvent(anchor=str()):
                reading.problems.append(f"{place}: anchors (&name) are not read; write the value out")
                return
            case yaml.ScalarEvent(tag=str(tag)) | yaml.CollectionStartEvent(tag=str(tag)):
                reading.problems.append(f"{place}: the tag {one_line(tag)} is not read; write a plain value")
                return
            case yaml.DocumentStartEvent():
                n_documents += 1
            case yaml.MappingStartEvent():
                n_mappings += 1
            case yaml.ScalarEvent() if n_mappings:
                yield event
        if n_documents > 1:
            reading.problems.append(f"{place}: a second document; a config is one mapping of key: value lines")
            return
        listed = isinstance(event, yaml.SequenceStartEvent)
        loose = isinstance(event, yaml.ScalarEvent) and not n_mappings
        if listed or loose or n_mappings > 1:
            reading.problems.append(f"{place}: nested or listed values are not read; a config is flat: key: value")
            return


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _settings(scalars: list[yaml.ScalarEvent], path: str, reading: Reading) -> None:
    for written, value in zip(scalars[::2], scalars[1::2]):
        place = f"{path}:{_line(written)}"
        name = written.value.replace("-", "_")
        if name == "<<":
            reading.problems.append(f"{place}: merge keys (<<) are not read; write the values out")
        elif name in reading.layer:
            first = reading.layer[name].origin
            reading.problems.append(f"{place}: {one_line(name)} is set twice, first at {first}; keep one")
        else:
            plain_null = not value.style and value.value in NULL  # None from PyYAML's own parser, '' from libyaml's
            reading.layer[name] = Setting(None if plain_null else value.value, place)
