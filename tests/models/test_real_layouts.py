"""Folders as people have them: loaded as `transformers` loads them, with a note of what is left out."""

import json
import subprocess
import sys

import numpy as np
import oracle
import pytest
import quick
import sentencepiece
import tokenizers
import torch
import transformers
from safetensors.numpy import load_file, save_file
from safetensors.torch import save_file as save_torch

from signmag_jax import models
from signmag_jax.evidence import InvalidInput, MissingResource
from signmag_jax.models.config_hub import described_by_hub
from signmag_jax.models.load import open_checkpoint
from signmag_jax.models.sources import SMALL_FLOATS, safetensors_in
from signmag_jax.models.tokenizer import tokenizer_from_hub

TOKENS = np.random.default_rng(4).integers(0, 90, (1, 23)).astype(np.int32)
token_nll = quick.jit(models.token_nll, static_argnums=0)


@pytest.fixture
def folder(tmp_path):
    """A tiny Llama of one layer; each test changes its own copy."""
    return oracle.save(oracle.oracle("llama", {"num_hidden_layers": 1}), tmp_path)


def edited(folder, change):
    """The folder with its tensors changed by a function of their dict."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    save_file(change(tensors) or tensors, path)


def configured(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def agrees(folder):
    """The model that the port loads, once its loss is that of `transformers`' own on the same folder."""
    ours = models.load(folder)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    )
    expected = oracle.read(theirs.eval(), TOKENS).nll
    np.testing.assert_allclose(token_nll(ours.config, ours.params, TOKENS), expected, atol=2e-5)
    return ours


def says(model, *words):
    """Whether one note of the report holds all the words."""
    return any(all(word in note for word in words) for note in model.report.notes)


EXTRA = {
    "another head": {"score.weight": np.ones((1, 32), np.float32)},
    "scales": {"model.layers.0.self_attn.k_scale": np.ones((), np.float32)},
    "codes": {"model.layers.0.self_attn.q_proj.weight.absmax": np.zeros(4, np.uint8)},
    "a bias that the config does not declare": {
        "model.layers.0.self_attn.q_proj.bias": np.ones(32, np.float32)
    },
    "a layer too many": {"model.layers.1.mlp.down_proj.weight": np.ones((32, 48), np.float32)},
}


@pytest.mark.parametrize("case", EXTRA)
def test_tensors_that_the_architecture_does_not_have_are_left_out_with_a_note(folder, case):
    edited(folder, lambda tensors: tensors | EXTRA[case])
    model = agrees(folder)
    (name,) = EXTRA[case]
    assert model.report.ignored == (name,)
    assert says(model, "left out", name)


@pytest.mark.parametrize("tied", [True, False])
def test_the_prefix_of_the_bare_model_is_optional(tmp_path, tied):
    oracle.save(oracle.oracle("llama", {"num_hidden_layers": 1, "tie_word_embeddings": tied}), tmp_path)
    edited(tmp_path, lambda tensors: {name.removeprefix("model."): value for name, value in tensors.items()})
    assert agrees(tmp_path).report.notes == ()


def test_a_prefix_that_only_some_tensors_have_is_completed(folder):
    edited(
        folder,
        lambda tensors: {k.removeprefix("model." * ("mlp" in k)): value for k, value in tensors.items()},
    )
    assert agrees(folder).report.notes == ()


def test_a_prefix_that_is_there_twice_counts_once(folder):
    edited(folder, lambda tensors: {k.replace("model.", "model.model.", 1): v for k, v in tensors.items()})
    assert agrees(folder).report.notes == ()
    edited(folder, lambda tensors: {k.replace("lm_head.", "model.lm_head."): v for k, v in tensors.items()})
    assert agrees(folder).report.notes == ()


def test_of_two_tensors_of_one_name_neither_is_guessed_at(folder):
    edited(folder, lambda tensors: tensors | {"norm.weight": 2 * tensors["model.norm.weight"]})
    with pytest.raises(InvalidInput, match=r"under one name.*model\.norm\.weight and norm\.weight"):
        models.load(folder)


def test_a_tied_head_alone_is_the_embedding(tmp_path):
    oracle.save(oracle.oracle("llama", {"num_hidden_layers": 1, "tie_word_embeddings": True}), tmp_path)
    edited(tmp_path, lambda all: {k.replace("model.embed_tokens.", "lm_head."): v for k, v in all.items()})
    assert agrees(tmp_path).report.notes == ()
    configured(tmp_path, tie_word_embeddings=False)
    with pytest.raises(InvalidInput, match=r"missing model\.embed_tokens\.weight"):
        models.load(tmp_path)


