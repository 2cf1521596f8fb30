"""Cross-entropy over a large vocabulary without ever holding all logits.

Logits of GPT-2 at batch 12 x 1024 are 2.5 GB in float32, several times the rest of the model. Here the head runs over
a few rows at a time and each chunk's gradient is taken on the spot, so only one chunk of logits exists at any moment
and nothing is computed twice.

Legend: N positions (batch x time), n positions of one chunk, C width, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gptmill.model.penalties import PENALTIES
from gptmill.model.precision import matmul_dtype
from gptmill.shapes import Penalty
from gptmill.targets import IGNORE

# Elements of the one logits chunk alive at a time: 64 MiB in float32 on a CPU; a GPU wants larger matmuls: 512 MiB.
CHUNK_ELEMENTS = {"cpu": 2**24, "cuda": 2**27}


def chunked_cross_entropy(
    hidden_NC: Tensor, weight_VC: Tensor, targets_N: Tensor, chunk_rows: int | None = None
) -> Tensor:
    """Mean of ``cross_entropy(hidden @ weight.T, targets)`` over targets that are not IGNORE [nats], float32.

    Args:
        chunk_rows: positions per chunk; None picks it from the vocabulary and the device.
    """
    loss: Tensor = _ChunkedLoss.apply(hidden_NC, weight_VC, targets_N, _rows(weight_VC, chunk_rows), None, None)
    return loss


def vocabulary_loss(
    hidden_BTC: Tensor, weight_VC: Tensor, targets_BT: Tensor, penalty: Penalty | None = None, *, chunked: bool = True
) -> Tensor:
    """The mean cross-entropy, a scalar; with a penalty [4], the loss and its parts. Args: chunked: or all logits at once."""
    rows = None if chunked else targets_BT.numel()
    if penalty is None:
        return chunked_cross_entropy(hidden_BTC.flatten(0, 1), weight_VC, targets_BT.flatten(), rows)
    return penalized_cross_entropy(hidden_BTC, weight_VC, targets_BT, penalty, rows)


def penalized_cross_entropy(
    hidden_BTC: Tensor, weight_VC: Tensor, targets_BT: Tensor, penalty: Penalty, chunk_rows: int | None = None
) -> Tensor:
    """[4]: the loss with its penalty [nats]; the cross-entropy, the penalty and the largest probability it is made of.

    Only the first has a gradient. The penalty and the largest probability are means over all positions that have a target,
    but for the last of each sequence.
    """
    counted_BT = targets_BT != IGNORE
    counted_BT[:, -1] = False
    tensors = (hidden_BTC.flatten(0, 1), weight_VC, targets_BT.flatten())
    parts_4: Tensor = _ChunkedLoss.apply(*tensors, _rows(weight_VC, chunk_rows), penalty, counted_BT.flatten())
    return parts_4


def _rows(weight_VC: Tensor, asked: int | None) -> int:
    return asked or max(1, CHUNK_ELEMENTS.get(weight_VC.device.type, 2**24) // weight_VC.shape[0])


class _ChunkedLoss(torch.autograd.Function):
    """Computes the gradients during forward; backward only scales them. Second derivatives are not available."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_NC: Tensor,
        weight_VC: Tensor,
        targets_N: Tensor,
        rows: int,
        penalty: Penalty | None,
        counted_N: Tensor | None,
    ) -> Tensor:
        dtype = matmul_dtype(hidden_NC)
        accumulate = torch.float64 if dtype == torch.float64 else torch.float32
        want_grad = any(ctx.needs_input_grad[:2])
        w_VC = weight_VC.to(dtype)
        valid_N = targets_N != IGNORE
        n_valid = valid_N.sum().clamp(min=1)
        total = torch.zeros((), dtype=accumulate, device=hidden_NC.device)
        if penalty is not None:
            assert counted_N is not None
            n_counted = counted_N.sum().clamp(min=1)
            means_2 = torch.zeros(2, dtype=accumulate, device=hidden_NC.device)  # of the penalty, of the largest p
        grad_hidden_NC = torch.empty_like(hidden_NC) if want_grad else None
        grad_weight_VC: Tensor | None = None
        for start in range(0, hidden_NC.shape[0], rows):
            chunk = slice(start, start + rows)
            h_nC, valid_n = hidden_NC[chunk].to(dtype), valid_N[chunk]
            target_n1 = targets_N[chunk].clamp(min=0).unsqueeze(1)
            logp_nV = torch.log_softmax(h_nC @ w_VC.T, dim=-1, dtype=accumulate)
            total -= (logp_nV.gather(1, target_n1).squeeze(1) * valid_n).sum()
            if penalty is not None and counted_N is not None:
                share_n1 = (valid_n.to(accumulate) / n_valid).unsqueeze(1)
                counted_n = counted_N[chunk].to(accumulate) / n_counted
                found = PENALTIES[penalty.kind](
                    logp_nV, share_n1, penalty.weight * counted_n.unsqueeze(1), penalty.top_k, want_grad
                )
                means_2 += torch.stack([(found.value_n * counted_n).sum(), (found.largest_n * counted_n).sum()])
            if grad_hidden_NC is None:
                del logp_nV  # what is not let go of lives until the next chunk's is there
                continue
            # d loss / d logits = softmax - one_hot(target), averaged over the valid positions
            if penalty is not None and found.gradient_nV is not None:
                d_nV = found.gradient_nV.scatter_add_(1, target_n1, -share_n1).to(dtype)
                del found
            else:
                dlogits_nV = logp_nV.exp_()
                dlogits_nV.scatter_add_(1, target_n1, torch.full_like(target_n1, -1, dtype=accumulate))
                d_nV = dlogits_nV.mul_((valid_n.to(accumulate) / n_valid).unsqueeze(1)).to(dtype)
                del dlogits_nV
            del logp_nV
            grad_hidden_NC[chunk] = d_nV @ w_VC
            if grad_weight_VC is None:
                grad_weight_VC = (d_nV.T @ h_nC).to(weight_VC.dtype)
            else:
                grad_weight_VC += d_nV.T @ h_nC
            del d_nV
        ctx.save_for_backward(grad_hidden_NC, grad_weight_VC)
        ce = total / n_valid
        return ce if penalty is None else torch.stack([ce + penalty.weight * means_2[0], ce, *means_2])

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden_NC, grad_weight_VC = ctx.saved_tensors
        grad = grad_loss.flatten()[0]
        return grad_hidden_NC.mul_(grad), grad_weight_VC.mul_(grad), None, None, None, None
