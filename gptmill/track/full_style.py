"""log_style=full: a report before the first step, and a block of lines for each step that is logged.

No line is wider than 80 columns. Pictures and drawn rules are for terminals that can show them; elsewhere it is ASCII.
"""

from __future__ import annotations

from typing import Any

from gptmill.events import StepDone
from gptmill.plan.batch import sizes
from gptmill.plan.types import Plan
from gptmill.track.line_style import device_line, parts_words, sparsity_words

WIDTH = 80
TITLES = {
    "start": ("🚀 ", "TRAINING INITIALIZATION"),
    "model": ("📊 ", "MODEL ARCHITECTURE:"),
    "training": ("🔧 ", "TRAINING CONFIGURATION:"),
    "hardware": ("🔩 ", "HARDWARE:"),
    "performance": ("📈 ", "THEORETICAL PERFORMANCE:"),
    "go": ("🏁 ", "STARTING TRAINING"),
}
STEP_PICTURES = {"step": "📍 ", "speed": "⚡ ", "memory": "💾 ", "gradients": "📊 ", "time": "⏳ "}


class FullStyle:
    """The blocks of one run.

    Args:
        about: ``startup_info`` of the run's JSON log.
    """

    scrolls = True

    def __init__(self, plan: Plan, about: dict[str, Any]) -> None:
        self._plan, self._about = plan, about

    def opening(self, fancy: bool) -> list[str]:
        """The report. ``fancy``: pictures and drawn rules."""
        titles = {name: picture * fancy + words for name, (picture, words) in TITLES.items()}
        lines = [device_line(self._plan), "", *banner(titles["start"])]
        for name, rows in report(self._plan, self._about).items():
            lines += ["", titles[name], *(f"  {label + ':':<22} {value}" for label, value in rows)]
        return [*lines, "", *banner(titles["go"]), ""]

    def step(self, event: StepDone, eta: str | None, fancy: bool) -> list[str]:
        """The block of one step; what is not known is left out, but for MFU while the first steps warm up."""
        bar, rule = (" │ ", "─" * WIDTH) if fancy else (" | ", "-" * WIDTH)
        pictures = STEP_PICTURES if fancy else dict.fromkeys(STEP_PICTURES, "")
        skipped, sparsity = ["SKIPPED"] if event.skipped else [], sparsity_words(event, "Sparsity:")
        head = [
            f"Iter {event.iter:>6}",
            f"Loss: {event.loss:.4f}{parts_words(event)}",
            f"Time: {milliseconds(event.seconds)}ms",
        ]
        lines = [rule, pictures["step"] + bar.join([*head, f"LR: {event.lr:.2e}", *sparsity, *skipped]), rule]
        if event.mfu:
            first, second = speed(event.mfu, warming="(warming up...)")
            rows = [bar.join(row) for row in (first, second) if row]
            lines += [pictures["speed"] + rows[0], *("   " * fancy + row for row in rows[1:])]
        if memory := memory_line(event.memory):
            lines.append(pictures["memory"] + "Memory: " + bar.join(memory))
        lines.append(pictures["gradients"] + "Gradients: " + bar.join(gradients(event)))
        if times := time_line(event, eta):
            lines.append(pictures["time"] + "Step: " + bar.join(times))
        return lines


def banner(title: str) -> list[str]:
    return ["=" * WIDTH, title, "=" * WIDTH]


