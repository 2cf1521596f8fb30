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
    left: list[Storage] = []
    head: Storage | None = None
    for start in starts:
        here = min(rows, s.rows - start)
        left = chunk(tape, s, here * s.shape.vocab_size, left)
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
    tape.before_loss = None
    for storage in (*left, copy):
        storage.release()
    x.drop()
    tape.leave_autocast()
    if tape.adds and head:
        # a tied weight's gradient waits for that of the embedding
        steps = tape.at_embedding if s.shape.weight_tying else tape.later
        steps(head.release)


def chunk(tape: Tape, s: Setting, numbers: int, left: list[Storage]) -> list[Storage]:
    """Make a chunk's logits and turn them into their gradient, which is what is left of it."""
    if s.compiled:  # nothing outlives its last use; probabilities are scattered into, so they are stored
        for storage in left:
            storage.release()
        logits = Storage(tape, numbers * s.width)
        wide = Storage(tape, numbers * 4)
        logits.release()
        if not s.narrowed:
            return [wide]
        gradient = Storage(tape, numbers * s.width)
        wide.release()
        return [gradient]
    logits = Storage(tape, numbers * s.width)
    wide = Storage(tape, numbers * 4) if s.narrowed else logits.hold()
    probabilities = Storage(tape, numbers * 4)
    wide.release()
    logits.release()
    # Python's variables hold what the last chunk left until they are bound to this one's
    for storage in left[:1]:
        storage.release()
    made = [probabilities, Storage(tape, numbers * s.width)] if s.narrowed else [probabilities]
    for storage in left[1:]:
        storage.release()
    return made
