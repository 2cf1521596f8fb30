"""The network's forward and backward pass with sizes in place of numbers: the operations of model/gpt.py, in their order."""

from __future__ import annotations

from gptmill.plan.flops import has_closed_form
from gptmill.plan.memory.attention import ATTENTION, attention
from gptmill.plan.memory.head import loss
from gptmill.plan.memory.heap import Heap
from gptmill.plan.memory.parts import FEEDFORWARDS, NORMS, cast, cast_down, dropout, replaced
from gptmill.plan.memory.setting import Setting
from gptmill.plan.memory.tape import Tape, Value, Weight
from gptmill.shapes import ModelShape


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
