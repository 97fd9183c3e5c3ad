"""Parity with `transformers`' PyTorch models, saved and read back through the real loader."""

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
import torch

from signmag_jax import models
from signmag_jax.models.names import layer_tensor, outer_tensor

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


@pytest.mark.parametrize("case", ["llama-biases", "llama-tied", "qwen3"])
def test_gradients_of_the_nll_equal_the_oracle(tmp_path, case):
    theirs, ours = _pair(tmp_path, case)
    ids = torch.from_numpy(TOKENS.astype(np.int64))
    theirs(input_ids=ids, labels=ids).loss.backward()
    expected = {name: value.grad.numpy() for name, value in theirs.named_parameters()}

    def loss(params):
        return jnp.mean(models.token_nll(ours.config, params, jnp.asarray(TOKENS), logit_chunk=16))

    found = jax.jit(jax.grad(loss))(ours.params)
    checked = 0
    for name in ours.config.outer_shapes():
        assert oracle.relative(found[name], expected[outer_tensor(name, "hub")]) < 1e-4, name
        checked += 1
    for name, stack in found["blocks"].items():
        for layer in range(ours.config.layers):
            label = layer_tensor(name, layer, "hub")
            # Softmax cannot see a constant added to all keys: that gradient is zero but for rounding.
            if name == "k_bias" and np.linalg.norm(expected[label]) < 1e-4:
                continue
            assert oracle.relative(stack[layer], expected[label]) < 1e-4, label
            checked += 1
    assert checked >= len(expected) - ours.config.layers
