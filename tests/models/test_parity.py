"""Parity with `transformers`' PyTorch models, saved and read back through the real loader."""

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
import torch

from signmag_jax import models

X64 = jax.config.jax_enable_x64
TOKENS = np.random.default_rng(3).integers(0, 90, (2, 41)).astype(np.int32)


def _pair(tmp_path, case):
    family, changes = oracle.CASES[case]
    theirs = oracle.oracle(family, changes, torch.float64 if X64 else torch.float32)
    oracle.save(theirs, tmp_path)
    return theirs, models.load(tmp_path, dtype="float64" if X64 else "float32")


def _everything(config, params, tokens):
    final, streams = models.hidden(config, params, tokens, every_layer=True)
    nll = models.token_nll(config, params, tokens, logit_chunk=16)
    return streams, final, models.logits(config, params, tokens), nll


@pytest.mark.parametrize("case", oracle.CASES)
def test_states_logits_and_losses_equal_the_oracle(tmp_path, case):
    theirs, ours = _pair(tmp_path, case)
    expected = oracle.read(theirs, TOKENS)
    run = jax.jit(_everything, static_argnums=0)
    streams, final, logits, nll = run(ours.config, ours.params, jnp.asarray(TOKENS))
    # The oracle itself takes norms and softmaxes in float32, whatever the weights' precision.
    tolerance = 1e-6 if X64 else 1e-5
    for layer in range(ours.config.layers):
        assert oracle.relative(streams[layer], expected.streams[layer]) < tolerance, layer
    assert oracle.relative(final, expected.final) < tolerance
    assert oracle.relative(logits, expected.logits) < tolerance
    assert np.max(np.abs(np.asarray(nll) - expected.nll)) < 10 * tolerance
