"""The chunked vocabulary loss with sizes in place of numbers: model/loss.py, in its order."""

from __future__ import annotations

from gptmill.plan.memory.setting import Setting
from gptmill.plan.memory.tape import Storage, Tape, Value

CHUNK_ELEMENTS = {"cpu": 2**24, "cuda": 2**27}  # model/loss.py's; a test holds them equal
PLAYED = 3  # chunks: the first makes the weights' gradient, the later ones are alike


def loss(tape: Tape, x: Value, s: Setting) -> None:
    """The head's gradients are made on the way forward, beside one chunk of logits; x gets its own."""
    weights = s.shape.vocab_size * s.shape.n_embd
    rows = max(1, CHUNK_ELEMENTS.get(s.device, 2**24) // s.shape.vocab_size) if s.shape.chunked_loss else s.rows
    starts = range(0, s.rows, rows)[:PLAYED]
    x.grad = Storage(tape, x.size)
    tape.before_loss = tape.live
    copy = Storage(tape, weights * s.width if s.narrowed else 0)
    head: Storage | None = None
    for start in starts:
        here = min(rows, s.rows - start)
        gradient = chunk(tape, s, here * s.shape.vocab_size)
        tape.pulse(here * s.shape.n_embd * s.width)  # the chunk's share of x's gradient
        if head is None:
            made = Storage(tape, weights * s.width)
            head = Storage(tape, weights * 4) if s.narrowed else made.hold()
            made.release()
            tape.before_loss += head.size
            if not tape.adds:
                tape.keep(head)
        else:
            tape.pulse(weights * s.width)
        gradient.release()
    tape.before_loss = None
    copy.release()
    x.drop()
    tape.leave_autocast()
    if tape.adds and head:
        # a tied weight's gradient waits for that of the embedding
        steps = tape.at_embedding if s.shape.weight_tying else tape.later
        steps(head.release)


def chunk(tape: Tape, s: Setting, numbers: int) -> Storage:
    """Make a chunk's logits and turn them into their gradient, which is what is left of it."""
    logits = Storage(tape, numbers * s.width)
    if s.compiled:  # probabilities are scattered into, so they are stored; nothing else is
        probabilities = Storage(tape, numbers * 4)
    else:
        wide = Storage(tape, numbers * 4) if s.narrowed else logits.hold()
        probabilities = Storage(tape, numbers * 4)
        wide.release()
    logits.release()
    if not s.narrowed:
        return probabilities
    gradient = Storage(tape, numbers * s.width)
    probabilities.release()
    return gradient
