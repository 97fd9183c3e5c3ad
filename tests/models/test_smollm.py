"""The embedded model against `transformers`' PyTorch model on the same weights, and its tokenizer."""

import copy
import functools
import itertools
import random
import re

import decoder
import gguf
import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
import tokenizers
import torch
import transformers
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from signmag_jax import models
from signmag_jax.models.embedded import embedded
from signmag_jax.models.gguf_file import GGUFFile
from signmag_jax.models.names import layer_tensor, outer_tensor

PROSE = "The quick brown fox doesn't jump; it's asleep. \"Quotes\" and (brackets) - dashes, too.\n\n"
CODE = "def area(r):\n\tif r < 0:\n        raise ValueError(f'{r=}')  # no\n    return math.pi * r**2\n"
DIGITS = "In 1984 12,345.678 of 9999999 came at 3e-5; x=0x1F,\n    1, 22, 333\n  4   5 v2.0"
FOREIGN = "日本語のテキスト。 Привет, мир! العربية ١٢٣ हिन्दी ½ Ⅷ x² ελληνικά é ñ ü עברית"
SPACES = " leading\t\ttabs  \n \n   mixed \r\n\r\n\u00a0nbsp\u200bzero   end   "
EMOJI = "👩‍👩‍👧‍👦 family 🎉🎊 flags 🇩🇪🇯🇵 🙂"
SPECIAL = "<|im_start|>user\nhello<|im_end|>\n<|endoftext|> <|im_start|"
TEXTS = {name: value for name, value in globals().items() if name.isupper() and isinstance(value, str)}


@pytest.fixture(scope="module")
def file():
    return gguf.GGUFReader(embedded().path)


@pytest.fixture(scope="module")
def metadata(file):
    wanted = ("tokens", "merges", "token_type")
    return {key: file.fields[f"tokenizer.ggml.{key}"].contents() for key in wanted}


@pytest.fixture(scope="module")
def theirs(smollm, file):
    """`LlamaForCausalLM` with the file's weights, unpacked and put in order by rules written here."""
    c = smollm.config
    config = transformers.LlamaConfig(
        vocab_size=c.vocabulary,
        hidden_size=c.hidden,
        intermediate_size=c.intermediate,
        num_hidden_layers=c.layers,
        num_attention_heads=c.heads,
        num_key_value_heads=c.kv_heads,
        rms_norm_eps=1e-5,
        rope_theta=100000.0,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
    )
    with torch.device("meta"):  # nothing is drawn that would be overwritten
        model = transformers.LlamaForCausalLM(config).eval()
    model.model.rotary_emb = type(model.model.rotary_emb)(config)
    state = {}
    for tensor in file.tensors:
        shape = tuple(int(size) for size in reversed(tensor.shape))
        values = torch.from_numpy(decoder.decode(tensor.tensor_type.name, tensor.data.tobytes(), shape))
        name = _hub_name(tensor.name)
        if "q_proj" in name or "k_proj" in name:
            order = [64 * (row // 64) + 2 * (row % 32) + (row % 64) // 32 for row in range(values.shape[0])]
            values = values[order]
        state[name] = values
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state, assign=True)
    model.tie_weights()
    return model


def _hub_name(name):
    plain = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}
    parts = {
        "attn_norm": "input_layernorm",
        "ffn_norm": "post_attention_layernorm",
        "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj",
        "ffn_gate": "mlp.gate_proj",
        "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj",
    }
    stem = name.removesuffix(".weight")
    if stem in plain:
        return plain[stem] + ".weight"
    _, layer, part = stem.split(".")
    return f"model.layers.{layer}.{parts[part]}.weight"


@functools.partial(jax.jit, static_argnums=0)
def _ours(config, params, tokens):
    return models.logits(config, params, tokens), models.token_nll(config, params, tokens)


def test_our_reading_of_the_header_is_that_of_the_library(file):
    ours = GGUFFile(embedded().path)
    assert ours.metadata == {k: f.contents() for k, f in file.fields.items() if not k.startswith("GGUF.")}
    places = {t.name: (t.data_offset, t.data_offset + t.n_bytes, t.tensor_type.name) for t in file.tensors}
    assert {name: (t.start, t.stop, t.dtype) for name, t in ours.tensors.items()} == places


def _in_float64(model, tokens):
    """NLL of the same weights, everything after the angles of the rotation in float64."""
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), model.params)
        return np.asarray(jax.jit(models.token_nll, static_argnums=0)(model.config, wide, tokens))


