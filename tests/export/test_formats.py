"""What the tools' own code takes from each file: the matrices of the decision, and no others."""

import ctypes
import importlib.util
import json
import re
from pathlib import Path

import pytest
import torch
import transformers
import yaml
from compressed_tensors.quantization import QuantizationConfig, apply_quantization_config
from compressed_tensors.utils.match import is_match
from torchao.core.config import config_from_dict
from torchao.quantization import fqn_matches_fqn_config, quantize_
from transformers.quantizers.base import HfQuantizer
from transformers.quantizers.quantizers_utils import should_convert_module

from signmag_jax.export import FORMATS, Decision, write
from signmag_jax.export.decision import MatrixWidth

WHOLE = {"model.layers.11.mlp.down_proj", "model.layers.1.self_attn.q_proj"}
TENSORS = {"blk.11.ffn_down.weight": "q8_0", "blk.1.attn_q.weight": "q8_0"}


def texts(decision, folder, name):
    return {path.name: path.read_text() for path in write(decision, folder, [name])}


def typed(text, tensors):
    """What `llama-quantize` makes of tokens NAME=TYPE: the name, in lower case, is searched for."""
    pairs = [token.split("=", 1) for token in text.split()]
    return {one: kind for one in tensors for name, kind in pairs if re.search(name.lower(), one)}


def left(model, listed, linear):
    """The linear layers that transformers does not convert, given such a list."""
    patterns = HfQuantizer.get_modules_to_not_convert(model, listed)
    return {name for name in linear if not should_convert_module(name, patterns)}


@pytest.mark.parametrize("name", FORMATS)
def test_every_file_says_what_it_does_not_do(decision, tmp_path, name):
    everything = "".join(texts(decision, tmp_path, name).values())
    for note in decision.notes:
        assert note in everything


def test_llama_cpp_finds_one_tensor_a_line(decision, tmp_path, tensors):
    text = texts(decision, tmp_path, "llama.cpp")["tensor-types.txt"]
    assert typed(text, tensors) == TENSORS
    # Control: without the ends of the pattern another tensor is found too.
    assert len(typed("blk.1=q8_0", tensors)) > 9


def test_llama_cpp_knows_the_types_by_these_names(decision, tmp_path, tensors):
    found = importlib.util.find_spec("xllamacpp")
    library = ctypes.CDLL(next(map(str, Path(found.origin).parent.glob("*.so"))))
    library.ggml_type_name.restype = ctypes.c_char_p
    known = {library.ggml_type_name(kind).decode().lower() for kind in range(40)}
    assert set(typed(texts(decision, tmp_path, "llama.cpp")["tensor-types.txt"], tensors).values()) <= known


@pytest.mark.parametrize("name", ["BitsAndBytesConfig", "QuantoConfig", "AwqConfig"])
def test_transformers_leaves_these_modules_alone(decision, tmp_path, llama, linear, name):
    given = json.loads(texts(decision, tmp_path, "transformers")["transformers.json"])["configs"][name]
    config = getattr(transformers, name)(**given)
    listed = getattr(config, "llm_int8_skip_modules", None) or config.modules_to_not_convert
    assert left(llama, listed, linear) == WHOLE | {"lm_head"}


def test_a_list_without_the_head_would_convert_it(llama, linear):
    """Control, and the reason why it is named: a list that is given replaces the default one."""
    assert left(llama, sorted(WHOLE), linear) == WHOLE
    assert left(llama, None, linear) == {"lm_head"}


def test_torchao_reads_its_configuration(decision, tmp_path, linear):
    config = json.loads(texts(decision, tmp_path, "torchao")["torchao.json"])["config"]
    assert {n for n in linear if not should_convert_module(n, config["modules_to_not_convert"])} == WHOLE | {
        "lm_head"
    }
    read = config_from_dict(config["quant_type"]["default"])
    assert {name for name, one in read.fqn_to_config.items() if one is None} == WHOLE
    assert {name for name in linear if fqn_matches_fqn_config(name, read)} == linear - {"lm_head"}
    assert {one.granularity.group_size for one in read.fqn_to_config.values() if one is not None} == {32}
    assert transformers.TorchAoConfig.from_dict(config).modules_to_not_convert[0] == "lm_head"


def test_llm_compressor_ignores_these_modules(decision, tmp_path, llama, linear):
    recipe = yaml.safe_load(texts(decision, tmp_path, "llm-compressor")["llm-compressor.yaml"])
    modifier = recipe["quant_stage"]["quant_modifiers"]["QuantizationModifier"]
    assert set(modifier["ignore"]) == WHOLE | {"lm_head"}
    assert set(modifier["ignore"]) <= linear
    config = QuantizationConfig.model_validate(modifier)
    targets = config.config_groups["rest"].targets
    modules = dict(llama.named_modules())
    met = {name for name in linear if is_match(name, modules[name], targets, config.ignore)}
    assert met == linear - WHOLE - {"lm_head"}


