"""The embedded model through the real loader."""

import jax
import jax.numpy as jnp
import numpy as np

from signmag_jax import models


def test_hooks_see_and_change_every_matrix(smollm):
    tokens = jnp.asarray(
        smollm.tokenizer.encode("The quick brown fox jumps over the lazy dog.")[None, :], jnp.int32
    )
    named: list[str] = []

    def transform(weight, layer, name):
        named.append(name)
        return jnp.where(layer == 29, weight * 1.5, weight).astype(weight.dtype)

    run = jax.jit(models.token_nll, static_argnums=(0, 3, 4))
    clean = run(smollm.config, smollm.params, tokens, None, None)
    changed, seen = run(
        smollm.config, smollm.params, tokens, transform, lambda x, layer, site: jnp.mean(x * x)
    )
    assert sorted(set(named)) == sorted(models.MATRICES)
    assert set(seen) == set(models.SITES)
    assert all(value.shape == (30,) for value in seen.values())
    assert np.isfinite(clean).all()
    assert float(jnp.max(jnp.abs(changed - clean))) > 0.1