def test_logits_and_losses_equal_transformers_and_permuted_rows_do_not(smollm, theirs):
    tokens = models.text.windows(smollm.tokenizer.encode(models.text.load().content), 96, 2)
    expected = oracle.read(theirs, tokens)
    logits, nll = _ours(smollm.config, smollm.params, jnp.asarray(tokens))
    assert oracle.relative(logits, expected.logits) < 1e-5
    exact = _in_float64(smollm, tokens)
    # The residual stream and the logits are rounded to float32 after each of 2 additions a layer.
    rounding = 2.0**-24 * np.sqrt(2 * smollm.config.layers) * np.abs(expected.logits).max()
    assert rounding < 3e-5
    for rounded in (np.asarray(nll, np.float64), expected.nll.astype(np.float64)):
        error = rounded - exact
        assert np.sqrt(np.mean(error**2)) < 3 * rounding
        assert np.max(np.abs(error)) < 1e-4
        assert np.max(np.abs(error.mean(axis=1))) < 3 * rounding
    assert 1.5 < exact.mean() < 4  # the model has learned to read

    blocks = dict(smollm.params["blocks"])
    for name in ("q_proj", "k_proj"):  # as llama.cpp stores them
        stack = blocks[name]
        split = stack.reshape(stack.shape[0], -1, 2, 32, stack.shape[2])
        blocks[name] = split.swapaxes(2, 3).reshape(stack.shape)
    wrong, wrong_nll = _ours(smollm.config, smollm.params | {"blocks": blocks}, jnp.asarray(tokens))
    assert oracle.relative(wrong, expected.logits) > 0.1
    assert abs(float(np.mean(wrong_nll)) - expected.nll.mean()) > 0.1


def _our_gradient(config, params, tokens):
    """Of the mean NLL, by the hub's names."""
    run = jax.jit(jax.grad(lambda p: jnp.mean(models.token_nll(config, p, jnp.asarray(tokens)))))
    found = jax.device_get(run(params))
    named = {outer_tensor(name, "hub"): found[name] for name in config.outer_shapes()}
    for name, stack in found["blocks"].items():
        named |= {layer_tensor(name, layer, "hub"): value for layer, value in enumerate(stack)}
    return named


def _their_gradient(model, tokens):
    """The same by PyTorch; transformers' own loss would round the logits to float32."""
    ids = torch.from_numpy(tokens.astype(np.int64))
    model.zero_grad()
    logits = model.lm_head(model.model(input_ids=ids, use_cache=False).last_hidden_state)
    torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
    return {name: value.grad.numpy().copy() for name, value in model.named_parameters()}


def _in_double(model):
    """A copy in float64 throughout: transformers' norms round to float32 whatever their input."""
    wide = copy.deepcopy(model).double()

    def exact(norm):
        return lambda x: norm.weight * x * torch.rsqrt((x * x).mean(-1, keepdim=True) + norm.variance_epsilon)

    for module in wide.modules():
        if isinstance(module, LlamaRMSNorm):
            module.forward = exact(module)
    return wide


@pytest.mark.slow
def test_gradients_are_nearer_to_float64_than_those_of_transformers(smollm, theirs):
    tokens = models.text.windows(smollm.tokenizer.encode(models.text.load().content), 96, 1)
    truth = _their_gradient(_in_double(theirs), tokens)
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), smollm.params)
        ours_in_double = _our_gradient(smollm.config, wide, tokens)
    del wide
    ours, rounded = _our_gradient(smollm.config, smollm.params, tokens), _their_gradient(theirs, tokens)
    assert len(truth) == 272
    errors = {
        name: [oracle.relative(found[name], truth[name]) for found in (ours_in_double, ours, rounded)]
        for name in truth
    }
    double, single, theirs_single = np.asarray(list(errors.values())).T
    print(f"worst: {double.max():.1e} {single.max():.1e} {theirs_single.max():.1e}")
    # The same function: what is left comes from cosines and sines, which both take in float32.
    assert double.max() < 2e-6
    # In float32, rounding: 2e-4 of it in transformers, a tenth of that here.
    assert single.max() < 6e-5
    assert np.median(single) < 1.2e-5
    assert np.mean(single < theirs_single) > 0.95
    # A wrong gain or a neighbour's gradient is no near miss.
    name = "model.layers.5.self_attn.q_proj.weight"
    assert oracle.relative(1.0001 * ours_in_double[name], truth[name]) > 2e-6
    assert oracle.relative(ours[name.replace("5", "6")], truth[name]) > 0.5


