"""What is alive when: a forward and a backward pass played through with sizes in place of numbers.

A ``Tape`` counts bytes as PyTorch's autograd would hold them: an operation makes a result, what backward needs is held
until backward has used it, and a gradient lives from the operation that makes it to the one that takes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gptmill.plan.memory.heap import Heap

GENERATOR = 5056  # bytes of a random generator's state, which torch.utils.checkpoint keeps for each call


class Storage:
    """A block of memory, freed when its last holder lets go. A tensor and its views share one."""

    def __init__(self, tape: Tape, size: int) -> None:
        self.size, self.holders = size, 1
        self._tape = tape
        self._block = tape.heap.take(size) if tape.heap else None
        tape.grow(size)

    def hold(self) -> Storage:
        self.holders += 1
        return self

    def release(self) -> None:
        self.holders -= 1
        if self.holders == 0:
            self._tape.grow(-self.size)
            if self._tape.heap:
                self._tape.heap.give(self._block)


@dataclass(eq=False)
class Value:
    """A tensor as a variable of the forward pass: its storage, its own size [bytes], and later its gradient's."""

    storage: Storage
    size: int
    grad: Storage | None = None

    def drop(self) -> None:
        """The variable is gone; what backward needs stays."""
        self.storage.release()


@dataclass(frozen=True)
class Weight:
    """Parameters that an operation reads.

    Args:
        numbers: how many.
        width: bytes of one in the matmul and in the gradient it makes. Below 4 autocast holds a copy of them until
            backward, and the gradient is cast to float32.
    """

    numbers: int
    width: int = 4


