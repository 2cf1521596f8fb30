"""What single keys cannot say: rules over several keys, and text keys with a syntax. Each rule is one function.

A rule returns None or a Broken: the keys it is about, why they cannot work and what to try. Only the impossible is
refused here; what is merely unwise is advice, given by the plan.
"""

from __future__ import annotations

from collections.abc import Callable

from gptmill.config.rules import devices, model, names
from gptmill.config.rules.broken import Broken
from gptmill.config.rules.limits import too_large
from gptmill.config.schema import Config

RULES: list[Callable[[Config], Broken | None]] = [
    model.heads_divide_width,
    model.kv_heads_divide_heads,
    model.rope_needs_pairs,
    model.floor_below_peak,
    devices.device_is_known,
    devices.cpu_has_no_fp16,
    devices.fsdp_has_no_scaler_and_no_samples,
    devices.pruning_sees_whole_weights,
    devices.state_pruning_needs_moments,
    devices.optimizer_has_what_it_needs,
    devices.schedule_free_is_not_pruned,
    devices.schedule_free_interpolates,
    names.start_is_known,
    names.checkpoint_is_a_folder,
    names.dataset_stays_inside,
    names.folders_are_named,
    names.wandb_names_are_not_empty,
    names.paths_are_short,
    names.tokenizer_is_known,
]


def broken_rules(config: Config) -> list[Broken]:
    """Every rule that ``config`` breaks."""
    large = too_large(config)
    known = {key for broken in large for key in broken.keys}
    return large + [broken for rule in RULES if (broken := rule(config)) and not known & set(broken.keys)]
