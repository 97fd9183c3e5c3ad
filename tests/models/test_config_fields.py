"""Every attribute of the real config classes is used as transformers uses it, irrelevant, or refused."""

import dataclasses
import importlib
import inspect
import itertools
import json
import re
import time

import jax.numpy as jnp
import numpy as np
import oracle
import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signmag_jax.evidence import InvalidInput, SignmagError
from signmag_jax.models import config_hub, layers, rope
from signmag_jax.models.config import ACTIVATIONS
from signmag_jax.models.config_hub import (
    FAMILIES,
    IRRELEVANT,
    USED,
    config_from_hub,
    described_by_hub,
    unread_attributes,
)

TOKENS = np.random.default_rng(3).integers(0, 90, (1, 41)).astype(np.int32)
CLASSES = {family: getattr(transformers, f"{oracle.CLASSES[family]}Config") for family in FAMILIES}
# Other values of the irrelevant ones that the classes have.
OTHERWISE = {
    "initializer_range": 0.7,
    "use_cache": False,
    "pretraining_tp": 2,
    "attention_dropout": 0.4,
    "pad_token_id": 3,
    "bos_token_id": 4,
    "eos_token_id": [5, 6],
    "return_dict": False,
    "output_hidden_states": True,
    "dtype": "bfloat16",
    "chunk_size_feed_forward": 7,
    "resid_pdrop": 0.3,
    "embd_pdrop": 0.2,
    "is_encoder_decoder": True,
    "id2label": {0: "x"},
    "label2id": {"x": 0},
    "problem_type": "regression",
    "architectures": ["Other"],
    "transformers_version": "1.0",
    "_name_or_path": "elsewhere",
}


def test_every_activation_is_that_of_transformers_and_no_other():
    x = np.linspace(-8, 8, 65)
    found = {}
    for name, own in config_hub._ACTIVATIONS.items():
        expected = transformers.activations.ACT2FN[name](torch.as_tensor(x)).numpy()
        # The fast GELU rounds √(2/π) to ten digits.
        np.testing.assert_allclose(layers.ACTIVATIONS[own](jnp.asarray(x)), expected, rtol=1e-6, atol=1e-9)
        found[own] = expected
    assert set(found) == set(layers.ACTIVATIONS) == set(ACTIVATIONS)
    for one, other in itertools.combinations(found, 2):
        assert np.abs(found[one] - found[other]).max() > 1e-4, (one, other)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_field_of_the_class_is_used_or_known_to_be_irrelevant(family):
    names = {field.name for field in dataclasses.fields(CLASSES[family])}
    assert len(names) > 20
    assert set(inspect.signature(CLASSES[family]).parameters) >= names
    assert unread_attributes(family, dict.fromkeys(names | set(CLASSES[family]().to_dict()), 1), names) == {}
    # A field that a later version adds would be noticed here, and refused in a config; what no class declares
    # is read by no model.
    with pytest.raises(InvalidInput, match=r"known in .*logit_scale = 0\.5"):
        unread_attributes(family, {"logit_scale": 0.5}, names | {"logit_scale"})
    assert unread_attributes(family, {"logit_scale": 0.5}, names) == {"logit_scale": 0.5}


@pytest.mark.parametrize("family", FAMILIES)
def test_what_the_model_reads_of_its_config_is_used(family):
    source = inspect.getsource(importlib.import_module(f"transformers.models.{family}.modeling_{family}"))
    read = set(re.findall(r"config\.(\w+)", source)) | set(re.findall(r"config, \"(\w+)\"", source))
    ignored = {"_attn_implementation", "attention_dropout", "resid_pdrop", "pad_token_id"}
    assert len(read) > 12
    assert read - ignored <= USED[family]
    # And nothing is used that the model does not read, but for what transformers folds into other fields.
    folded = {"rope_theta", "rope_scaling", "tie_word_embeddings", "max_window_layers", "use_sliding_window"}
    folded |= {"no_rope_layer_interval", "original_max_position_embeddings"}
    assert USED[family] - folded <= read


def _cases(family):
    return {name: changes for name, (kind, changes) in oracle.CASES.items() if kind == family}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_used_field_departs_from_its_default_in_a_model_of_the_parity_test(family):
    default = CLASSES[family]()
    changed = {name for name, size in oracle.SIZES.items() if getattr(default, name) != size}
    for changes in _cases(family).values():
        changed |= set(changes)
    # The older spellings are below.
    assert USED[family] - changed == {"rope_theta", "rope_scaling"}