def report(plan: Plan, about: dict[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """The rows of the report, by section."""
    shape, model, hardware, performance = plan.shape, about["model"], about["hardware"], about["performance"]
    peak, expected = performance["hardware_peak_tflops"], performance["expected_tokens_per_sec"]
    gpu = plan.device.startswith("cuda")
    ratio, causal = performance["attention_to_ffn_ratio"], performance["attention_to_ffn_ratio_causal"]
    return {
        "model": [
            ("Architecture", plan.architecture),
            *(
                (name, f"{model[key]:,} ({model[key] / 1e6:.2f}M)")
                for name, key in (
                    ("Total parameters", "total_params"),
                    ("Trainable parameters", "trainable_params"),
                    ("Non-embedding params", "non_embedding_params"),
                )
            ),
            ("Layers", f"{shape.n_layer}"),
            ("Hidden size", f"{shape.n_embd}"),
            ("Attention heads", f"{shape.n_head}"),
            ("Sequence length", f"{shape.block_size}"),
            ("Vocabulary size", f"{shape.vocab_size}"),
        ],
        "training": [
            ("Batch size (micro)", sizes(plan)),
            ("Gradient accum steps", f"{plan.gradient_accumulation_steps}"),
            ("Effective batch size", f"{plan.effective_batch_size:,}"),
            ("Tokens per iteration", f"{plan.tokens_per_iter:,}"),
            ("Iterations", f"{plan.max_iters:,}"),
            ("Optimizer", plan.optimizer),
            ("Learning rate", f"{plan.learning_rate:g}, {plan.schedule}, {plan.warmup_iters:,} iterations of warmup"),
            ("Weight decay", f"{plan.weight_decay:g}"),
        ],
        "hardware": [
            ("Device", hardware["gpu_name"]),
            ("GPUs" if gpu else "Processes", f"{hardware['num_gpus']}"),
            *([("Memory per GPU", f"{hardware['gpu_memory_gb']:.1f} GB")] if hardware["gpu_memory_gb"] else []),
            ("Precision", hardware["precision"]),
            ("Parallelism", hardware["parallelism"]),
        ],
        "performance": [
            ("Hardware peak", f"{peak:.1f} TFLOPS (dense {plan.dtype})" if peak else "not published, so no MFU"),
            ("FLOPs per token", f"{amount(plan.flops_per_token)}FLOPs"),
            *([("Attention/FFN ratio", f"{ratio:.2f} ({causal:.2f} without what the mask hides)")] if ratio else []),
            *([("Tokens/s @50% MFU", f"{expected:,.0f}")] if expected else []),
        ],
    }


def speed(mfu: dict[str, Any], warming: str) -> tuple[list[str], list[str]]:
    """Two rows: shares of the peak, and tokens. Where no peak is published, none of it is a share."""
    peak, achieved, tokens = mfu["hardware_peak_tflops"], mfu["achieved_tflops"], mfu["tokens_per_sec"]
    share = warming if mfu["mfu_percent"] is None else f"{mfu['mfu_percent']:.2f}%"
    busy = mfu.get("gpu_utilization_percent")
    return (
        [
            *([f"MFU: {share}"] if peak else []),
            *([] if achieved is None else [f"Achieved: {amount(achieved * 1e12)}F"]),
            *([f"Peak: {peak:.1f} TF"] if peak else []),
            *([] if busy is None else [f"GPU busy: {busy:.0f}%"]),
        ],
        [
            *([] if tokens is None else [f"Tokens/s: {tokens:,.0f}"]),
            f"FLOPs/token: {amount(mfu['flops_per_token'])}F",
        ],
    )


def amount(flop: float) -> str:
    """A number and a prefix, before F or FLOPs: 854_654_976 -> '0.8547 G', 781.9e12 -> '781.9 T', 2e7 -> '20 M'."""
    limit, prefix = next((row for row in ((1e12, "T"), (1e9, "G"), (1e6, "M")) if flop >= 0.1 * row[0]), (1e3, "k"))
    return f"{flop / limit:.4g} {prefix}"


def milliseconds(seconds: float) -> str:
    """'537', and '5.37' where the rounding would be a part of it."""
    return f"{seconds * 1e3:.0f}" if seconds >= 0.1 else f"{seconds * 1e3:.3g}"


def memory_line(memory: dict[str, float] | None) -> list[str]:
    words = {"allocated_gb": "alloc", "max_allocated_gb": "peak", "reserved_gb": "reserved", "host_gb": "host"}
    return [f"{memory[key]:.2f} GB {word}" for key, word in words.items() if memory and memory.get(key) is not None]


def gradients(event: StepDone) -> list[str]:
    """The norm of every step; mean and deviation on steps that looked at them."""
    looked = event.gradients or {}
    known = [(word, looked.get(key)) for word, key in (("mean", "grad_mean"), ("std", "grad_std"))]
    return [f"norm={event.grad_norm:.4f}", *(f"{word}={value:.2e}" for word, value in known if value is not None)]


def time_line(event: StepDone, eta: str | None) -> list[str]:
    """Shares of the step, and when the run will be done."""
    shares = [f"{name} {seconds / event.seconds:.0%}" for name, seconds in event.times.items() if event.seconds]
    return [*shares, *([] if eta is None else [f"ETA {eta}"])]
