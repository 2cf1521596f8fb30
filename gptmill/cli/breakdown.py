"""``gptmill plan --breakdown``: where the parameters and the FLOPs of a model are, with the formula of each."""

from __future__ import annotations

from gptmill.errors import UserError
from gptmill.plan.flops import elementwise, has_closed_form, members, parts
from gptmill.plan.types import Plan
from gptmill.units import flops

COLUMNS = "{:<20}{:<18}{:>15}{:>7}{:>13}{:>7}"  # 80 wide: member, formula, parameters, share, FLOP, share


def breakdown(plan: Plan) -> str:
    """The table, as text.

    Raises:
        UserError: a part has no formulas, because it came from outside.
    """
    s = plan.shape
    if not has_closed_form(s):
        raise UserError(
            f"--breakdown: {plan.architecture} has a part without formulas; PyTorch counts {plan.params:,} "
            f"parameters and {flops(plan.flops_per_token)} to train on one token; leave --breakdown out"
        )
    letters = {"L": s.n_layer, "C": s.n_embd, "H": s.n_head, "G": s.n_kv_head, "D": s.head_dim, "F": s.ffn_dim}
    letters |= {"T": s.block_size, "V": s.vocab_size}
    rows = members(s)
    forward = sum(row.flops for row in rows)
    lines = [
        plan.architecture,
        "  ".join(f"{letter}={value:,}" for letter, value in letters.items()),
        "",
        COLUMNS.format("", "formula", "parameters", "", "FLOP", ""),
    ]
    for row in rows:
        held = (f"{row.params:,}", f"{row.params / plan.params:.1%}") if row.params else ("", "")
        spent = (f"{row.flops / 1e6:,.2f}M", f"{row.flops / forward:.1%}") if row.flops else ("", "")
        lines.append(COLUMNS.format(row.name, row.formula, *held, *spent))
    lines += [
        COLUMNS.format("together", "", f"{plan.params:,}", "", f"{forward / 1e6:,.2f}M", ""),
        "",
        "FLOP: one token's way forward, 2 for each multiply-add of a matmul; formulas",
        f"are of parameters. Training takes three times as many: {flops(plan.flops_per_token)} a token.",
    ]
    cost, beside = parts(s), [f"{work / 1e6:.2f}M for {name}" for name, work in elementwise(s).items()]
    lines += [
        f"Attention is {cost.attention_to_ffn(causal=False):.2f} of feed-forward,"
        f" {cost.attention_to_ffn(causal=True):.2f} without the half that the mask hides.",
    ]
    if beside:
        lines.append(f"Besides, in no MFU: {' and '.join(beside)}.")
    if s.weight_tying:
        lines.append("The output head is the token embedding again: V C parameters counted once.")
    return "\n".join(line.rstrip() for line in lines)
