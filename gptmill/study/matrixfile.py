"""Reads the YAML form of a matrix: what varies under ``test_matrix:``, and settings of all runs under ``common_config:``.

test_matrix: {models: [gpt2], optimizers: [adamw, sgd], pruning_methods: [none, magnitude], sparsity_levels: [0.5, 90]}
common_config: {batch_size: 12, num_epochs: 2, pruning: {warmup_steps: 100, frequency: 50}}
advanced: {compile_model: true, mixed_precision: false}
"""

from __future__ import annotations

from gptmill.config.coerce import as_bool
from gptmill.config.layers import Layer, Setting
from gptmill.config.wording import config_error, show
from gptmill.config.yamlfile import MATRIX
from gptmill.config.yamltree import Node, read_tree
from gptmill.study.matrix import Axes, unknown_models
from gptmill.study.reader import Reader

ROOT = "test_matrix"
SECTIONS = (ROOT, "common_config", "advanced")
AXES = ("models", "optimizers", "pruning_methods", "sparsity_levels")
OF_PRUNING = {"target_sparsity": "target_sparsity", "warmup_steps": "pruning_warmup", "frequency": "pruning_interval"}
SWITCHES = {"compile_model": ("compile", "True", "False"), "mixed_precision": ("dtype", "auto", "float32")}


def is_matrix(text: str, path: str) -> bool:
    """Whether it has the section that makes a YAML file one of a matrix."""
    return path.endswith((".yaml", ".yml")) and MATRIX.search(text) is not None


def read_matrix(text: str, path: str) -> tuple[Axes, Layer]:
    """What it varies, and the settings of all runs.

    Raises:
        ConfigError: everything wrong with it, but for the keys and values of runs.
    """
    return _Reader(path).matrix(read_tree(text, path))


class _Reader(Reader):
    def matrix(self, root: Node) -> tuple[Axes, Layer]:
        found = self.mapping(root, "a matrix", SECTIONS)
        listed = self.mapping(found[ROOT], ROOT, AXES)
        words = {name: self.words(listed[name], name) if name in listed else () for name in AXES}
        self.problems += unknown_models(f"{self.path}: models", words["models"])
        percents = tuple(self.percent(listed["sparsity_levels"], word) for word in words["sparsity_levels"])
        layer = self.settings(found["common_config"]) if "common_config" in found else {}
        layer |= self.switches(found["advanced"]) if "advanced" in found else {}
        if self.problems:
            raise config_error(self.problems)
        return Axes(words["models"], words["optimizers"], words["pruning_methods"], percents), layer

    def words(self, node: Node, name: str) -> tuple[str, ...]:
        values = [each.value for each in node.value] if isinstance(node.value, list) else [node.value]
        words = [value or "none" for value in values if value is None or isinstance(value, str)]  # YAML's none
        if not words or len(words) < len(values):
            self.wrong(node, f"{name}: must be a list of words, [a, b]")
        return tuple(dict.fromkeys(words))

    def percent(self, node: Node, word: str) -> float:
        """Of a share below 1, or of percent."""
        value = self.number(Node(word, node.line), "sparsity_levels")
        percent = 100 * value if value < 1 else value
        if not 0 < percent < 100:
            self.wrong(node, f"sparsity_levels: {show(word)}: must be a share such as 0.5, or percent below 100")
        return percent

    def settings(self, node: Node) -> Layer:
        if not isinstance(node.value, dict):
            self.wrong(node, "common_config: must be lines of key: value")
            return {}
        layer: Layer = {}
        for name, each in node.value.items():
            if name == "pruning":
                for theirs, one in self.mapping(each, "pruning", [*OF_PRUNING, "ramp_end_epoch"]).items():
                    if theirs in OF_PRUNING:  # epochs of what, nobody says: pruning_ramp_end is in steps
                        layer |= self.setting(OF_PRUNING[theirs], one)
            else:
                layer |= self.setting(name.replace("-", "_"), each)
        return layer

    def setting(self, name: str, node: Node) -> Layer:
        if isinstance(node.value, list | dict):
            self.wrong(node, f"{name}: must be one value")
            return {}
        return {name: Setting(node.value, f"{self.path}:{node.line}")}

    def switches(self, node: Node) -> Layer:
        layer: Layer = {}
        for name, each in self.mapping(node, "advanced", SWITCHES).items():
            key, on, off = SWITCHES[name]
            chosen = as_bool(self.text(each) or "")
            if chosen is None:
                self.wrong(each, f"{name}: {show(each.plain())}: must be true or false")
            layer[key] = Setting(on if chosen else off, f"{self.path}:{each.line}")
        return layer
