"""The dataset a config names, prepared on the spot when it is a small one that is known by name."""

from __future__ import annotations

from pathlib import Path

from gptmill.config.schema import Config
from gptmill.data.corpora import CORPORA
from gptmill.data.facts import dataset_folder, folder_name, read_facts
from gptmill.data.layout import is_dataset
from gptmill.data.tokenizers import canonical
from gptmill.errors import UserError
from gptmill.plan.types import DataFacts


def folder_of(config: Config) -> Path:
    """Where the config's dataset is, or the part of it that max_samples asks for."""
    return dataset_folder(config.data_dir, folder_name(config.dataset, config.max_samples))


def as_prepared(config: Config) -> Config:
    """The config with what preparing a dataset known by name will choose, for a plan before that."""
    if config.dataset not in CORPORA or config.tokenizer not in (None, CORPORA[config.dataset].tokenizer):
        return config
    corpus = CORPORA[config.dataset]
    return config.model_copy(
        update={"tokenizer": corpus.tokenizer, "vocab_size": config.vocab_size or corpus.vocab_size}
    )


def ready_data(config: Config) -> DataFacts:
    """What is known of the config's dataset.

    Raises:
        DataError: it is not prepared, or damaged.
        UserError: it was prepared with another tokenizer than the config asks for.
    """
    folder = folder_of(config)
    if not is_dataset(folder) and config.dataset in CORPORA and CORPORA[config.dataset].on_demand:
        from gptmill.cli.prepare import prepare_known

        prepare_known(config.dataset, config.data_dir, config.tokenizer, config.max_samples)
        _forget()
    facts = read_facts(config.data_dir, config.dataset, config.max_samples)
    if config.tokenizer is not None and facts.tokenizer not in (None, canonical(config.tokenizer)):
        raise UserError(
            f"tokenizer={config.tokenizer}: {folder} was prepared with {facts.tokenizer}; leave tokenizer out, or "
            f"prepare the text again with --tokenizer {config.tokenizer} --overwrite"
        )
    if facts.vocab_size is None and config.vocab_size is None and (folder / "meta.pkl").exists():
        raise UserError(
            f"vocab_size: {folder} keeps its vocabulary in meta.pkl, and a pickle is never opened; its largest id is "
            f"{largest_id(facts)}, so set vocab_size={largest_id(facts) + 1} or what its prepare.py printed"
        )
    return facts


def largest_id(facts: DataFacts) -> int:
    """Over both splits of a bare dataset."""
    from gptmill.data.shards import open_tokens

    return max(int(open_tokens(Path(facts.path) / f"{split}.bin").ids.max()) for split in ("train", "val"))


def _forget() -> None:
    """Give back what preparing took, which may be more than the run will take, and count the most held anew."""
    from gptmill.track.summary import forget_peak
    from gptmill.train.device import give_back_memory

    give_back_memory("cpu")
    forget_peak()
