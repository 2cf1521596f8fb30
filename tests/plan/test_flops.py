from __future__ import annotations

import ast
import re

import pytest

from gptmill.plan.flops import (
    default_ffn_dim,
    elementwise,
    flops_per_token,
    members,
    params,
    params_non_embedding,
    parts,
)
from gptmill.shapes import ModelShape

GPT2 = ModelShape(vocab_size=50257, bias=True)


def released(n_layer: int, n_head: int, n_embd: int) -> ModelShape:
    """A GPT-2 as OpenAI released it."""
    return ModelShape(n_layer, n_head, n_embd, vocab_size=50257, ffn_dim=4 * n_embd, bias=True)


def llama(n_layer: int, n_head: int, n_embd: int, block_size: int, vocab_size: int) -> ModelShape:
    return ModelShape(
        n_layer,
        n_head,
        n_embd,
        block_size,
        vocab_size,
        ffn_dim=int(8 * n_embd / 3),
        weight_tying=False,
        normalization="rmsnorm",
        position_encoding="rope",
        ffn_type="swiglu",
    )


# the element counts of the safetensors files that openai-community publishes, without attention buffers
@pytest.mark.parametrize(
    ("shape", "published"),
    [
        (released(12, 12, 768), 124_439_808),
        (released(24, 16, 1024), 354_823_168),
        (released(36, 20, 1280), 774_030_080),
        (released(48, 25, 1600), 1_557_611_200),
    ],
    ids=["gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"],
)
def test_released_gpt2_sizes_have_their_published_parameter_counts(shape: ModelShape, published: int) -> None:
    assert params(shape) == published


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (ModelShape(), 124_373_760),  # nanoGPT's default: V=50304, no biases
        (ModelShape(normalization="layernorm_nobias"), 124_373_760),
        (ModelShape(18, 19, 2432, 2048, ffn_dim=4 * 2432), 1_404_968_832),
        (llama(12, 12, 768, 1024, 50304), 162_220_800),
        (llama(12, 12, 768, 1024, 32000), 134_105_856),
        (llama(18, 18, 2304, 2048, 32000), 1_294_159_104),
        (llama(18, 18, 2304, 2048, 50304), 1_378_503_936),
        (ModelShape(4, 4, 256, 256, 50257, ffn_dim=1024, bias=True), 16_090_880),
        (ModelShape(6, 8, 512, 512, 50257, ffn_dim=2048, bias=True), 44_909_056),
    ],
)
def test_known_configurations_have_their_known_parameter_counts(shape: ModelShape, expected: int) -> None:
    assert params(shape) == expected


def test_non_embedding_leaves_out_only_the_position_table() -> None:
    assert params_non_embedding(ModelShape()) == 123_587_328  # what nanoGPT prints as 123.59M
    rope = ModelShape(position_encoding="rope")
    assert params_non_embedding(rope) == params(rope) == 123_587_328