class Tape:
    """Bytes alive now and at most.

    Args:
        accumulated: gradients of earlier micro-steps are there: new ones are added to them and let go.
        late: all of them at the end of backward, as a compiled one does, not each when it is made.
        heap: where blocks come from, if that is to be played through as well.
    """

    def __init__(self, accumulated: bool = False, late: bool = False, heap: Heap | None = None) -> None:
        self.accumulated, self.late, self.heap = accumulated, late, heap
        self.live = self.peak = 0
        self.gradients = 0  # of weights, made in this pass; part of what is alive
        self.before_loss: int | None = None  # what is alive beside the loss, while that is computed
        self.at_peak = (0, 0)  # gradients and logits
        self.kept: list[Storage] = []  # gradients that are there when the pass is over
        self._backward: list[Callable[[], None]] = []
        self._at_embedding: list[Callable[[], None]] = []
        self._recording = True
        self._cast_weights: list[Storage] = []

    def grow(self, size: int) -> None:
        self.live += size
        if self.live > self.peak:
            logits = 0 if self.before_loss is None else self.live - self.before_loss
            self.peak, self.at_peak = self.live, (self.gradients, logits)

    def pulse(self, *sizes: int) -> None:
        """Memory taken and given back at once."""
        for storage in [Storage(self, size) for size in sizes if size]:
            storage.release()

    def new(self, size: int) -> Value:
        return Value(Storage(self, size), size)

    def op(
        self,
        size: int,
        *inputs: Value,
        saves: Sequence[Value | int] = (),
        saves_result: bool = False,
        weight: Weight | None = None,
        during: Sequence[int] = (),
        back: Sequence[int] = (),
    ) -> Value:
        """One differentiable operation with a result of ``size`` bytes; each input gets a gradient of its own size.

        Args:
            saves: what backward needs: values, or bytes that nothing else names.
            during: blocks beside the result while it is computed.
            back: blocks beside the inputs' gradients while those are computed.
        """
        copy = Storage(self, weight.numbers * weight.width) if weight and weight.width < 4 else None
        beside = [Storage(self, block) for block in during]
        out = self.new(size)
        for storage in beside:
            storage.release()
        if copy:
            self._cast_weights.append(copy)
        if not self._recording:
            return out
        kept = [saved.storage.hold() if isinstance(saved, Value) else Storage(self, saved) for saved in saves]
        if saves_result:
            kept.append(out.storage.hold())
        if copy:
            kept.append(copy.hold())

        def backward() -> None:
            fresh = Storage(self, weight.numbers * weight.width) if weight else None
            made = [Storage(self, value.size) for value in inputs]
            self.pulse(*back)
            for storage in kept:
                storage.release()
            _let_go(out)
            if weight and fresh:
                self._weigh(weight, fresh)
            for value, grad in zip(inputs, made):
                self._add(value, grad)

        self.later(backward)
        return out

    def alias(self, out: Value, *inputs: Value) -> Value:
        """``out`` is a view of its inputs, or their sum: its gradient is theirs, in one storage."""

        def backward() -> None:
            assert out.grad is not None
            for value in inputs:
                self._add(value, out.grad.hold())
            _let_go(out)

        self.later(backward)
        return out

    def view(self, whole: Value) -> Value:
        return self.alias(Value(whole.storage.hold(), whole.size), whole)

    def add(self, stream: Value, branch: Value) -> Value:
        return self.alias(self.new(stream.size), branch, stream)

    def split(self, whole: Value, sizes: Sequence[int]) -> list[Value]:
        """Views of parts; backward joins their gradients in a new block."""
        parts = [Value(whole.storage.hold(), size) for size in sizes]

        def backward() -> None:
            joined = Storage(self, whole.size)
            for part in parts:
                _let_go(part)
            self._add(whole, joined)

        self.later(backward)
        return parts

    def recomputed(self, forward: Callable[[Value], Value], x: Value) -> Value:
        """What ``forward`` makes of x, keeping x alone: backward plays it once more before playing it back."""
        self._recording = False
        out = forward(self.view(x))
        self._recording = True
        x.storage.hold()
        generator = Storage(self, GENERATOR)

        def backward() -> None:
            outer, self._backward = self._backward, []
            again = Value(x.storage, x.size)
            result = forward(again)
            self.leave_autocast()
            result.grad, out.grad = out.grad, None
            result.drop()
            self._play_back()
            self._backward = outer
            generator.release()
            assert again.grad is not None
            self._add(x, again.grad)

        self.later(backward)
        return out

    def leave_autocast(self) -> None:
        """Its copies of weights stay where backward needs them only."""
        for copy in self._cast_weights:
            copy.release()
        self._cast_weights.clear()

    def backward(self) -> None:
        """Play all operations back, the last first; the result of the last has its gradient."""
        self._play_back()
        for step in self._at_embedding:
            step()

    @property
    def adds(self) -> bool:
        """Whether a new gradient of a weight is added to an old one as soon as it is made."""
        return self.accumulated and not self.late

    def _play_back(self) -> None:
        while self._backward:
            self._backward.pop()()

    def keep(self, gradient: Storage) -> None:
        """A weight's gradient is made."""
        if self.adds:
            gradient.release()
        else:
            self.gradients += gradient.size
            self.kept.append(gradient)

    def later(self, step: Callable[[], None]) -> None:
        """Do something when backward gets here."""
        if self._recording:
            self._backward.append(step)

    def at_embedding(self, step: Callable[[], None]) -> None:
        """Do something at the end of backward, in the order told."""
        self._at_embedding.append(step)

    def _weigh(self, weight: Weight, fresh: Storage) -> None:
        if weight.width < 4:
            cast = Storage(self, weight.numbers * 4)
            fresh.release()
            fresh = cast
        self.keep(fresh)

    def _add(self, value: Value, grad: Storage) -> None:
        if value.grad is None:
            value.grad = grad
        elif value.grad.holders > 1:  # shared: their sum needs a place of its own
            total = Storage(self, value.size)
            value.grad.release()
            grad.release()
            value.grad = total
        else:
            grad.release()


def _let_go(out: Value) -> None:
    assert out.grad is not None
    out.grad.release()
    out.grad = None
