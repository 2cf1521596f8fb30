"""The network's forward pass with sizes in place of numbers: the operations of gptmill/model/, in their order.

Legend: B batch, T block_size, C width, K width of all keys, H heads, D head width, F hidden width, V vocabulary, N = B x T.
What an operation holds for backward follows PyTorch's derivatives.yaml; tests hold the sums against its allocator. What a
compiled one holds is what torch's partitioner saves of the same network: what is cheap to make again is not held.
"""

from __future__ import annotations

from collections.abc import Callable

from gptmill.plan.flops import NORM_VECTORS, has_closed_form
from gptmill.plan.memory.head import loss
from gptmill.plan.memory.heap import Heap
from gptmill.plan.memory.setting import Setting
from gptmill.plan.memory.tape import Tape, Value, Weight
from gptmill.shapes import ModelShape

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
        cosines = shape.block_size * shape.head_dim * s.width if s.narrowed else 0  # and sines, cast for each layer
        q, k = (replaced(part, rotate(tape, part, s, table)) for part, table in ((q, cosines), (k, 0)))
    mixed = ATTENTION[shape.attention_backend](tape, q, k, v, s)
    out = linear(tape, mixed, s, C, C)
    for value in (mixed, q, k, v):
        value.drop()
    return out


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


def block(tape: Tape, x: Value, s: Setting) -> Value:
    """Attention, then a feed-forward layer, each added to the stream."""
    norm, feed_forward = NORMS[s.shape.normalization], FEEDFORWARDS[s.shape.ffn_type]
    callers = x.storage.hold()
    for sublayer in (attention, feed_forward):
        if s.shape.norm_position == "pre":
            read = norm(tape, x, s, s.shape.n_embd)
            made = dropout(tape, sublayer(tape, read, s, s.exact), s, s.width)
            read.drop()
            x = replaced(x, tape.add(x, made))
            made.drop()
        else:
            made = dropout(tape, sublayer(tape, x, s, s.width), s, s.width)
            total = tape.add(x, made)
            made.drop()
            x = replaced(x, cast_down(tape, norm(tape, total, s, s.shape.n_embd), s))
            total.drop()
    callers.release()
    return x


def embeddings(tape: Tape, s: Setting) -> Value:
    """The stream as the first block reads it: float32 until the cast to the matmuls' precision."""
    shape = s.shape
    size = s.rows * shape.n_embd * 4
    if shape.weight_tying:  # the head has made this gradient already: another is made, and added to it
        x = tape.op(size)
        tape.at_embedding(lambda: tape.pulse(4 * shape.vocab_size * shape.n_embd))
    else:
        x = tape.op(size, weight=Weight(shape.vocab_size * shape.n_embd))
    if shape.position_encoding == "learned_absolute":
        x = replaced(x, tape.op(size, x, weight=Weight(shape.block_size * shape.n_embd)))
    elif shape.position_encoding == "sinusoidal":
        x = replaced(x, tape.op(size, x, during=[size]))
    x = dropout(tape, x, s, 4)
    return replaced(x, cast(tape, x, 4, s.width))


def blocks(tape: Tape, x: Value, s: Setting) -> Value:
    """All blocks and the last norm."""
    one = traced_block if s.traced else block
    for _ in range(s.shape.n_layer):
        again = s.shape.activation_checkpointing
        x = replaced(x, tape.recomputed(lambda x: one(tape, x, s), x)) if again else one(tape, x, s)
    return x if s.traced else replaced(x, NORMS[s.shape.normalization](tape, x, s, s.shape.n_embd))


def traced_block(tape: Tape, x: Value, s: Setting) -> Value:
    """A block of which only is known what all of them hold, and how many parameters they have."""
    assert s.traced
    held, numbers = (of_all // s.shape.n_layer for of_all in s.traced)
    weight = Weight(numbers, s.width)
    return replaced(x, tape.op(x.size, x, saves=[held // 4 * s.width * s.batch], weight=weight))


def play(s: Setting, accumulated: bool, heap: Heap | None = None) -> Tape:
    """One micro-step, forward and backward."""
    tape = Tape(accumulated, late=s.compiled, heap=heap)
    x = embeddings(tape, s)
    x = blocks(tape, x, s)
    loss(tape, x, s)
    tape.backward()
    return tape


def has_formula(shape: ModelShape) -> bool:
    """Whether every part of the shape is played through here."""
    return has_closed_form(shape) and shape.attention_backend in ATTENTION
