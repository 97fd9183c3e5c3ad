"""RMSNorm's derivatives five ways, their kernel, image and invariances, and the precisions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from rows64 import (  # noqa: F401 - the fixture works by being here
    WIDTH,
    epsilons,
    float64,
    gains,
    numbers,
    vectors,
)

from signmag_jax.evidence import InvalidInput
from signmag_jax.frechet import (
    rmsnorm,
    rmsnorm_adjoint,
    rmsnorm_hessian,
    rmsnorm_jvp,
    rmsnorm_operator_norm,
    rmsnorm_remainder_bound,
    split,
)

directions = vectors.filter(lambda x: np.abs(x).max() > 0.1)


def reference(y, gain, eps):
    """RMSNorm as the definition reads, in NumPy's longest float."""
    y = np.asarray(y, dtype=np.longdouble)
    return np.asarray(gain, dtype=np.longdouble) * y / np.sqrt(np.mean(y**2, axis=-1, keepdims=True) + eps)


def central(f, x, direction, step):
    return (f(x + step * direction) - f(x - step * direction)) / (2 * np.longdouble(step))


@quick.jit
def first_derivatives(y, delta, gain, eps):
    """The derivative along δ by JAX, and the Jacobian forwards and backwards."""

    def f(x):
        return rmsnorm(x, gain, eps)

    return jax.jvp(f, (y,), (delta,))[1], jax.jacfwd(f)(y), jax.jacrev(f)(y)


@given(directions, vectors, gains, epsilons)
def test_derivative_five_ways(y, delta, gain, eps):
    closed = rmsnorm_jvp(y, delta, gain, eps)
    forward, jacobian, backward = first_derivatives(y, delta, gain, eps)
    difference = central(lambda x: reference(x, gain, eps), np.longdouble(y), delta, 1e-6)
    scale = 1 + np.abs(np.asarray(jacobian)).max()
    np.testing.assert_allclose(closed, forward, atol=1e-13 * scale)
    np.testing.assert_allclose(closed, jacobian @ delta, atol=1e-12 * scale)
    np.testing.assert_allclose(closed, backward @ delta, atol=1e-12 * scale)
    np.testing.assert_allclose(closed, difference.astype(np.float64), atol=1e-7 * scale**3)


@given(directions, vectors, gains, epsilons)
def test_without_its_rank_one_term_the_derivative_is_rejected(y, delta, gain, eps):
    difference = central(lambda x: reference(x, gain, eps), np.longdouble(y), delta, 1e-6).astype(np.float64)
    rho = np.sqrt(np.mean(y**2) + eps)
    diagonal_only = gain * delta / rho
    missing = gain * y * np.mean(y * delta) / rho**3
    error = np.abs(diagonal_only - difference).max()
    assert error == pytest.approx(np.abs(missing).max(), rel=1e-3, abs=1e-5 / rho**3)


@quick.jit
def twice_by_jax(y, a, b, gain, eps):
    """D²N(y)[a, b]."""
    return jax.jvp(lambda x: jax.jvp(lambda u: rmsnorm(u, gain, eps), (x,), (a,))[1], (y,), (b,))[1]


@given(directions, vectors, vectors, gains, epsilons)
def test_second_derivative(y, a, b, gain, eps):
    closed = np.asarray(rmsnorm_hessian(y, a, b, gain, eps))
    twice = twice_by_jax(y, a, b, gain, eps)
    difference = central(lambda x: np.asarray(rmsnorm_jvp(x, a, gain, eps)), y, b, 1e-5)
    scale = 1 + np.abs(a).max() * np.abs(b).max() / np.mean(y**2)
    np.testing.assert_allclose(closed, twice, atol=1e-12 * scale)
    np.testing.assert_allclose(closed, np.asarray(difference, dtype=np.float64), atol=1e-6 * scale**2)
    np.testing.assert_allclose(closed, rmsnorm_hessian(y, b, a, gain, eps), atol=1e-13 * scale)


@quick.jit
def pulled_back(y, u, gain, eps):
    """u through JAX's reverse mode."""
    return jax.vjp(lambda x: rmsnorm(x, gain, eps), y)[1](u)[0]


@given(directions, vectors, vectors, gains, epsilons)
def test_adjoint(y, delta, u, gain, eps):
    left = u @ np.asarray(rmsnorm_jvp(y, delta, gain, eps))
    right = np.asarray(rmsnorm_adjoint(y, u, gain, eps)) @ delta
    assert left == pytest.approx(right, rel=1e-11, abs=1e-10)
    pulled = pulled_back(y, u, gain, eps)
    np.testing.assert_allclose(rmsnorm_adjoint(y, u, gain, eps), pulled, atol=1e-11)


