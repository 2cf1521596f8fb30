"""Keys and values of the tokens read so far, so that generating one more token costs one token's work.

Legend: B batch, G key/value heads, T new tokens, S all tokens so far, D head width.
"""

from __future__ import annotations

from torch import Tensor

from gptmill.shapes import ModelShape


class LayerCache:
    """One layer's keys and values, in buffers as long as the context; allocated by what is first put in."""

    def __init__(self, block_size: int) -> None:
        self.block_size = block_size
        self.length = 0
        self._k_BGSD: Tensor | None = None
        self._v_BGSD: Tensor | None = None

    def append(self, k_BGTD: Tensor, v_BGTD: Tensor) -> tuple[Tensor, Tensor]:
        """Take T new tokens; return all keys and all values, [B, G, S, D]."""
        if self._k_BGSD is None or self._v_BGSD is None:
            B, G, _, D = k_BGTD.shape
            self._k_BGSD = k_BGTD.new_empty(B, G, self.block_size, D)
            self._v_BGSD = v_BGTD.new_empty(B, G, self.block_size, D)
        end = self.length + k_BGTD.shape[2]
        self._k_BGSD[:, :, self.length : end] = k_BGTD
        self._v_BGSD[:, :, self.length : end] = v_BGTD
        self.length = end
        return self._k_BGSD[:, :, :end], self._v_BGSD[:, :, :end]


class KVCache:
    """One LayerCache a layer. ``GPT.hidden(new_tokens, cache=cache)`` reads it and adds to it."""

    def __init__(self, shape: ModelShape) -> None:
        self.layers = [LayerCache(shape.block_size) for _ in range(shape.n_layer)]

    @property
    def length(self) -> int:
        """Tokens read so far, between two calls of the model."""
        return self.layers[0].length
