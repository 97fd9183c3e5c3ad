"""Half precision on a CPU: no program holds a float32 copy of all weights, and float32 is left alone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_models import HUB

from signmag_jax.evidence import compiling
from signmag_jax.models import token_nll

pytestmark = pytest.mark.skipif(jax.default_backend() != "cpu", reason="others slice half precision")
LAYERS = 24
CONFIG = dataclasses.replace(
    HUB, hidden=128, intermediate=512, layers=LAYERS, kv_heads=4, head_dim=32, vocabulary=64, tied=True
)


def temporary_and_weights(dtype, options):
    """Bytes that the loss of one window needs besides its arguments, and of the weights in float32."""
    params = {name: jax.ShapeDtypeStruct(shape, dtype) for name, shape in CONFIG.outer_shapes().items()}
    params["blocks"] = {
        name: jax.ShapeDtypeStruct((LAYERS, *shape), dtype) for name, shape in CONFIG.shapes().items()
    }
    tokens = jax.ShapeDtypeStruct((1, 16), jnp.int32)
    loss = jax.jit(lambda p, t: token_nll(CONFIG, p, t), compiler_options=options)
    memory = loss.lower(params, tokens).compile().memory_analysis()
    return memory.temp_size_in_bytes, 4 * sum(np.prod(x.shape) for x in jax.tree.leaves(params))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_the_loss_of_half_precision_makes_no_copy_of_all_weights(dtype):
    temporary, weights = temporary_and_weights(dtype, compiling.HALVES)
    assert temporary < weights / 4


def test_without_what_the_compiler_is_told_it_would():
    temporary, weights = temporary_and_weights(jnp.bfloat16, {})
    assert temporary > 0.9 * weights


@pytest.mark.parametrize(
    ("dtype", "told"), [(jnp.bfloat16, True), (jnp.float16, True), (jnp.float32, False), (jnp.int32, False)]
)
def test_programs_of_half_precision_alone_are_told(monkeypatch, dtype, told):
    monkeypatch.setattr(compiling, "HALVES", {"xla_no_such_option": True})
    double = compiling.jit(lambda tree: jax.tree.map(lambda x: 2 * x, tree))
    weights = {"blocks": [jnp.ones(3, dtype)]}
    if told:
        with pytest.raises(jax.errors.JaxRuntimeError, match="xla_no_such_option"):
            double(weights)
    else:
        assert double(weights)["blocks"][0].sum() == 6


def test_a_key_beside_the_weights_is_no_half_precision(monkeypatch):
    monkeypatch.setattr(compiling, "HALVES", {"xla_no_such_option": True})
    assert compiling.jit(jax.random.bits)(jax.random.key(0)).shape == ()