@pytest.mark.parametrize("ffn_type", ["standard", "swiglu"])
@pytest.mark.parametrize("normalization", ["layernorm", "layernorm_nobias", "rmsnorm"])
@pytest.mark.parametrize("position_encoding", ["learned_absolute", "rope"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("tied", [False, True])
def test_parameters_equal_the_sum_over_a_listing_of_every_tensor(
    ffn_type: str, normalization: str, position_encoding: str, bias: bool, tied: bool
) -> None:
    L, C, T, V, F = 3, 24, 20, 100, 70
    tensors: list[tuple[int, ...]] = [(V, C)]
    if position_encoding == "learned_absolute":
        tensors.append((T, C))
    for layer in range(L + 1):  # the last round is the final norm alone
        for _ in range(1 if layer == L else 2):
            tensors.append((C,))
            if bias and normalization == "layernorm":
                tensors.append((C,))
        if layer == L:
            continue
        wide = 2 * F if ffn_type == "swiglu" else F
        for rows, columns in [(3 * C, C), (C, C), (wide, C), (C, F)]:
            tensors.append((rows, columns))
            if bias:
                tensors.append((rows,))
    if not tied:
        tensors.append((V, C))
    elements = sum(tensor[0] * (tensor[1] if len(tensor) == 2 else 1) for tensor in tensors)
    shape = ModelShape(
        L,
        4,
        C,
        T,
        V,
        F,
        bias=bias,
        weight_tying=tied,
        normalization=normalization,
        position_encoding=position_encoding,
        ffn_type=ffn_type,
    )
    assert params(shape) == elements


@pytest.mark.parametrize(
    ("shape", "gflop"),
    [
        (ModelShape(), 0.8547),
        (llama(12, 12, 768, 1024, 50304), 0.8547),
        (ModelShape(18, 19, 2432, 2048, ffn_dim=4 * 2432), 9.475),
        (llama(18, 18, 2304, 2048, 32000), 8.341),
    ],
)
def test_training_flops_per_token_equal_hand_computed_values(shape: ModelShape, gflop: float) -> None:
    assert flops_per_token(shape) / 1e9 == pytest.approx(gflop, rel=1e-4)


def test_flops_agree_with_palm_form_for_a_tied_model() -> None:
    """6N + 12LCT, with N every parameter that multiplies: PaLM appendix B, as nanoGPT computes it."""
    shape = ModelShape()
    palm = 6 * params_non_embedding(shape) + 12 * shape.n_layer * shape.n_embd * shape.block_size
    assert flops_per_token(shape) == pytest.approx(palm, rel=2e-4)  # the norms' gains do not multiply matrices


@pytest.mark.parametrize(
    ("shape", "full", "causal"),
    [
        (ModelShape(), 5 / 6, 2 / 3),
        (llama(12, 12, 768, 1024, 50304), 5 / 6, 2 / 3),
        (ModelShape(18, 19, 2432, 2048, ffn_dim=4 * 2432), 0.711, None),
        (llama(18, 18, 2304, 2048, 32000), 0.722, None),
    ],
)
def test_attention_to_ffn_ratio_is_the_one_worked_out_by_hand(
    shape: ModelShape, full: float, causal: float | None
) -> None:
    assert parts(shape).attention_to_ffn(causal=False) == pytest.approx(full, rel=1e-3)
    if causal:
        assert parts(shape).attention_to_ffn(causal=True) == pytest.approx(causal, rel=1e-3)


@pytest.mark.parametrize(
    "shape", [ModelShape(), llama(12, 12, 768, 1024, 50304), ModelShape(n_kv_head=4, qk_norm=True)]
)
def test_the_parts_are_all_of_a_tokens_flops(shape: ModelShape) -> None:
    assert 3 * sum(parts(shape)) == flops_per_token(shape)


class Counted(float):
    """A number that counts the operations on it."""

    done = 0

    def _count(self, other: float, result: float) -> Counted:
        Counted.done += 1
        return Counted(result)

    def __add__(self, other: float) -> Counted:
        return self._count(other, float(self) + float(other))

    def __sub__(self, other: float) -> Counted:
        return self._count(other, float(self) - float(other))

    def __mul__(self, other: float) -> Counted:
        return self._count(other, float(self) * float(other))

    __radd__, __rmul__ = __add__, __mul__


def normalize(x: list[Counted], gain: list[float], bias: list[float] | None, *, centred: bool) -> None:
    """LayerNorm (Ba et al. 2016) and RMSNorm (Zhang and Sennrich 2019) as their papers have them."""
    if centred:
        mean = sum(x, Counted(0)) * (1 / len(x))
        x = [value - mean for value in x]
    scale = (sum((value * value for value in x), Counted(0)) * (1 / len(x)) + 1e-5) ** -0.5
    y = [value * scale * g for value, g in zip(x, gain)]
    if bias:
        [value + b for value, b in zip(y, bias)]


@pytest.mark.parametrize(
    ("normalization", "bias"),
    [("layernorm", False), ("layernorm", True), ("layernorm_nobias", True), ("rmsnorm", True)],
)
def test_work_beside_matmuls_is_that_of_the_textbook_formulas(normalization: str, bias: bool) -> None:
    C = 512
    shape = ModelShape(
        2, 8, C, 64, 100, 4 * C, bias=bias, normalization=normalization, position_encoding="rope", n_kv_head=2
    )
    Counted.done = 0
    b = [0.0] * C if bias and normalization == "layernorm" else None
    normalize([Counted(i) for i in range(C)], [1.0] * C, b, centred=normalization != "rmsnorm")
    assert elementwise(shape)["norms"] == pytest.approx(5 * Counted.done, rel=0.01)  # two in each layer, and the last
    Counted.done = 0
    for _ in range((8 + 2) * shape.head_dim // 2):  # pairs in a token's queries and keys
        a, b_, cos, sin = Counted(1), Counted(2), 0.6, 0.8
        _ = (a * cos - b_ * sin, a * sin + b_ * cos)
    assert elementwise(shape)["rotations"] == 2 * Counted.done
    assert "rotations" not in elementwise(ModelShape())


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("ffn_type", ["standard", "swiglu"])
@pytest.mark.parametrize("normalization", ["layernorm", "rmsnorm"])
def test_a_members_formula_worked_out_is_its_number(bias: bool, tied: bool, ffn_type: str, normalization: str) -> None:
    shape = ModelShape(
        3, 6, 24, 20, 100, 70, bias=bias, weight_tying=tied, ffn_type=ffn_type, normalization=normalization,
        n_kv_head=2, qk_norm=True,
    )  # fmt: skip
    letters = {"L": "3", "C": "24", "G": "2", "D": "4", "F": "70", "T": "20", "V": "100"}
    for member in members(shape):
        formula = member.formula.removesuffix(" FLOP")
        sums = re.sub(r"(?<=[\w)]) (?=[\w(])", " * ", formula)
        digits = re.sub(r"[A-Z]", lambda letter: letters[letter[0]], sums)
        assert arithmetic(digits) == (member.flops if formula != member.formula else member.params), member


def arithmetic(text: str) -> int:
    """'2 * (3 + 4) * 5' by Python's own parser, sums and products only."""

    def value(node: ast.expr) -> int:
        if isinstance(node, ast.BinOp):
            left, right = value(node.left), value(node.right)
            return left + right if isinstance(node.op, ast.Add) else left * right
        assert isinstance(node, ast.Constant)
        return int(str(node.value))

    return value(ast.parse(text, mode="eval").body)


@pytest.mark.parametrize("n_embd", [1, 2, 384, 768, 2304, 4096])
def test_default_hidden_width_is_the_documented_multiple_rounded_down(n_embd: int) -> None:
    assert default_ffn_dim(n_embd, "standard") == 4 * n_embd
    assert default_ffn_dim(n_embd, "swiglu") == int(8 * n_embd / 3)