@pytest.mark.parametrize("case", oracle.CASES)
def test_each_change_matters_to_transformers(case):
    """Taken back alone, it changes shapes or logits: parity would not survive a port that ignores it."""
    family, changes = oracle.CASES[case]
    model = oracle.oracle(family, changes)
    logits = oracle.read(model, TOKENS).logits
    harmless = set()
    for name in set(changes) - {"tie_word_embeddings"}:  # it says which tensors are stored
        other = oracle.oracle(family, {key: value for key, value in changes.items() if key != name})
        try:
            other.load_state_dict(model.state_dict())
            without = oracle.read(other, TOKENS).logits
        except (RuntimeError, ValueError):  # other shapes; layers that slide over no window
            continue
        if oracle.relative(without, logits) < 1e-4:
            harmless.add(name)
    # A window beyond the text, and none at all where transformers' own default lies beyond it; BitNet's
    # sub-norm allows no other size of heads.
    allowed = {"mistral-head-dim": {"sliding_window"}, "mistral": {"sliding_window"}}
    assert harmless <= (allowed | {"bitnet-biases": {"head_dim"}}).get(case, set())


@pytest.mark.parametrize("family", FAMILIES)
def test_irrelevant_fields_change_neither_our_config_nor_transformers_logits(family, tmp_path):
    names = {field.name for field in dataclasses.fields(CLASSES[family])} | set(CLASSES[family]().to_dict())
    assert names & IRRELEVANT <= set(OTHERWISE) | {"model_type", "output_attentions"}
    changes = {name: value for name, value in OTHERWISE.items() if name in names & IRRELEVANT}
    assert len(changes) > 8
    model = oracle.oracle(family, {})
    model.config.save_pretrained(tmp_path)
    before = config_from_hub(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    assert config_from_hub(tmp_path) == before
    constructible = {k: v for k, v in changes.items() if k not in ("dtype", "return_dict", "problem_type")}
    other = oracle.oracle(family, constructible)
    other.load_state_dict(model.state_dict())
    assert torch.equal(
        torch.from_numpy(oracle.read(other, TOKENS).logits),
        torch.from_numpy(oracle.read(model, TOKENS).logits),
    )


def _config_of(folder, **changes):
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", **oracle.SIZES, **changes}))
    return config_from_hub(folder)


def test_older_spellings_of_the_rotation_are_read_as_transformers_reads_them(tmp_path):
    rope = _config_of(tmp_path, rope_theta=5000.0, rope_scaling={"type": "linear", "factor": 3.0}).rope
    assert (rope.theta, rope.kind, rope.factor) == (5000.0, "linear", 3.0)
    assert _config_of(tmp_path, rope_theta=77.0, rope_scaling=None).rope.theta == 77.0
    old = {name: value for name, value in oracle.LLAMA3.items() if name != "rope_theta"}
    assert _config_of(tmp_path, rope_theta=50.0, rope_scaling=old).rope == (
        _config_of(tmp_path, rope_parameters=oracle.LLAMA3).rope
    )


YARN = {"rope_type": "yarn", "rope_theta": 50.0, "original_max_position_embeddings": 64}
ROTATIONS = {
    "yarn that stretches by nothing": YARN | {"factor": 1},
    "yarn that scales alone": YARN | {"factor": 1.0, "attention_factor": 0.8, "beta_fast": 4},
    "yarn by the ratio of equal lengths": YARN | {"factor": None, "mscale": 0.7, "mscale_all_dim": 1.0},
    "llama3 with one end": oracle.LLAMA3 | {"low_freq_factor": 4.0},
    "llama3 with its ends exchanged": oracle.LLAMA3 | {"low_freq_factor": 4.0, "high_freq_factor": 1.0},
}


@pytest.mark.parametrize("case", ROTATIONS)
def test_rotations_are_those_of_transformers(tmp_path, case):
    ours = _config_of(tmp_path, rope_parameters=ROTATIONS[case])
    theirs = CLASSES["llama"](**oracle.SIZES, rope_parameters=ROTATIONS[case])
    kind = ROTATIONS[case]["rope_type"]
    found, scale = transformers.modeling_rope_utils.ROPE_INIT_FUNCTIONS[kind](theirs, "cpu")
    np.testing.assert_allclose(rope.frequencies(ours.rope, ours.head_dim), found.numpy(), rtol=1e-6)
    assert ours.rope.scale == scale


@pytest.mark.parametrize("change", [{"factor": 4.0}, {"factor": 0.5}, {"factor": None}, {"factor": "1"}])
def test_yarn_that_changes_frequencies_is_refused(tmp_path, change):
    with pytest.raises(InvalidInput, match=r"yarn of factor|config\.json"):
        _config_of(tmp_path, rope_parameters=YARN | {"original_max_position_embeddings": 32} | change)


def test_layers_that_slide_over_no_window_are_refused_as_transformers_fails_on_them(tmp_path):
    kinds = {"layer_types": [oracle.FULL, oracle.SLIDING, oracle.FULL], "model_type": "qwen2"}
    for window in ({"use_sliding_window": False}, {"use_sliding_window": True, "sliding_window": None}):
        with pytest.raises(InvalidInput, match="sliding_window a number where layer_types has sliding_att"):
            _config_of(tmp_path, **kinds, **window)
    config = _config_of(tmp_path, **kinds, use_sliding_window=True, sliding_window=6)
    assert config.sliding == (None, 6, None)


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("llama", {"sliding_window": 4}),
        ("llama", {"layer_types": ["full_attention"] * 3}),
        ("mistral", {"attention_bias": True}),
        ("mistral", {"mlp_bias": True}),
        ("qwen2", {"mlp_bias": True}),
        ("qwen3", {"mlp_bias": True}),
        ("llama", {"rope_interleaved": False}),
        ("llama", {"num_local_experts": 8}),
        ("qwen2", {"use_mrope": True}),
        ("llama", {"unsloth_fixed": True}),
        ("mistral", {"logit_softcap": 30.0}),
        ("llama", {"pruned_heads": {}}),
    ],
)
def test_what_the_family_never_reads_is_noted_and_changes_nothing(tmp_path, family, changes):
    (name,) = changes
    plain = _config_of(tmp_path, model_type=family)
    assert _config_of(tmp_path, model_type=family, **changes) == plain
    (remark,) = described_by_hub(tmp_path)[1]
    assert f"never reads: {name} = " in remark
    # transformers ignores it: used in the port, it would have changed the loss.
    plain, with_it = (oracle.oracle(family, extra) for extra in ({}, changes))
    assert np.array_equal(oracle.read(plain, TOKENS).logits, oracle.read(with_it, TOKENS).logits)