def test_a_part_of_the_rotation_that_the_model_does_not_read_is_noted(folder):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"partial_rotary_factor": 0.5}))
    (note,) = agrees(folder).report.notes
    assert note == "without effect in this model's RoPE: partial_rotary_factor = 0.5"


CONSTANT = (".bias", "norm.weight")


@pytest.mark.parametrize("family", oracle.CLASSES)
def test_gains_and_biases_that_are_not_stored_are_those_of_transformers(tmp_path, family):
    biased = {"num_hidden_layers": 1, "attention_bias": True, "mlp_bias": True}
    oracle.save(oracle.oracle(family, biased), tmp_path)
    edited(tmp_path, lambda all: {k: v for k, v in all.items() if not k.endswith(CONSTANT)})
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).state_dict()
    source = open_checkpoint(tmp_path).source
    missing = [name for name, dtype in source.dtypes.items() if dtype == "not stored"]
    assert set(missing) == {name for name in theirs if name.endswith(CONSTANT)}
    for name in missing:
        np.testing.assert_array_equal(source.read(name), theirs[name].numpy())
    assert source.notes[-1].startswith(f"{len(missing)} tensors are not stored (gains are 1 and biases 0")


def test_gains_that_are_not_stored_are_noted_and_a_weight_is_never_filled_in(folder):
    norm = "model.layers.0.input_layernorm.weight"
    edited(folder, lambda all: {k: v for k, v in all.items() if k != norm})
    model = agrees(folder)
    assert says(model, "1 tensors are not stored", norm)
    assert model.report.dtypes == {"F32": 11, "not stored": 1}
    edited(folder, lambda all: {k: v for k, v in all.items() if "up_proj" not in k})
    with pytest.raises(InvalidInput, match=rf"missing {norm} .*missing model\.layers\.0\.mlp\.up_proj"):
        models.load(folder)


SMALL = {name: dtype for name in SMALL_FLOATS if (dtype := getattr(torch, SMALL_FLOATS[name].__name__, None))}


@pytest.mark.parametrize("stored", SMALL)
def test_floats_of_8_bits_are_the_numbers_that_pytorch_reads(tmp_path, stored):
    values = torch.arange(250, dtype=torch.uint8).view(SMALL[stored]).reshape(25, 10)
    save_torch({"model.norm.weight": values}, tmp_path / "model.safetensors")
    source = safetensors_in(tmp_path)
    assert source.dtypes == {"model.norm.weight": stored}
    found = source.read("model.norm.weight").astype(np.float32)
    np.testing.assert_array_equal(found, values.float().numpy())


def test_weights_of_8_bits_are_loaded_where_no_scale_lies_beside_them(folder):
    path = folder / "model.safetensors"
    small = {name: torch.from_numpy(v).to(torch.float8_e4m3fn) for name, v in load_file(path).items()}
    save_torch(small, path, metadata={"format": "pt"})
    assert agrees(folder).report.dtypes == {"F8_E4M3": 12}
    scale = "model.layers.0.mlp.up_proj.weight_scale"
    save_torch(small | {scale: torch.ones(1)}, path, metadata={"format": "pt"})
    with pytest.raises(InvalidInput, match=rf"8 bits without scales.*F8_E4M3\) beside {scale}'"):
        models.load(folder)


LONG = {"short_factor": [1.5, 2.0, 3.0], "long_factor": [4.0, 5.0, 6.0], "type": "longrope"}
HUB = {
    "SmolLM3": {
        **{
            "model_type": "smollm3",
            "no_rope_layers": [1, 1, 1, 0] * 9,
            "layer_types": ["full_attention"] * 36,
        },
        **{"num_hidden_layers": 36, "max_window_layers": 28, "rope_scaling": None, "rope_theta": 5e6},
    },
    "Phi-4-mini": {
        **{"model_type": "phi3", "max_position_embeddings": 96, "original_max_position_embeddings": 48},
        **{"partial_rotary_factor": 0.75, "rope_scaling": LONG, "sliding_window": 262144, "full_attn_mod": 1},
    },
    "OLMo-2": {"model_type": "olmo2", "attention_bias": False, "rope_scaling": None, "rope_theta": 500000},
    "BitNet": {
        **{"model_type": "bitnet", "hidden_act": "relu2", "torch_dtype": "bfloat16", "rope_theta": 500000.0},
        "quantization_config": {"quant_method": "bitnet", "modules_to_not_convert": None},
    },
}


