"""THE HEART: a GPT in one sitting. Token ids go in at ``GPT.forward``; logits, or the training loss, come out.

Legend: B batch, T time, C width (n_embd), H heads, G key/value heads, D head width (C / H), V vocabulary, N = B x T,
S all tokens so far (more than T only when generating from a cache).
Every part with more than one form is looked up by name in its file: norms, positions, feedforwards, kernels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gptmill.errors import UserError
from gptmill.model.cache import KVCache, LayerCache
from gptmill.model.dropout import KeyedDropout
from gptmill.model.embedding import Embedding
from gptmill.model.feedforwards import FEEDFORWARDS
from gptmill.model.kernels import ATTENTION
from gptmill.model.loss import vocabulary_loss
from gptmill.model.norms import NORMS
from gptmill.model.positions import POSITIONS, Position
from gptmill.model.precision import matmul_dtype
from gptmill.shapes import ModelShape, Penalty


class Attention(nn.Module):
    """Every token looks back at earlier ones: H heads at once.

    With n_kv_head below n_head, H / G query heads share each key and value head: a smaller cache when generating
    (Ainslie et al. 2023, arXiv:2305.13245). qk_norm normalizes every query and key, which keeps scores in bounds
    (Henry et al. 2020, arXiv:2010.04245, with the model's own normalization in place of theirs).
    """

    def __init__(self, shape: ModelShape, site: int) -> None:
        super().__init__()
        self.widths = (shape.n_embd, shape.kv_dim, shape.kv_dim)  # of all queries, keys and values
        self.head_dim = shape.head_dim
        self.c_attn = nn.Linear(shape.n_embd, sum(self.widths), bias=shape.bias)
        self.c_proj = nn.Linear(shape.n_embd, shape.n_embd, bias=shape.bias)
        norm = NORMS[shape.normalization]
        self.q_norm = norm(shape.head_dim, eps=shape.norm_eps, bias=shape.bias) if shape.qk_norm else nn.Identity()
        self.k_norm = norm(shape.head_dim, eps=shape.norm_eps, bias=shape.bias) if shape.qk_norm else nn.Identity()
        self.attend = ATTENTION[shape.attention_backend](shape, site)

    def forward(self, x_BTC: Tensor, position: Position, keys_B: Tensor | None, past: LayerCache | None) -> Tensor:
        B, T, C = x_BTC.shape
        q_BHTD, k_BGTD, v_BGTD = (
            part_BTc.view(B, T, -1, self.head_dim).transpose(1, 2)
            for part_BTc in self.c_attn(x_BTC).split(self.widths, dim=-1)
        )
        start = 0 if past is None else past.length
        q_BHTD, k_BGTD = position.rotate(self.q_norm(q_BHTD), self.k_norm(k_BGTD), start)
        k_BGSD, v_BGSD = (k_BGTD, v_BGTD) if past is None else past.append(k_BGTD, v_BGTD)
        mixed_BHTD = self.attend(q_BHTD, k_BGSD, v_BGSD, keys_B)
        return self.c_proj(mixed_BHTD.transpose(1, 2).reshape(B, T, C))


class Block(nn.Module):
    """Attention, then a feed-forward layer, each added to the residual stream.

    norm_position=pre normalizes what a sublayer reads (GPT-2, LLaMA); post normalizes the sum (the 2017 Transformer).
    """

    def __init__(self, shape: ModelShape, layer: int) -> None:
        super().__init__()
        norm = NORMS[shape.normalization]
        self.pre = shape.norm_position == "pre"
        self.norm_1 = norm(shape.n_embd, eps=shape.norm_eps, bias=shape.bias)
        self.attn = Attention(shape, site=3 * layer + 1)
        self.drop_1 = KeyedDropout(shape.dropout, site=3 * layer + 2)
        self.norm_2 = norm(shape.n_embd, eps=shape.norm_eps, bias=shape.bias)
        self.mlp = FEEDFORWARDS[shape.ffn_type](shape)
        self.drop_2 = KeyedDropout(shape.dropout, site=3 * layer + 3)

    def forward(self, x_BTC: Tensor, position: Position, keys_B: Tensor | None, past: LayerCache | None) -> Tensor:
        if self.pre:
            x_BTC = x_BTC + self.drop_1(self.attn(self.norm_1(x_BTC), position, keys_B, past), keys_B)
            return x_BTC + self.drop_2(self.mlp(self.norm_2(x_BTC)), keys_B)
        x_BTC = self.norm_1(x_BTC + self.drop_1(self.attn(x_BTC, position, keys_B, past), keys_B))
        return self.norm_2(x_BTC + self.drop_2(self.mlp(x_BTC), keys_B))


class GPT(nn.Module):
    """A decoder-only transformer of any ModelShape.

    Build one with ``build(shape, ...)``; ``GPT(shape)`` alone has PyTorch's initial weights, not GPT-2's.
    """

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.shape = shape
        self.wte = Embedding(shape.vocab_size, shape.n_embd)
        self.position = POSITIONS[shape.position_encoding](shape)
        self.drop = KeyedDropout(shape.dropout, site=0)
        self.blocks = nn.ModuleList(Block(shape, layer) for layer in range(shape.n_layer))
        self.norm_f = NORMS[shape.normalization](shape.n_embd, eps=shape.norm_eps, bias=shape.bias)
        self.lm_head = nn.Linear(shape.n_embd, shape.vocab_size, bias=False)
        self.tie_weights()

    def tie_weights(self) -> None:
        if self.shape.weight_tying:
            self.lm_head.weight = self.wte.weight

    def hidden(self, tokens_BT: Tensor, dropout_keys_B: Tensor | None = None, cache: KVCache | None = None) -> Tensor:
        """Return what the head reads, [B, T, C].

        Args:
            cache: the tokens before these, which are not read again; these are added to it.

        Raises:
            UserError: more tokens than the context holds.
        """
        start = 0 if cache is None else cache.length
        if start + tokens_BT.shape[1] > self.shape.block_size:
            raise UserError(
                f"{start + tokens_BT.shape[1]} tokens: the context holds block_size={self.shape.block_size}"
            )
        x_BTC = self.drop(self.position(self.wte(tokens_BT), start), dropout_keys_B)
        x_BTC = x_BTC.to(matmul_dtype(x_BTC))  # the residual stream in the matmuls' precision: half the memory traffic
        recompute = self.shape.activation_checkpointing and self.training and torch.is_grad_enabled()
        for layer, block in enumerate(self.blocks):
            reads = (x_BTC, self.position, dropout_keys_B, None if cache is None else cache.layers[layer])
            x_BTC = checkpoint(block, *reads, use_reentrant=False) if recompute else block(*reads)
        return self.norm_f(x_BTC)

    def forward(
        self,
        tokens_BT: Tensor,
        targets_BT: Tensor | None = None,
        dropout_keys_B: Tensor | None = None,
        penalty: Penalty | None = None,
    ) -> Tensor:
        """Return logits [B, T, V], or with targets the mean cross-entropy [nats/token], a scalar.

        Args:
            targets_BT: the ids that follow; targets.IGNORE marks positions that do not count.
            dropout_keys_B: one key a sequence (dropout.dropout_keys); None switches dropout off.
            penalty: on an uncertain output; then the result is [4], the loss and its parts (penalized_cross_entropy).
        """
        x_BTC = self.hidden(tokens_BT, dropout_keys_B)
        if targets_BT is None:
            return self.lm_head(x_BTC)
        return vocabulary_loss(x_BTC, self.lm_head.weight, targets_BT, penalty, chunked=self.shape.chunked_loss)

    @torch.no_grad()
    def init_weights(self, generator: torch.Generator) -> None:
        """GPT-2's initial weights: N(0, 0.02); projections back into the residual stream are smaller.

        There are two such writes per block: dividing their std by sqrt(2 L) keeps the stream's growth independent
        of depth. Source: Radford et al. 2019, section 2.3, and OpenAI's released code.
        """
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                residual = name.endswith("c_proj")
                std = 0.02 / math.sqrt(2 * self.shape.n_layer) if residual else 0.02
                if not (module is self.lm_head and self.shape.weight_tying):
                    nn.init.normal_(module.weight, std=std, generator=generator)
                if isinstance(module, nn.Linear) and module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif hasattr(module, "reset_parameters"):
                module.reset_parameters()
            elif [*module.parameters(recurse=False), *module.buffers(recurse=False)]:
                kind = type(module).__name__
                raise UserError(f"{kind} has weights and no reset_parameters(): a model is built empty, then filled")


def build(shape: ModelShape, *, seed: int | None, device: torch.device | str = "cpu") -> GPT:
    """A GPT with GPT-2's initial weights, drawn on ``device`` without touching torch's global generators.

    Args:
        seed: None leaves weights as they lie in memory, for who fills all of them (``fill_tables`` does the rest).
    """
    with torch.device("meta"):  # nothing is allocated or drawn twice
        model = GPT(shape)
    # to_empty does the same and imports a computer algebra system for it (0.5 s)
    model._apply(lambda t: torch.empty(t.shape, dtype=t.dtype, device=device))
    model.tie_weights()  # until here every name has memory of its own
    if seed is not None:
        model.init_weights(torch.Generator(device).manual_seed(seed))
    return model
