"""What a network is played through in."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gptmill.shapes import ModelShape


@dataclass(frozen=True)
class Setting:
    """What the network runs in.

    Args:
        batch: sequences at a time.
        width: bytes of a number in matmuls and in the residual stream: 2 under autocast.
        device: 'cpu', 'cuda' or 'mps'.
        traced: where a part has no formula: bytes that all blocks and the last norm hold for backward of one sequence in
            float32, and how many parameters they have.
    """

    shape: ModelShape
    batch: int
    width: int
    device: str
    compiled: bool = False
    traced: tuple[int, int] | None = None

    @property
    def rows(self) -> int:
        return self.batch * self.shape.block_size

    @property
    def narrowed(self) -> bool:
        return self.width < 4

    @property
    def exact(self) -> int:
        """Bytes of a number in norms and softmax: CUDA's autocast makes them float32, which a compiled step never stores."""
        return 4 if self.device == "cuda" and not self.compiled else self.width

    @property
    def scores(self) -> int:
        """Numbers in B x H x T x T."""
        return self.rows * self.shape.n_head * self.shape.block_size

    def activation(self, columns: int) -> int:
        """Bytes of B x T x columns."""
        return self.rows * columns * self.width


def with_layers(s: Setting, n_layer: int) -> Setting:
    """The same with another depth."""
    return replace(s, shape=replace(s.shape, n_layer=n_layer))
