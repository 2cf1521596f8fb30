"""What is alive when: a forward and a backward pass played through with sizes in place of numbers.

A ``Tape`` counts bytes as PyTorch's autograd would hold them: an operation makes a result, what backward needs is held
until backward has used it, and a gradient lives from the operation that makes it to the one that takes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


class Storage:
    """A block of memory, freed when its last holder lets go. A tensor and its views share one."""

    def __init__(self, tape: Tape, size: int) -> None:
        self.size, self.holders = size, 1
        self._tape = tape
        tape.grow(size)

    def hold(self) -> Storage:
        self.holders += 1
        return self

    def release(self) -> None:
        self.holders -= 1
        if self.holders == 0:
            self._tape.grow(-self.size)


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
    """

    def __init__(self, accumulated: bool = False) -> None:
        self.live = self.peak = 0
        self.gradients = 0  # of weights, made in this pass; part of what is alive
        self.logits = 0  # of the loss; part of what is alive
        self.at_peak = (0, 0)  # gradients and logits
        self.accumulated = accumulated
        self._backward: list[Callable[[], None]] = []
        self._recording = True
        self._cast_weights: list[Storage] = []

    def grow(self, size: int) -> None:
        self.live += size
        self.pulse(0)

    def pulse(self, size: int) -> None:
        """Memory taken and given back at once."""
        if self.live + size > self.peak:
            self.peak, self.at_peak = self.live + size, (self.gradients, self.logits)

    def new(self, size: int) -> Value:
        return Value(Storage(self, size), size)

    def op(
        self,
        size: int,
        *inputs: Value,
        saves: Sequence[Value | int] = (),
        saves_result: bool = False,
        weight: Weight | None = None,
        during: int = 0,
        back: int = 0,
    ) -> Value:
        """One differentiable operation with a result of ``size`` bytes; each input gets a gradient of its own size.

        Args:
            saves: what backward needs: values, or bytes that nothing else names.
            during: memory beside the result while it is computed.
            back: memory beside the inputs' gradients while those are computed.
        """
        self.pulse(size + during)
        out = self.new(size)
        copy = Storage(self, weight.numbers * weight.width) if weight and weight.width < 4 else None
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
            made = [Storage(self, value.size) for value in inputs]
            self.pulse(back + (weight.numbers * weight.width if weight else 0))
            fresh = Storage(self, weight.numbers * weight.width) if weight else None
            for storage in kept:
                storage.release()
            _let_go(out)
            if weight and fresh:
                self._weigh(weight, fresh)
            for value, grad in zip(inputs, made):
                self._add(value, grad)

        self._backward.append(backward)
        return out

    def alias(self, out: Value, *inputs: Value) -> Value:
        """``out`` is a view of its inputs, or their sum: its gradient is theirs, in one storage."""

        def backward() -> None:
            assert out.grad is not None
            for value in inputs:
                self._add(value, out.grad.hold())
            _let_go(out)

        self._record(backward)
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

        self._record(backward)
        return parts

    def tied(self, size: int, weight: Weight) -> Value:
        """What a weight makes that is read once more later: its gradient is added to the one made there."""
        out = self.new(size)

        def backward() -> None:
            self.pulse(4 * weight.numbers)
            _let_go(out)

        if self.accumulated:
            self.forget(4 * weight.numbers)
        self._record(backward)
        return out

    def forget(self, gradient: int) -> None:
        """When backward gets here, a gradient that was made earlier is added to that of earlier micro-steps."""

        def backward() -> None:
            self.gradients -= gradient
            self.grow(-gradient)

        self._record(backward)

    def recomputed(self, forward: Callable[[Value], Value], x: Value) -> Value:
        """What ``forward`` makes of x, keeping x alone: backward plays it once more before playing it back."""
        self._recording = False
        out = forward(self.view(x))
        self._recording = True
        x.storage.hold()

        def backward() -> None:
            outer, self._backward = self._backward, []
            again = Value(x.storage, x.size)
            result = forward(again)
            self.leave_autocast()
            result.grad, out.grad = out.grad, None
            result.drop()
            self.backward()
            self._backward = outer
            assert again.grad is not None
            self._add(x, again.grad)

        self._record(backward)
        return out

    def leave_autocast(self) -> None:
        """Its copies of weights stay where backward needs them only."""
        for copy in self._cast_weights:
            copy.release()
        self._cast_weights.clear()

    def backward(self) -> None:
        """Play all operations back, the last first; the result of the last has its gradient."""
        while self._backward:
            self._backward.pop()()

    def _record(self, backward: Callable[[], None]) -> None:
        if self._recording:
            self._backward.append(backward)

    def _weigh(self, weight: Weight, fresh: Storage) -> None:
        """A weight's gradient is cast to float32 where it is not, then kept, or added to the one that is there."""
        if weight.width < 4:
            cast = Storage(self, weight.numbers * 4)
            fresh.release()
            fresh = cast
        if self.accumulated:
            fresh.release()
        else:
            self.gradients += fresh.size

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