def dynamic_get(dynamic, name):
    """What GPTQModel does to a module: False leaves it out, else the options that differ, None for none.

    Its rule, that of `gptqmodel.quantization.config.dynamic_get` in 7.7.0: of the patterns, without `-:` or
    `+:`, the first that matches from the start of the name. The package is published as source alone and
    asks for a newer PyTorch than the other tools here run with; where it is installed, it is asked itself.
    """
    if importlib.util.find_spec("gptqmodel") is not None:
        return importlib.import_module("gptqmodel.quantization.config").dynamic_get(dynamic, name)
    for one, options in dynamic.items():
        if re.match(one[2:] if one[:2] in ("-:", "+:") else one, name):
            return False if one.startswith("-:") else options
    return None


def test_gptqmodel_leaves_these_modules_out(decision, tmp_path, linear):
    config = json.loads(texts(decision, tmp_path, "gptqmodel")["gptqmodel.json"])["config"]
    found = {name: dynamic_get(config["dynamic"], name) for name in linear}
    assert {name for name, options in found.items() if options is False} == WHOLE
    assert {name for name, options in found.items() if options is not None} == WHOLE


ODD = {
    **dict.fromkeys(("q_proj", "k_proj", "v_proj", "o_proj"), (40, 40)),
    **dict.fromkeys(("gate_proj", "up_proj"), (64, 40)),
    "down_proj": (40, 64),
}
"""Rows of 40 hold no whole groups of 32; down_proj's do."""
PARTS = ("mlp.down_proj", "mlp.up_proj", "self_attn.q_proj")


@pytest.fixture
def odd():
    """A model of such shapes, with weights."""
    config = transformers.LlamaConfig(
        hidden_size=40, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, vocab_size=8
    )
    return transformers.LlamaForCausalLM(config)


@pytest.fixture(params=["mask", "plan"])
def odd_decision(request):
    if request.param == "mask":
        return Decision(((1, "q_proj"),), ("note",), shapes=ODD)
    planned = {(layer, name): MatrixWidth("4", shape) for layer in (0, 1) for name, shape in ODD.items()}
    return Decision((), ("note",), planned, shapes=ODD)


def quantised(model, table):
    """The first down_proj and up_proj as torchao makes them of a table of modules."""
    quantize_(model, config_from_dict(table), filter_fn=None)
    mlp = model.model.layers[0].mlp
    return mlp.down_proj.weight, mlp.up_proj.weight


def test_torchao_quantises_rows_that_hold_no_whole_groups(odd, odd_decision, tmp_path):
    config = json.loads(texts(odd_decision, tmp_path, "torchao")["torchao.json"])
    down, up = quantised(odd, config["config"]["quant_type"]["default"])
    assert (down.block_size, up.block_size) == ((1, 32), (1, 40))
    assert type(odd.lm_head.weight) is torch.nn.Parameter
    if odd_decision.whole:
        assert type(odd.model.layers[1].self_attn.q_proj.weight) is torch.nn.Parameter
    assert any("each row has one scale" in note for note in config["notes"])


def test_torchao_refuses_to_group_them(odd, decision, tmp_path):
    """Control, and the reason: of a mask without shapes every matrix would be grouped."""
    config = json.loads(texts(decision, tmp_path, "torchao")["torchao.json"])["config"]
    with pytest.raises(AssertionError, match="divisible"):
        quantised(odd, config["quant_type"]["default"])


def test_llm_compressor_and_gptqmodel_group_no_such_rows(odd, odd_decision, tmp_path):
    recipe = yaml.safe_load(texts(odd_decision, tmp_path, "llm-compressor")["llm-compressor.yaml"])
    modifier = recipe["quant_stage"]["quant_modifiers"]["QuantizationModifier"]
    apply_quantization_config(odd, QuantizationConfig.model_validate(modifier))
    layer = odd.model.layers[0]
    sizes = {name: layer.get_submodule(name).quantization_scheme.weights.group_size for name in PARTS}
    assert sizes == {"mlp.down_proj": 32, "mlp.up_proj": None, "self_attn.q_proj": None}
    config = json.loads(texts(odd_decision, tmp_path, "gptqmodel")["gptqmodel.json"])["config"]
    for name, size in sizes.items():
        found = dynamic_get(config["dynamic"], f"model.layers.0.{name}") or {}
        assert found.get("group_size", config["group_size"]) == (size or -1)
