"""Attention with sizes in place of numbers: the operations of model/kernels.py and of the layer around them, in their order.

Legend: C width, K width of all keys, H heads, T block_size.
"""

from __future__ import annotations

from collections.abc import Callable

from gptmill.plan.memory.parts import NORMS, cast_down, dropout, linear, replaced
from gptmill.plan.memory.setting import Setting
from gptmill.plan.memory.tape import Tape, Value
from gptmill.shapes import ModelShape


def rotate(tape: Tape, x: Value, s: Setting, table: int) -> Value:
    """Rotary positions: halves are multiplied by a table of cosines and sines, then put together in a new block."""
    halves = [] if s.compiled else [x.size // 2, x.size // 2]
    return tape.op(x.size, x, saves=[table] if table else [], during=halves, back=halves)


def by_heads(shape: ModelShape) -> bool:
    """Whether queries and keys are made anew, in one piece; else they are columns of the matmul's result."""
    return shape.position_encoding == "rope" or shape.qk_norm


def sdpa(tape: Tape, q: Value, k: Value, v: Value, s: Setting) -> Value:
    """Fused attention holds what it read, its result, and a logarithm for each row of scores.

    Its result lies as the queries lie: where those are in one piece, by heads, it is copied to lie by tokens. A window
    takes a mask, and keys and values copied for each query head.
    """
    if s.shape.dropout and s.device == "cpu":
        return manual(tape, q, k, v, s)  # the kernel has no dropout there: PyTorch falls back to the formula
    masked = [s.shape.block_size**2 * s.width] if s.shape.sliding_window else []
    copies = [tape.op(q.size, part) for part in (k, v)] if masked else []
    k, v = copies or (k, v)
    logarithms = 4 * s.rows * s.shape.n_head
    # CUDA's backward sums the queries' gradients in float32, by heads, before it rounds them
    back = [s.rows * s.shape.n_embd * 4, logarithms] if s.device == "cuda" and s.narrowed else []
    mixed = tape.op(q.size, q, k, v, saves=[q, k, v, logarithms, *masked], saves_result=True, back=back)
    for part in copies:
        part.drop()
    return replaced(mixed, tape.op(q.size, mixed)) if by_heads(s.shape) else mixed


def manual(tape: Tape, q: Value, k: Value, v: Value, s: Setting) -> Value:
    """The textbook formula, every T x T matrix in memory."""
    in_one_piece = by_heads(s.shape) or s.batch == 1
    divided = tape.op(q.size, q)
    if not in_one_piece:  # a view of queries, keys and values side by side is copied for the batched matmul
        divided, k = replaced(divided, tape.op(q.size, divided)), tape.op(k.size, k)
    size = s.scores * s.width
    scores = tape.op(size, divided, k, saves=[divided, k])
    divided.drop()
    if not in_one_piece:
        k.drop()
    biased = tape.alias(tape.new(size), scores)
    scores.drop()
    wide = s.scores * s.exact
    weights = tape.op(wide, biased, saves_result=True, during=[wide] if wide > size else [])
    weights = cast_down(tape, dropout(tape, weights, s, s.exact), s)
    if s.batch > 1:
        v = tape.op(v.size, v)
    mixed = tape.op(q.size, weights, v, saves=[weights, v])
    for value in (weights, biased, *([v] if s.batch > 1 else [])):
        value.drop()
    return replaced(mixed, tape.op(q.size, mixed))


ATTENTION: dict[str, Callable[[Tape, Value, Value, Value, Setting], Value]] = {"sdpa": sdpa, "manual": manual}


def attention(tape: Tape, x: Value, s: Setting, width: int) -> Value:
    """From what the sublayer reads, numbers of ``width`` bytes, to what it adds to the stream."""
    shape = s.shape
    C, K = shape.n_embd, shape.kv_dim
    qkv = linear(tape, x, s, C, C + 2 * K, width)
    q, k, v = tape.split(qkv, [s.activation(columns) for columns in (C, K, K)])
    qkv.drop()
    if shape.qk_norm:
        norm = NORMS[shape.normalization]
        q, k = (replaced(part, cast_down(tape, norm(tape, part, s, shape.head_dim), s)) for part in (q, k))
    if shape.position_encoding == "rope":
        cosines = 2 * shape.block_size * shape.head_dim * s.width if s.narrowed else 0  # and sines, cast for each layer
        q, k = (replaced(part, rotate(tape, part, s, table)) for part, table in ((q, cosines), (k, 0)))
    mixed = ATTENTION[shape.attention_backend](tape, q, k, v, s)
    out = linear(tape, mixed, s, C, C)
    for value in (mixed, q, k, v):
        value.drop()
    return out
