"""The lists of names agree with each other and with the schema."""

from __future__ import annotations

import itertools

from gptmill.config import aliases, later
from gptmill.config.coerce import expects
from gptmill.config.load import load
from gptmill.config.names import KNOWN
from gptmill.config.resolve import EXCLUSIVE
from gptmill.config.rules.limits import LARGEST
from gptmill.config.schema import Config


def test_no_name_means_two_things() -> None:
    lists = [
        Config.model_fields,
        aliases.RENAMED,
        aliases.SWITCHES,
        aliases.SIZES,
        aliases.NO_EFFECT,
        later.KEYS,
    ]
    for one, other in itertools.combinations(lists, 2):
        assert not set(one) & set(other)
    assert len(KNOWN) == sum(len(names) for names in lists)


def test_every_alias_and_rule_names_a_key_that_exists() -> None:
    targets = [
        *aliases.RENAMED.values(),
        *aliases.SIZES.values(),
        *(key for key, _, _ in aliases.SWITCHES.values()),
        *aliases.SAME_VALUE,
    ]
    targets += [*LARGEST, *itertools.chain(*EXCLUSIVE)]
    assert set(targets) <= set(Config.model_fields)


def test_every_default_is_accepted_when_written_out() -> None:
    for key, field in Config.model_fields.items():
        assert getattr(load([f"--{key}={field.default}"]).config, key) == field.default
        assert expects(key)


def test_every_inert_value_is_accepted() -> None:
    for name, missing in later.KEYS.items():
        for value in missing.inert:
            assert load([f"--{name}={value}"]).config == Config()