def test_configs_are_described_as_the_hub_has_them(tmp_path):
    found = {}
    for name, config in HUB.items():
        (tmp_path / "config.json").write_text(json.dumps(oracle.SIZES | config))
        found[name] = described_by_hub(tmp_path)
    smollm, remarks, _ = found["SmolLM3"]
    assert (sum(smollm.rotated), smollm.rotated[:4]) == (27, (True, True, True, False))
    assert remarks == ("config.json has what transformers' smollm3 never reads: max_window_layers = 28",)
    phi, remarks, _ = found["Phi-4-mini"]
    assert (phi.rope.features, phi.rope.divisors, phi.positions) == (6, (1.5, 2.0, 3.0), 48)
    assert phi.rope.scale == pytest.approx((1 + np.log(2) / np.log(48)) ** 0.5)
    assert remarks[0].startswith("longrope: windows of at most 48 tokens")
    assert remarks[1].endswith("never reads: full_attn_mod = 1")
    olmo, remarks, _ = found["OLMo-2"]
    assert (olmo.post_norm, olmo.qk_norm, remarks) == (True, "all", ())
    bitnet, _, ternary = found["BitNet"]
    assert (bitnet.activation, bitnet.sub_norms, bitnet.input_bits) == ("relu2", True, 8)
    assert (ternary.online, ternary.divides) == (False, True)


def test_a_stale_index_beside_the_weights_is_not_followed(folder):
    stale = {"weight_map": {"model.norm.weight": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(stale))
    assert says(agrees(folder), "model.safetensors is read", "index.json beside it is not")


def test_an_adapter_beside_the_model_is_not_applied_and_one_alone_is_named(folder):
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    assert says(models.load(folder), "adapter", "not applied")
    (folder / "config.json").unlink()
    with pytest.raises(MissingResource, match=r"no config\.json: it is an adapter \(LoRA\): merge it"):
        models.load(folder)


def test_a_folder_of_gguf_files_says_which_to_give(tmp_path):
    (tmp_path / "a-Q4_K_M.gguf").touch()
    with pytest.raises(MissingResource, match=r"give one of its GGUF files \(a-Q4_K_M\.gguf\)"):
        models.load(tmp_path)


HARMLESS = {
    "dynamic within the trained length": {
        "rope_parameters": {"rope_type": "dynamic", "rope_theta": 5e3, "factor": 2.0}
    },
    "default with a factor": {"rope_parameters": {"rope_type": "default", "rope_theta": 5e3, "factor": 8.0}},
    "older, with what its type ignores": {
        "rope_theta": 5e3,
        "rope_scaling": {"type": "linear", "factor": 2.0, "beta_fast": 32},
    },
    "code of its own, which the native class replaces": {"auto_map": {"AutoModelForCausalLM": "x--y.Z"}},
    "windows": {"sliding_window": 4, "max_window_layers": 1, "use_sliding_window": True},
    "no quantisation": {"quantization_config": None, "quantization": None},
}


@pytest.mark.parametrize("case", HARMLESS)
def test_what_changes_nothing_is_loaded_with_a_note(folder, case):
    configured(folder, **HARMLESS[case])
    model = agrees(folder)
    assert 1 <= len(model.report.notes) <= 2  # transformers may have a warning of its own
    key = {"dynamic": "factor", "default": "factor", "older,": "beta_fast", "code": "auto_map"}
    key |= {"windows": "sliding_window = 4", "no": "quantization = None"}
    assert says(model, key[case.split()[0]])


def with_lead(folder, **declared):
    """A tokenizer whose post-processor puts "!" before a text, whatever tokenizer_config.json declares."""
    path = folder / "tokenizer.json"
    backend = tokenizers.Tokenizer.from_file(str(path))
    lead = tokenizers.processors.TemplateProcessing(single="! $A", special_tokens=[("!", 0)])
    backend.post_processor = lead
    backend.save(str(path))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"} | declared)
    )


@pytest.mark.parametrize("declared", [{}, {"bos_token": "!"}, {"bos_token": "A"}, {"add_bos_token": False}])
def test_the_post_processor_says_what_comes_before_a_text(folder, declared):
    assert tokenizer_from_hub(folder).bos is None
    with_lead(folder, **declared)
    tokenizer = tokenizer_from_hub(folder)
    own = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert tokenizer.encode("Tree,12").tolist() == own.encode("Tree,12").ids
    assert tokenizer.bos == 0


def test_tokenizer_json_is_read_as_it_is_where_transformers_rebuilds_it(tmp_path):
    """transformers makes a GPT2Tokenizer of vocabulary and merges, and loses that numerals stand alone."""
    letters = {
        token: index for index, token in enumerate(sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()))
    }
    vocabulary = letters | {"12": 256, "ĠĠ": 257}
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[("1", "2"), ("Ġ", "Ġ")]))
    cut = tokenizers.pre_tokenizers
    backend.pre_tokenizer = cut.Sequence(
        [cut.Digits(individual_digits=True), cut.ByteLevel(add_prefix_space=False)]
    )
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "GPT2Tokenizer"}))
    ours = tokenizer_from_hub(tmp_path)
    assert ours.encode("12").tolist() == [vocabulary["1"], vocabulary["2"]]
    rebuilt = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert rebuilt("12").input_ids == [vocabulary["12"]]
    assert "transformers cuts a text otherwise than tokenizer.json, which is used as it is" in ours.remarks