@pytest.mark.parametrize("eps", [0.0, 0.2])
def test_remainders_fall_with_the_power_of_their_order(eps):
    rng = np.random.default_rng(3)
    y, delta, gain = rng.normal(size=(3, 40))
    steps = 2.0 ** -np.arange(4, 11)
    moved = [np.asarray(rmsnorm(y + s * delta, gain, eps) - rmsnorm(y, gain, eps)) for s in steps]
    first = [m - s * np.asarray(rmsnorm_jvp(y, delta, gain, eps)) for m, s in zip(moved, steps, strict=True)]
    second = [
        f - s**2 / 2 * np.asarray(rmsnorm_hessian(y, delta, delta, gain, eps))
        for f, s in zip(first, steps, strict=True)
    ]
    for order, remainders in ((1, moved), (2, first), (3, second)):
        slope = np.polyfit(np.log(steps), np.log([np.linalg.norm(r) for r in remainders]), 1)[0]
        assert slope == pytest.approx(order, abs=0.1)


@given(directions, vectors)
def test_transverse_projection_when_eps_is_zero_and_gain_one(y, delta):
    image = np.asarray(rmsnorm_jvp(y, delta))
    parts = split(y, delta)
    size = np.linalg.norm(y)
    np.testing.assert_allclose(image, np.sqrt(WIDTH) / size * parts.transverse, atol=1e-12 / size)
    np.testing.assert_allclose(parts.radial + parts.transverse, delta, atol=1e-14)
    np.testing.assert_allclose(parts.radial * (y @ y), y * (y @ delta), atol=1e-12 * max(1, y @ y))
    assert abs(parts.transverse @ y) <= 1e-14 * max(1, size) * max(1, np.linalg.norm(delta))
    np.testing.assert_allclose(rmsnorm_jvp(y, y), np.zeros(WIDTH), atol=1e-14)  # kernel
    assert abs(image @ y) < 1e-12 * max(1, np.linalg.norm(delta))  # image


@given(directions, gains, st.floats(1e-3, 1.0))
def test_with_eps_the_kernel_is_trivial(y, gain, eps):
    rho = np.sqrt(np.mean(y**2) + eps)
    np.testing.assert_allclose(rmsnorm_jvp(y, y, gain, eps), gain * y * eps / rho**3, atol=1e-11)


@given(directions, gains, st.floats(-150, 150), st.booleans())
def test_scale_invariance_over_three_hundred_decades(y, gain, exponent, negative):
    factor = 10.0**exponent * (-1 if negative else 1)
    np.testing.assert_allclose(
        rmsnorm(factor * y, gain), np.sign(factor) * rmsnorm(y, gain), rtol=1e-12, atol=1e-14
    )


def test_no_square_leaves_the_range_of_float32():
    y = np.array([3.0, -4.0, 1.0], dtype=np.float32)
    for factor in (2e-38, 1e-25, 1e25, 1e37):
        np.testing.assert_allclose(
            rmsnorm((y * np.float32(factor)).astype(np.float32)), rmsnorm(y), rtol=1e-5
        )
    assert np.all(np.isfinite(jax.grad(lambda x: rmsnorm(x)[0])(jnp.asarray(y) * 1e-20)))


@quick.jit
def everything(y, a, b, gain):
    """The value, its derivatives and the split, in the precision of the input."""
    eps = jnp.asarray(1e-5, dtype=jnp.float64)
    return (
        rmsnorm(y, gain, eps),
        rmsnorm_jvp(y, a, gain, eps),
        rmsnorm_adjoint(y, a, gain),
        rmsnorm_hessian(y, a, b, gain),
        split(y, a).transverse,
    )


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_half_precisions_round_once(dtype):
    rng = np.random.default_rng(5)
    y, a, b = (jnp.asarray(x, dtype=dtype) for x in rng.normal(size=(3, 4, 256)))
    gain = jnp.asarray(rng.normal(size=256), dtype=dtype)
    wide = [x.astype(jnp.float64) for x in (y, a, b, gain)]
    for half, exact in zip(everything(y, a, b, gain), everything(*wide), strict=True):
        assert half.dtype == dtype
        spacing = float(jnp.finfo(dtype).eps) * (1 if dtype != jnp.float32 else 16)
        floor = 4 * float(jnp.finfo(jnp.float32).eps) * np.abs(exact).max()
        np.testing.assert_allclose(half.astype(jnp.float64), exact, rtol=spacing, atol=floor)


