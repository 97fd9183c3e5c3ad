"""A weight transform may give another weight or a function of the layer's input; both are the same layer."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from small_models import MINUTE

from signmag_jax.models import token_nll
from signmag_jax.models.layers import apply_linear

CONFIG = dataclasses.replace(MINUTE, qkv_bias=True, mlp_bias=True)


def test_a_function_of_the_input_stands_for_a_weight_with_and_without_bias():
    rng = np.random.default_rng(0)
    blocks = {
        name: jnp.asarray(rng.normal(0, 0.5, (CONFIG.layers, *shape)))
        for name, shape in CONFIG.shapes().items()
    }
    params = {
        "blocks": blocks,
        "embed": jnp.asarray(rng.normal(size=(CONFIG.vocabulary, CONFIG.hidden))),
        "norm": jnp.ones(CONFIG.hidden),
    }
    tokens = jnp.asarray(rng.integers(0, CONFIG.vocabulary, (2, 9)).astype(np.int32))

    def scale(layer):
        return 1.5 + layer.astype(float)

    def weight(w, layer, name):
        return w * scale(layer) if name in ("up_proj", "o_proj") else w

    def function(w, layer, name):
        return (lambda x: apply_linear(x * scale(layer), w)) if name in ("up_proj", "o_proj") else w

    transforms = (weight, function, None)
    run = jax.jit(lambda tokens: [token_nll(CONFIG, params, tokens, each) for each in transforms])
    by_weight, by_function, plain = run(tokens)
    np.testing.assert_allclose(by_function, by_weight, rtol=1e-10)
    assert np.abs(by_weight - plain).max() > 0.01
