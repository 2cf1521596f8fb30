"""Operations that the model's parts are made of, with sizes in place of numbers: linear layers, norms, dropout, feed-forwards.

Legend: C width, F hidden width. What an operation holds for backward follows PyTorch's derivatives.yaml; tests hold the sums
against its allocator. What a compiled one holds is what torch's partitioner saves: what is cheap to make again is not held.
"""

from __future__ import annotations

from collections.abc import Callable

from gptmill.plan.flops import NORM_VECTORS
from gptmill.plan.memory.setting import Setting
from gptmill.plan.memory.tape import Tape, Value, Weight

Sublayer = Callable[[Tape, Value, Setting, int], Value]


def cast(tape: Tape, x: Value, width: int, to: int) -> Value:
    """x, whose numbers are ``width`` bytes wide, in another precision; a view where it is the same."""
    return tape.view(x) if width == to else tape.op(x.size // width * to, x)


def cast_down(tape: Tape, x: Value, s: Setting) -> Value:
    """What CUDA's autocast made wide, in the matmuls' precision again."""
    return x if s.exact == s.width else replaced(x, tape.op(x.size // s.exact * s.width, x))


def replaced(old: Value, new: Value) -> Value:
    """A variable is bound to another value."""
    old.drop()
    return new


def linear(tape: Tape, x: Value, s: Setting, columns: int, to: int, width: int | None = None) -> Value:
    """A matmul from ``columns`` to ``to``; autocast casts its input where that is wider. Holds what it read."""
    read = cast(tape, x, width or s.width, s.width)
    numbers = columns * to + (to if s.shape.bias else 0)
    out = tape.op(s.activation(to), read, saves=[read], weight=Weight(numbers, s.width))
    read.drop()
    return out


def layernorm(tape: Tape, x: Value, s: Setting, columns: int) -> Value:
    """Holds its input, and a mean and a deviation of each row."""
    rows = x.size // (columns * s.width)
    read = cast(tape, x, s.width, s.exact)
    vectors = NORM_VECTORS[s.shape.normalization][s.shape.bias]
    out = tape.op(read.size, read, saves=[read, 8 * rows], weight=Weight(vectors * columns))
    read.drop()
    return out


def rmsnorm(tape: Tape, x: Value, s: Setting, columns: int) -> Value:
    """One kernel on CUDA; elsewhere PyTorch composes it of float32 operations and holds the input and its quotient."""
    rows = x.size // (columns * s.width)
    if s.device == "cuda" or s.compiled:
        read = cast(tape, x, s.width, s.exact)
        out = tape.op(read.size, read, saves=[read, 4 * rows], weight=Weight(columns))
    else:
        read = cast(tape, x, s.width, 4)
        wide = read.size
        tape.pulse(wide)  # squares
        during = [wide] if s.narrowed else []
        saves: list[Value | int] = [read, wide, 4 * rows]
        out = tape.op(x.size, read, saves=saves, weight=Weight(columns), during=during, back=[wide, wide])
    read.drop()
    return out


NORMS: dict[str, Sublayer] = {"layernorm": layernorm, "layernorm_nobias": layernorm, "rmsnorm": rmsnorm}


def dropout(tape: Tape, x: Value, s: Setting, width: int) -> Value:
    """KeyedDropout: an int32 is hashed for each number; the scale that they are multiplied by is held.

    A compiled one hashes on the way and holds a byte for each number.
    """
    if not s.shape.dropout:
        return x
    numbers = x.size // width
    if s.compiled:
        return replaced(x, tape.op(x.size, x, saves=[numbers]))
    bits, index = 4 * numbers, 4 * numbers // s.batch
    tape.pulse(index, bits, bits)  # hashed, and shifted beside it
    return replaced(x, tape.op(x.size, x, saves=[x.size], during=[index, bits, numbers, x.size]))


def standard(tape: Tape, x: Value, s: Setting, width: int) -> Value:
    """Widen, bend, narrow: the activation holds what it read; relu what it made, which the next matmul holds anyway."""
    C, F = s.shape.n_embd, s.shape.ffn_dim
    wide = linear(tape, x, s, C, F, width)
    relu = s.shape.activation == "relu"
    bent = tape.op(wide.size, wide, saves=[] if relu else [wide], saves_result=relu)
    wide.drop()
    out = linear(tape, bent, s, F, C)
    bent.drop()
    return out


def swiglu(tape: Tape, x: Value, s: Setting, width: int) -> Value:
    """Gate and way up are two views of one matmul's result; their product is held by the matmul that reads it."""
    C, F = s.shape.n_embd, s.shape.ffn_dim
    both = linear(tape, x, s, C, 2 * F, width)
    gate, up = tape.split(both, [both.size // 2] * 2)
    both.drop()
    bent = tape.op(gate.size, gate, saves=[gate])
    product = tape.op(gate.size, bent, up, saves=[up] if s.compiled else [bent, up])
    bent.drop()
    out = linear(tape, product, s, F, C)
    for value in (product, gate, up):
        value.drop()
    return out


FEEDFORWARDS: dict[str, Sublayer] = {"standard": standard, "swiglu": swiglu}
