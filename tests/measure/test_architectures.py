"""Measurements on each architecture that departs from Llama's: the same seven matrices; what is refused."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from conftest import build
from small_models import MINUTE

from signmag_jax import measure
from signmag_jax.evidence import InvalidInput
from signmag_jax.measure.layer import layer_states
from signmag_jax.measure.rotation import rotated
from signmag_jax.models import MATRICES, hidden

KINDS = {
    "bitnet": {"activation": "relu2", "sub_norms": True, "input_bits": 8},
    "olmo2": {"post_norm": True, "qk_norm": "all"},
    "smollm3": {"rotated": (True, False)},
    "phi3": {"rope": dataclasses.replace(MINUTE.rope, features=2, scale=1.1)},
}
TOKENS = np.random.default_rng(0).integers(0, MINUTE.vocabulary, (4, 9)).astype(np.int32)


def model(kind):
    return build(config=dataclasses.replace(MINUTE, family=kind, **KINDS[kind]), loud=2.0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_map_of_columns_cover_the_seven_matrices(kind):
    some = model(kind)
    assert 1 < measure.nll(some, TOKENS).value < 10
    found = measure.columns(some, TOKENS[:2], TOKENS[2:], probes=2)
    assert list(found.matrices) == list(MATRICES)
    assert {row["matrix"] for row in found.rows()} == set(MATRICES)
    assert all(np.isfinite(row["value"]) for row in found.rows() if "value" in row)


@pytest.mark.parametrize("kind", ["bitnet", "olmo2", "smollm3"])
def test_the_states_of_one_layer_make_up_the_stream_after_it(kind):
    some = model(kind)
    config, layer = some.config, 1

    def run(params):
        _, streams = hidden(config, params, jnp.asarray(TOKENS), every_layer=True)
        at = jnp.asarray(layer, jnp.int32)
        names = ("o_proj", "down_proj")
        return streams, {name: layer_states(config, params["blocks"], streams[0], at, name) for name in names}

    streams, found = jax.device_get(quick.jit(run)(some.params))
    attention, mlp = found["o_proj"], found["down_proj"]
    if config.post_norm:
        gain = {
            name: np.asarray(some.params["blocks"][f"{name}_post_norm"][layer])
            for name in ("attention", "mlp")
        }
        after = streams[0] + attention.normalised * gain["attention"] + mlp.normalised * gain["mlp"]
    else:
        assert np.allclose(attention.stream, streams[0] + attention.output, rtol=1e-5, atol=1e-5)
        after = attention.stream + mlp.output
        assert np.allclose(mlp.stream, after, rtol=1e-5, atol=1e-5)
    assert np.allclose(after, streams[1], rtol=1e-5, atol=1e-5)
    assert not np.allclose(streams[0], streams[1], atol=0.1)
    length = np.linalg.norm(attention.normalised, axis=-1)
    assert np.allclose(length, config.hidden**0.5, rtol=1e-3)


@pytest.mark.parametrize("kind", ["bitnet", "olmo2"])
def test_what_does_not_commute_with_a_rotation_is_not_rotated(kind):
    with pytest.raises(InvalidInput, match="rotated before it is read"):
        rotated(model(kind))


def test_a_model_that_leaves_rotations_out_has_the_same_loss_when_its_stream_is_turned():
    some = model("smollm3")
    before, after = measure.nll(some, TOKENS), measure.nll(rotated(some), TOKENS)
    assert abs(before.value - after.value) < 1e-5
