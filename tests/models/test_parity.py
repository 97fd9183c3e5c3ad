"""Parity with `transformers`' PyTorch models, saved and read back through the real loader."""

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
import quick
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
    def loss(params):
        nll = models.token_nll(config, params, tokens, logit_chunk=16)
        return jnp.mean(nll), nll

    (_, nll), gradient = jax.value_and_grad(loss, has_aux=True)(params)
    final, streams = models.hidden(config, params, tokens, every_layer=True)
    return streams, final, models.logits(config, params, tokens), nll, gradient


@pytest.mark.parametrize("case", oracle.CASES)
def test_states_logits_losses_and_gradients_equal_the_oracle(tmp_path, case):
    _compare(tmp_path, case, quick.jit)


@pytest.mark.parametrize("case", ["qwen2-sliding"])
def test_so_does_the_program_that_the_compiler_optimises(tmp_path, case):
    _compare(tmp_path, case, jax.jit)


def _compare(tmp_path, case, jit):
    theirs, ours = _pair(tmp_path, case)
    expected = oracle.read(theirs, TOKENS)
    run = jit(_everything, static_argnums=0)
    found = jax.device_get(run(ours.config, ours.params, jnp.asarray(TOKENS)))
    streams, final, logits, nll, gradient = found
    # The oracle itself takes norms and softmaxes in float32, whatever the weights' precision.
    tolerance = 1e-6 if X64 else 1e-5
    for layer in range(ours.config.layers):
        assert oracle.relative(streams[layer], expected.streams[layer]) < tolerance, layer
    assert oracle.relative(final, expected.final) < tolerance
    assert oracle.relative(logits, expected.logits) < tolerance
    assert np.max(np.abs(nll - expected.nll)) < 10 * tolerance
    _compare_gradients(ours.config, gradient, oracle.gradients(theirs, TOKENS), 10 * tolerance)


def _compare_gradients(config, found, expected, tolerance):
    checked = set()
    largest = max(np.linalg.norm(value) for value in expected.values())
    for name in config.outer_shapes():
        label = outer_tensor(name, "hub")
        assert oracle.relative(found[name], expected[label]) < tolerance, name
        checked.add(label)
    for name, stack in found["blocks"].items():
        for layer in range(config.layers):
            label = layer_tensor(name, layer, "hub")
            # Softmax cannot see a constant added to all keys: that gradient is zero but for rounding,
            # unless a norm follows or the rotation turns the constant.
            error = np.linalg.norm(stack[layer] - expected[label])
            assert error < tolerance * max(np.linalg.norm(expected[label]), 1e-2 * largest), label
            checked.add(label)
    assert checked == set(expected)


def test_the_comparison_sees_a_gradient_that_is_off_in_one_matrix(tmp_path):
    theirs, ours = _pair(tmp_path, "llama-gqa")
    expected = oracle.gradients(theirs, TOKENS)
    right = {name: expected[outer_tensor(name, "hub")] for name in ours.config.outer_shapes()}
    stacks = {
        name: np.stack([expected[layer_tensor(name, layer, "hub")] for layer in range(ours.config.layers)])
        for name in ours.config.shapes()
    }
    _compare_gradients(ours.config, right | {"blocks": stacks}, expected, 1e-12)
    stacks["k_proj"][1] *= 1.001
    with pytest.raises(AssertionError, match=r"layers\.1\.self_attn\.k_proj"):
        _compare_gradients(ours.config, right | {"blocks": stacks}, expected, 1e-4)