def test_a_tokenizer_of_more_tokens_than_the_model_is_a_note_until_it_uses_one(folder):
    path = folder / "tokenizer.json"
    backend = tokenizers.Tokenizer.from_file(str(path))
    backend.add_tokens([f"<extra {number}>" for number in range(9)])
    backend.save(str(path))
    model = models.load(folder)
    assert says(model, "knows 103 tokens", "the model 97")
    with pytest.raises(InvalidInput, match=r"token ids in 0\.\.96"):
        models.window_nll(model, models.text.windows(model.tokenizer.encode("ab <extra 8> cd"), 4, 1))


def trained(folder, model_type="bpe", normalization_rule_name="identity"):
    """Train a tokenizer.model on the folder's text."""
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text"),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=290,
        byte_fallback=True,
        remove_extra_whitespaces=False,
        hard_vocab_limit=False,
        minloglevel=9,
        model_type=model_type,
        normalization_rule_name=normalization_rule_name,
    )


@pytest.fixture
def pieces(tmp_path):
    """A folder whose only tokenizer is a SentencePiece model."""
    (tmp_path / "text").write_text("the cat sat on the mat\nand the rat ran\n" * 20)
    trained(tmp_path)
    declared = {
        "tokenizer_class": "LlamaTokenizer",
        "add_bos_token": True,
        "bos_token": "<s>",
        "unk_token": "<unk>",
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(declared))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    return tmp_path


def test_a_sentence_piece_model_alone_is_read_where_sentencepiece_is_installed(pieces):
    own = sentencepiece.SentencePieceProcessor(model_file=str(pieces / "tokenizer.model"))
    tokenizer = tokenizer_from_hub(pieces)
    for text in ("the cat", "the  rat 12, naïve 日本\nran", "mat", " the", "\n\n  the\n cat", "   ", ""):
        assert tokenizer.encode(text).tolist() == [own.bos_id(), *own.encode(text)]
    # Control: transformers' own reading, which is what is left where ours would not be sentencepiece's.
    theirs = transformers.AutoTokenizer.from_pretrained(pieces)
    assert theirs(" the").input_ids != [own.bos_id(), *own.encode(" the")]
    assert theirs("a</s><s>").input_ids == tokenizer.encode("a</s><s>").tolist()


def test_tokens_beside_a_sentence_piece_model_are_found_whole(pieces):
    own = sentencepiece.SentencePieceProcessor(model_file=str(pieces / "tokenizer.model"))
    path = pieces / "tokenizer_config.json"
    extra = {"content": "<|x|>", "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    added = {"added_tokens_decoder": {str(len(own)): extra | {"single_word": False}}}
    path.write_text(json.dumps(json.loads(path.read_text()) | added))
    ids = tokenizer_from_hub(pieces).encode(" the<|x|>").tolist()
    assert ids == [own.bos_id(), *own.encode(" the"), len(own)]


@pytest.mark.parametrize("other", [{"model_type": "unigram"}, {"normalization_rule_name": "nmt_nfkc"}])
def test_a_sentence_piece_model_of_another_kind_is_left_to_transformers(pieces, other):
    trained(pieces, **other)
    tokenizer = tokenizer_from_hub(pieces)
    theirs = transformers.AutoTokenizer.from_pretrained(pieces)
    assert tokenizer.kind == "built by transformers"
    assert tokenizer.encode(" the ﬁ").tolist() == theirs(" the ﬁ").input_ids


@pytest.mark.slow  # a process of its own, which loads transformers
def test_without_sentencepiece_the_line_says_how_to_get_it(pieces):
    script = (
        "import sys, pathlib\nsys.modules['sentencepiece'] = None\n"
        "import importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'sentencepiece' else find(name, *rest)\n"
        "from signmag_jax.models.tokenizer import tokenizer_from_hub\n"
        f"tokenizer_from_hub(pathlib.Path({str(pieces)!r}))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert "MissingResource" in last
    assert "pip install sentencepiece" in last


def test_a_token_beyond_any_vocabulary_is_one_line(folder):
    path = folder / "tokenizer.json"
    plain = json.loads(path.read_text())
    plain["model"]["vocab"]["A"] = 2**31
    path.write_text(json.dumps(plain))
    tokenizer = tokenizer_from_hub(folder)
    assert len(tokenizer.encode("BC")) == 2
    with pytest.raises(MissingResource, match=r"the id 2147483648: it is damaged"):
        tokenizer.encode("ABC")