def test_hooks_see_and_change_every_matrix(smollm):
    tokens = jnp.asarray(smollm.tokenizer.encode(PROSE)[None, :])
    named = set()

    def transform(weight, layer, name):
        named.add((name, weight.shape))
        return jnp.where(layer == 29, weight * 1.5, weight).astype(weight.dtype)

    run = jax.jit(models.token_nll, static_argnums=(0, 3, 4))
    clean = run(smollm.config, smollm.params, tokens, None, None)
    changed, seen = run(
        smollm.config, smollm.params, tokens, transform, lambda x, layer, site: jnp.mean(x * x, (0, 1))
    )
    assert named == {(name, smollm.config.shapes()[name]) for name in models.MATRICES}
    widths = {"attention_in": 576, "attention_out": 576, "mlp_in": 576, "mlp_mid": 1536}
    assert {site: value.shape for site, value in seen.items()} == {s: (30, w) for s, w in widths.items()}
    assert float(jnp.max(jnp.abs(changed - clean))) > 0.1


def test_report_names_the_file_and_counts_the_weights(smollm):
    report = smollm.report.to_json()
    assert report["parameters"] == 134515008
    assert report["files"] == {embedded().path.name: embedded().sha256}
    assert report["stored_dtypes"] == {"F32": 61, "Q4_1": 210, "Q8_0": 1}
    assert report["source"]["kind"] == "embedded"


@pytest.fixture(scope="module")
def published(metadata):
    """The hub's tokenizer of this model: numerals one by one, then byte-level BPE."""
    vocabulary = {token: index for index, token in enumerate(metadata["tokens"])}
    merges = [tuple(merge.split(" ")) for merge in metadata["merges"]]
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=merges))
    cut = tokenizers.pre_tokenizers
    backend.pre_tokenizer = cut.Sequence([cut.Digits(individual_digits=True), cut.ByteLevel(False)])
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=backend)
    special = [
        token for token, kind in zip(metadata["tokens"], metadata["token_type"], strict=True) if kind == 3
    ]
    fast.add_special_tokens({"additional_special_tokens": special})
    return fast


def _bpe_by_hand(metadata):
    """Byte-pair encoding from its definition, cut as llama.cpp does for `smollm`; letters are Python's."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in visible]
    alphabet = {byte: chr(byte) for byte in visible} | {byte: chr(256 + i) for i, byte in enumerate(hidden)}
    ids = {token: index for index, token in enumerate(metadata["tokens"])}
    ranks = {merge: rank for rank, merge in enumerate(metadata["merges"])}
    word = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[^\W\d_]+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")

    def encode(text):
        out = []
        for piece in re.findall(r"\d|\D+", text):
            for part in [piece] if piece.isdigit() else word.findall(piece):
                symbols = [alphabet[byte] for byte in part.encode()]
                while pairs := [
                    (ranks.get(f"{a} {b}"), i) for i, (a, b) in enumerate(itertools.pairwise(symbols))
                ]:
                    known = [pair for pair in pairs if pair[0] is not None]
                    if not known:
                        break
                    _, i = min(known)
                    symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]
                out += [ids[symbol] for symbol in symbols]
        return out

    return encode


@pytest.mark.parametrize("name", TEXTS)
def test_tokens_equal_those_of_transformers(smollm, published, name):
    ours = smollm.tokenizer.encode(TEXTS[name])
    assert ours.dtype == np.int32
    assert ours.tolist() == published(TEXTS[name]).input_ids
    assert smollm.tokenizer.decode(ours) == TEXTS[name]


@pytest.mark.parametrize("name", ["PROSE", "CODE", "DIGITS", "SPACES"])
def test_tokens_equal_the_definition(smollm, metadata, name):
    assert smollm.tokenizer.encode(TEXTS[name]).tolist() == _bpe_by_hand(metadata)(TEXTS[name])


def test_tokens_of_random_strings_equal_those_of_transformers(smollm, published):
    generator = random.Random(4)
    alphabet = "ab Z09\n\t '.,é日½🙂\u0301<|>_"
    for _ in range(200):
        text = "".join(generator.choice(alphabet) for _ in range(40))
        assert smollm.tokenizer.encode(text).tolist() == published(text).input_ids, text


@pytest.mark.slow  # reads the file with PyTorch
def test_transformers_own_reading_of_the_file_agrees_but_for_spaces_before_numerals(smollm):
    path = embedded().path
    theirs = transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    for text in (PROSE, CODE.replace("0", "zero"), EMOJI, SPECIAL, "In 1984 12,345.678 of 9999999"):
        assert smollm.tokenizer.encode(text).tolist() == theirs(text).input_ids
    # It ignores the file's pre-tokenizer `smollm`: there a run of spaces lends its last to the numeral.
    assert smollm.tokenizer.encode("\n    1").tolist() != theirs("\n    1").input_ids
