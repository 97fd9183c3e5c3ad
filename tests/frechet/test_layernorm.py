"""LayerNorm's derivatives against its definition, their kernel and invariances, and the precisions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from hypothesis import given, settings
from rows64 import WIDTH, epsilons, float64, gains, vectors  # noqa: F401 - the fixture works by being here

from signmag_jax.evidence import InvalidInput
from signmag_jax.frechet import layernorm, layernorm_adjoint, layernorm_hessian, layernorm_jvp, rmsnorm_jvp

directions = vectors.filter(lambda x: np.ptp(x) > 0.1)


def definition(y, gain, eps):
    away = y - jnp.mean(y)
    return gain * away / jnp.sqrt(jnp.mean(away**2) + eps)


@quick.jit
def by_jax(y, a, b, gain, eps):
    """Value, derivative along a, a pulled back, and the second derivative, from the definition."""

    def f(x):
        return definition(x, gain, eps)

    rising = lambda x: jax.jvp(f, (x,), (a,))[1]  # noqa: E731
    return f(y), rising(y), jax.vjp(f, y)[1](a)[0], jax.jvp(rising, (y,), (b,))[1]


@settings(max_examples=30)
@given(directions, vectors, vectors, gains, epsilons)
def test_against_the_definition(y, a, b, gain, eps):
    ours = (
        layernorm(y, gain, eps=eps),
        layernorm_jvp(y, a, gain, eps),
        layernorm_adjoint(y, a, gain, eps),
        layernorm_hessian(y, a, b, gain, eps),
    )
    scale = 1 + (1 + np.abs(a).max()) * (1 + np.abs(b).max()) * max(1, 1 / np.var(y))
    for found, expected in zip(ours, by_jax(y, a, b, gain, eps), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-11 * scale)


def test_kernel_and_invariances():
    y, a = np.random.default_rng(0).normal(size=(2, 4, WIDTH))
    np.testing.assert_allclose(layernorm(3 * y + 1e6, 1 + 0 * y[0]), layernorm(y), atol=1e-8)
    for direction in (np.ones_like(y), y):
        np.testing.assert_allclose(layernorm_jvp(y, direction), 0, atol=1e-14)
    assert np.abs(layernorm_jvp(y, y, eps=0.1)).max() > 0.01
    np.testing.assert_allclose(np.mean(layernorm_jvp(y, a), axis=1), 0, atol=1e-15)
    assert np.abs(np.mean(rmsnorm_jvp(y, a), axis=1)).min() > 0.01, "RMSNorm's derivative is another"
    bias = np.arange(WIDTH) / 8
    np.testing.assert_allclose(np.asarray(layernorm(y, bias=bias)) - bias, layernorm(y), atol=1e-15)


def test_half_precision_and_bad_input():
    y = np.random.default_rng(1).normal(1, 1, (3, 64))
    found = layernorm(jnp.asarray(y, jnp.float16))
    assert found.dtype == jnp.float16
    np.testing.assert_allclose(found, layernorm(y), atol=2e-3)
    for given_, message in (
        ({"y": 0.1 * np.ones((1, 3))}, "entries of y that differ where eps == 0"),
        ({"y": y, "bias": np.ones(3)}, r"bias.shape == \(features,\)"),
        ({"y": y, "gain": np.ones(3)}, r"gain.shape == \(features,\)"),
        ({"y": y, "eps": -1.0}, "eps"),
    ):
        with pytest.raises(InvalidInput, match=message):
            layernorm(**given_)
    np.testing.assert_array_equal(layernorm(0.1 * np.ones((1, 3)), eps=0.1), 0)