def test_without_x64_the_caller_gets_float32():
    rng = np.random.default_rng(6)
    y, a, b, gain = rng.normal(size=(4, 64))
    exact = [rmsnorm(y, gain), rmsnorm_jvp(y, a, gain), rmsnorm_hessian(y, a, b, gain)]
    with jax.enable_x64(False):
        single = [jnp.asarray(x) for x in (y, a, b, gain)]
        found = [
            rmsnorm(single[0], single[3]),
            rmsnorm_jvp(single[0], single[1], single[3]),
            rmsnorm_hessian(*single),
        ]
    for value, expected in zip(found, exact, strict=True):
        assert value.dtype == jnp.float32
        np.testing.assert_allclose(value, expected, atol=2e-6 * np.abs(expected).max())


def test_jit_vmap_and_rows_agree():
    rng = np.random.default_rng(11)
    y, delta = rng.normal(size=(2, 3, 5, WIDTH))
    at_once = rmsnorm_jvp(y, delta, None, 1e-3)
    mapped = jax.jit(jax.vmap(jax.vmap(lambda a, b: rmsnorm_jvp(a, b, None, 1e-3))))(y, delta)
    np.testing.assert_allclose(at_once, mapped, rtol=1e-13)
    np.testing.assert_allclose(at_once[1, 2], rmsnorm_jvp(y[1, 2], delta[1, 2], None, 1e-3), rtol=1e-13)


@settings(max_examples=30)
@given(directions, gains, epsilons)
def test_operator_norm_is_the_largest_singular_value(y, gain, eps):
    jacobian = np.asarray(first_derivatives(y, y, gain, eps)[1])
    largest = np.linalg.svd(jacobian, compute_uv=False)[0]
    assert float(rmsnorm_operator_norm(y, gain, eps)) == pytest.approx(
        largest, rel=1e-10, abs=3e-8 * np.abs(gain).max() / np.sqrt(np.mean(y**2) + eps) + 1e-150
    )
    plain = 1 / np.sqrt(np.mean(y**2) + eps)
    assert float(rmsnorm_operator_norm(y, None, eps)) == pytest.approx(plain, rel=1e-12)


@given(directions, vectors, gains, epsilons, st.floats(-4, 0))
def test_remainder_bound_holds(y, delta, gain, eps, exponent):
    delta = delta * 10.0**exponent
    remainder = rmsnorm(y + delta, gain, eps + 1e-12) - rmsnorm(y, gain, eps + 1e-12)
    remainder = remainder - rmsnorm_jvp(y, delta, gain, eps + 1e-12)
    bound = float(rmsnorm_remainder_bound(y, delta, gain, eps + 1e-12))
    assert np.linalg.norm(remainder) <= bound * (1 + 1e-9) + 1e-12


def test_remainder_bound_is_sharp():
    y = np.eye(WIDTH)[0]
    direction = np.sqrt(1 / 3) * y + np.sqrt(2 / 3) * np.eye(WIDTH)[1]
    delta = 1e-4 * direction
    remainder = np.asarray(rmsnorm(y + delta) - rmsnorm(y) - rmsnorm_jvp(y, delta))
    ratio = np.linalg.norm(remainder) / float(rmsnorm_remainder_bound(y, delta))
    assert 0.999 < ratio <= 1


def test_undefined_points_are_refused_and_traced_ones_are_nan():
    zero = np.zeros((2, WIDTH))
    for call in (lambda: rmsnorm(zero), lambda: rmsnorm_jvp(zero, zero), lambda: split(zero, zero)):
        with pytest.raises(InvalidInput, match="`y != 0 where eps == 0` is required"):
            call()
    with pytest.raises(InvalidInput, match="`0 <= eps` is required, received -1"):
        rmsnorm(zero + 1, None, -1.0)
    with pytest.raises((InvalidInput, TypeCheckError)):
        rmsnorm_jvp(zero + 1, np.ones(WIDTH))
    assert np.all(np.isnan(jax.jit(rmsnorm)(zero)))
    np.testing.assert_array_equal(rmsnorm(zero, None, 1e-6), zero)
    assert np.all(np.isfinite(jax.jacfwd(lambda x: rmsnorm(x, None, 1e-6))(zero[0])))
