"""Models of Hugging Face come in and go out with the same logits, and come back bit for bit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from gptmill.cli.main import main
from gptmill.cli.pretrained import find, load_into, weights_of
from gptmill.cli.weights import load_model, read_weights
from gptmill.errors import UserError
from gptmill.interop.architecture import PUBLISHED, config_of, shape_of
from gptmill.interop.tensors import fill
from gptmill.model.gpt import build
from gptmill.shapes import ModelShape
from tests.interop.theirs import ALL, CONTEXT, LLAMAS, VOCABULARY, logits, model, saved, some_ids
from tests.model.shapes import SWITCHES, every_combination, label


def command(*words: str | Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert not ended.value.code


@pytest.mark.parametrize("name", ALL)
def test_a_model_comes_in_and_goes_out_with_the_same_logits_and_back_bit_for_bit(name: str, tmp_path: Path) -> None:
    theirs, ids_BT = saved(name, tmp_path / "theirs"), some_ids()
    command("import", tmp_path / "theirs", "--out", tmp_path / "run")
    ours = load_model(read_weights(tmp_path / "run"), "cpu").eval()
    assert (logits(ours, ids_BT) - logits(theirs, ids_BT)).abs().max() <= 1e-4
    exact = 1e-9 if name.startswith("gpt2") else 1e-5  # LLaMA's angles and norms are float32 there, whatever the model
    assert (logits(ours.double(), ids_BT) - logits(theirs.double(), ids_BT)).abs().max() <= exact

    command("export", "--run", tmp_path / "run", "--out", tmp_path / "out")
    back, told = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not any(told[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), told
    assert type(back) is type(theirs)
    mine, before = back.state_dict(), theirs.float().state_dict()
    assert mine.keys() == before.keys() and all(torch.equal(mine[key], before[key]) for key in before)
    assert (logits(back.eval(), ids_BT) - logits(theirs, ids_BT)).abs().max() <= 1e-4

    command("import", tmp_path / "out", "--out", tmp_path / "again")
    first, second = (
        json.loads(next((tmp_path / run).glob("checkpoints/*/manifest.json")).read_text()) for run in ("run", "again")
    )
    assert first["files"]["model.safetensors"] == second["files"]["model.safetensors"]
    assert first["facts"]["must_match"] == second["facts"]["must_match"]


def roundtrip(shape: ModelShape, folder: Path) -> Any:
    """The shape's model as Hugging Face computes it, and ours."""
    from gptmill.interop.huggingface import as_gpt2, as_llama

    config = config_of(shape, None)
    ours = build(shape, seed=3).eval()
    for p in ours.parameters():
        torch.nn.init.normal_(p, std=0.3)
    layout = as_gpt2 if config["model_type"] == "gpt2" else as_llama
    named = {name: weight.detach().contiguous() for name, weight in layout(dict(ours.named_parameters()), shape)}
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    save_file(named, folder / "model.safetensors", {"format": "pt"})
    theirs, told = transformers.AutoModelForCausalLM.from_pretrained(
        folder, output_loading_info=True, attn_implementation="eager"
    )
    assert not any(told[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), told
    return ours, theirs.eval()


COMBINATIONS = every_combination()
SHAPES = COMBINATIONS + [
    replace(shape, **switches)  # type: ignore[arg-type]
    for shape in COMBINATIONS
    if (shape.normalization, shape.position_encoding, shape.ffn_type) == ("rmsnorm", "rope", "swiglu")
    for switches in SWITCHES
]


def test_every_combination_of_parts_is_exported_exactly_or_refused_by_name(tmp_path: Path, counted: Any) -> None:
    exported, refused, kinds = 0, 0, set()
    for number, shape in enumerate(SHAPES):
        try:
            kind = config_of(shape, None)["model_type"]
        except UserError as error:
            refused += 1
            assert "no counterpart" in str(error) and "=" in str(error)
            continue
        exported += 1
        if (
            what := (kind, shape.normalization, shape.bias, shape.weight_tying, shape.activation, shape.n_kv_head)
        ) in kinds:
            continue
        kinds.add(what)
        ours, theirs = roundtrip(shape, tmp_path / str(number))
        ids_BT = torch.randint(shape.vocab_size, (2, shape.block_size))
        assert (logits(ours, ids_BT) - logits(theirs, ids_BT)).abs().max() <= 1e-4, label(shape)
        assert shape_of(config_of(shape, None), "config.json") == shape, label(shape)
    assert {kind for kind, *_ in kinds} == {"gpt2", "llama", "mistral", "qwen3"}
    counted(
        exported, f"of {len(SHAPES)} combinations of parts have a Hugging Face layout; {refused} are refused by name"
    )


def test_what_has_no_counterpart_is_named_once_and_nothing_else_is() -> None:
    with pytest.raises(UserError, match="position_encoding=rope: no counterpart in GPT-2's") as caught:
        config_of(ModelShape(position_encoding="rope"), None)
    assert len(caught.value.problems) == 1
    with pytest.raises(UserError, match="bias=True: no counterpart in LLaMA's"):
        config_of(ModelShape(normalization="rmsnorm", position_encoding="rope", ffn_type="swiglu", bias=True), None)


def test_the_published_sizes_are_the_hubs() -> None:
    # parameters as Hugging Face counts them in its own models of the published config.json files
    for name, params in (("gpt2", 124_439_808), ("gpt2-medium", 354_823_168), ("gpt2-large", 774_030_080),
                         ("gpt2-xl", 1_557_611_200)):  # fmt: skip
        shape = PUBLISHED[name]
        with torch.device("meta"):
            config = transformers.GPT2Config(n_layer=shape.n_layer, n_head=shape.n_head, n_embd=shape.n_embd)
            assert transformers.GPT2LMHeadModel(config).num_parameters() == params
        assert shape_of(config.to_dict(), "config.json") == shape


@pytest.mark.parametrize("published", [True, False])
def test_the_files_on_the_hub_have_shorter_names_and_masks_beside_the_weights(published: bool, tmp_path: Path) -> None:
    theirs = saved("gpt2", tmp_path / "theirs")
    path = tmp_path / "theirs" / "model.safetensors"
    tensors = {name.removeprefix("transformer."): tensor for name, tensor in load_file(path).items()}
    if published:
        tensors |= {"h.0.attn.bias": torch.ones(1, 1, CONTEXT, CONTEXT), "h.0.attn.masked_bias": torch.tensor(-1e4)}
    else:
        tensors["score.weight"] = torch.ones(2, 24)
    save_file(tensors, path, {"format": "pt"})
    ours = build(find(str(tmp_path / "theirs")).shape, seed=1).eval()
    if published:
        load_into(ours, str(tmp_path / "theirs"))
        assert (logits(ours, some_ids()) - logits(theirs, some_ids())).abs().max() <= 1e-4
    else:
        with pytest.raises(UserError, match=r"score\.weight"):
            load_into(ours, str(tmp_path / "theirs"))


def test_weights_in_several_files_are_read_as_one_model(tmp_path: Path) -> None:
    theirs = model("llama-untied")
    theirs.save_pretrained(tmp_path / "theirs", max_shard_size="50KB")
    assert len([*(tmp_path / "theirs").glob("*.safetensors")]) > 2
    ours = build(find(str(tmp_path / "theirs")).shape, seed=1).eval()
    load_into(ours, str(tmp_path / "theirs"))
    assert (logits(ours, some_ids()) - logits(theirs, some_ids())).abs().max() <= 1e-4
    next((tmp_path / "theirs").glob("*-00002-*.safetensors")).unlink()
    with pytest.raises(UserError, match="missing"):
        load_into(ours, str(tmp_path / "theirs"))


def test_a_shorter_context_is_what_the_model_computes_on_short_texts(tmp_path: Path) -> None:
    theirs = saved("gpt2", tmp_path / "theirs")
    source = find(str(tmp_path / "theirs"))
    ours = build(replace(source.shape, block_size=16), seed=1).eval()
    load_into(ours, str(tmp_path / "theirs"))
    ids_BT = some_ids()[:, :16]
    assert (logits(ours, ids_BT) - logits(theirs, ids_BT)).abs().max() <= 1e-4


@pytest.mark.parametrize("name", ["gpt2", "llama-untied"])
def test_ids_added_to_the_vocabulary_cost_no_more_than_jensens_bound(name: str, tmp_path: Path) -> None:
    theirs = saved(name, tmp_path / "theirs")
    source = find(str(tmp_path / "theirs"))
    extra = 62
    ours = build(replace(source.shape, vocab_size=VOCABULARY + extra), seed=1).eval()
    load_into(ours, str(tmp_path / "theirs"))
    ids_BT = some_ids(8)
    before = torch.log_softmax(logits(theirs, ids_BT).double(), -1)
    after = torch.log_softmax(logits(ours, ids_BT).double(), -1)[..., :VOCABULARY]
    lost = before - after  # the same for all ids of a place: what the sum over the vocabulary grew by
    assert 0 < lost.max() <= torch.tensor(1 + extra / VOCABULARY).log() + 1e-5


def test_half_precision_files_become_float32_of_the_same_values(tmp_path: Path) -> None:
    theirs = model("gpt2").bfloat16()
    theirs.save_pretrained(tmp_path / "theirs")
    ours = build(find(str(tmp_path / "theirs")).shape, seed=1)
    load_into(ours, str(tmp_path / "theirs"))
    assert ours.wte.weight.dtype == torch.float32
    assert torch.equal(ours.wte.weight, theirs.transformer.wte.weight.float())


BROKEN = {
    "another kind": ({"model_type": "bert"}, "model_type='bert'"),
    "another attention": ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx"),
    "no number": ({"n_layer": "12"}, "n_layer='12'"),
    "heads that do not divide": ({"n_head": 5}, "sizes"),
    "enormous": ({"n_embd": 10**12, "n_head": 10**12}, "sizes"),
    "weights in codes": ({"quantization_config": {"quant_method": "gptq"}}, "quantization_config='gptq'"),
    "an unknown activation": ({"activation_function": "snake"}, "activation_function='snake'"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_config_that_describes_another_model_is_one_line(what: str, tmp_path: Path) -> None:
    changed, says = BROKEN[what]
    saved("gpt2", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **changed}))
    with pytest.raises(UserError) as caught:
        find(str(tmp_path))
    assert len(caught.value.problems) == 1 and says in str(caught.value)


def test_a_rotation_that_is_not_the_plain_one_is_refused(tmp_path: Path) -> None:
    scaled = {"rope_type": "linear", "factor": 2.0, "rope_theta": 500.0}
    config = model("llama-tied").config.to_dict() | {"rope_parameters": scaled}
    with pytest.raises(UserError, match="rope_type='linear'"):
        shape_of(config, "config.json")
    for old in ({"rope_theta": 500.0, "rope_scaling": None}, {"rope_theta": 500.0}):  # as transformers 4 wrote it
        config = {key: value for key, value in config.items() if key not in ("rope_parameters", "rope_theta")}
        assert shape_of(config | old, "config.json").rope_theta == 500.0
    assert LLAMAS


def test_a_weight_that_is_missing_or_of_another_size_is_named(tmp_path: Path) -> None:
    saved("gpt2", tmp_path)
    source = find(str(tmp_path))
    ours = build(source.shape, seed=1)
    pairs = [(name, weight) for name, weight in weights_of(source, set()) if name != "blocks.0.norm_1.bias"]
    with pytest.raises(UserError, match=r"blocks\.0\.norm_1\.bias missing"):
        fill(ours, pairs, "theirs")
    with pytest.raises(UserError, match=r"norm_f\.bias is \[3\]"):
        fill(ours, [("norm_f.bias", torch.zeros(3))], "theirs")


def test_the_guides_figure_of_memory_is_the_one_on_file() -> None:
    root = Path(__file__).parents[2]
    ways = json.loads((root / "benchmarks/results/loading.json").read_text())["ways"]
    ours, theirs, nanogpt = (ways[way]["peak_over_weights"] for way in ("gptmill", "transformers", "nanogpt"))
    page = " ".join((root / "docs/guide/weights.md").read_text().split())
    assert ours <= 1.2 and f"took {ours:.2f} times that" in page
    assert f"{theirs:.2f} times for transformers" in page and f"{nanogpt:.2f} times for nanoGPT's way" in page