# What a damaged or hand-written config may hold in place of a value.
STRANGE = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(
        [0, -1, 1, 2, 3, 7, 2**31, 2**63, 10**30, 0.0, -0.5, 1e-300, 1e300, float("inf"), float("nan")]
    ),
    st.sampled_from(["", "x", "silu", "linear", "7", "a\nb"]),
    st.lists(st.sampled_from(["sliding_attention", "full_attention", 1, None, []]), max_size=3),
    st.dictionaries(
        st.sampled_from(["rope_type", "type", "rope_theta", "factor", "low_freq_factor", "high_freq_factor"]),
        st.sampled_from(["default", "linear", "llama3", "yarn", "x", None, [], {}, 0, -1, 2, 1e400, 50.0]),
    ),
)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(family=st.sampled_from(FAMILIES), data=st.data())
def test_any_value_of_any_field_is_read_or_refused_in_one_line(tmp_path, family, data):
    names = sorted(USED[family] | {"model_type", "quantization_config", "dtype", "eos_token_id"})
    changes = data.draw(st.dictionaries(st.sampled_from(names), STRANGE, min_size=1, max_size=3))
    line, start = "", time.process_time()
    try:
        config = _config_of(tmp_path, **({"model_type": family} | changes))
    except SignmagError as error:
        line = str(error)
    else:
        assert all(size > 0 for shape in config.shapes().values() for size in shape)
        assert np.isfinite(rope.frequencies(config.rope, min(config.head_dim, 512))).all()
    assert "\n" not in line
    assert time.process_time() - start < 5


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_without_heads_is_refused_by_name(tmp_path, family):
    with pytest.raises(InvalidInput, match="num_attention_heads"):
        _config_of(tmp_path, model_type=family, num_attention_heads=0)
