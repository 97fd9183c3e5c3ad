"""RMSNorm at y = 0, its derivatives in eps and gain, and lists, integers and wrong shapes as input."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from signmag_jax import frechet
from signmag_jax.evidence import InvalidInput
from signmag_jax.frechet import rmsnorm, rmsnorm_jvp, split

DELTA = np.array([1.0, -2.0, 0.5, 3.0])
OTHER = np.array([0.3, 1.0, -1.0, 2.0])
GAIN = np.array([1.0, 2.0, -0.5, 0.3])
FUNCTIONS = {
    "rmsnorm": lambda y, gain, eps: rmsnorm(y, gain, eps),
    "jvp": lambda y, gain, eps: rmsnorm_jvp(y, DELTA, gain, eps),
    "adjoint": lambda y, gain, eps: frechet.rmsnorm_adjoint(y, DELTA, gain, eps),
    "hessian": lambda y, gain, eps: frechet.rmsnorm_hessian(y, DELTA, OTHER, gain, eps),
    "operator norm": lambda y, gain, eps: frechet.rmsnorm_operator_norm(y, gain, eps),
    "remainder bound": lambda y, gain, eps: frechet.rmsnorm_remainder_bound(y, DELTA, gain, eps),
    "split": lambda y, gain, eps: jnp.stack(split(y, DELTA)),
}
POINTS = {"zero": np.zeros(4), "generic": np.array([1.0, 0.5, -2.0, 0.3])}


@pytest.fixture(autouse=True)
def float64():
    """The tolerances here are those of float64."""
    with jax.enable_x64(True):
        yield


# A row of zeros has no direction to split along.
@pytest.mark.parametrize(
    ("name", "point"), sorted({*itertools.product(FUNCTIONS, POINTS)} - {("split", "zero")})
)
def test_gradients_in_every_argument(name, point):
    """Central differences; at y = 0 with eps > 0 too, where the scale of y is that of eps."""
    arguments = (POINTS[point], GAIN, np.array(0.25))
    derivatives = [derivative(FUNCTIONS[name], argnums=(0, 1, 2)) for derivative in (jax.jacfwd, jax.jacrev)]
    forward, backward = quick.jit(lambda *given: [of(*given) for of in derivatives])(*arguments)
    for index, (one, other) in enumerate(zip(forward, backward, strict=True)):
        step = 1e-6
        moved = np.eye(max(1, np.size(arguments[index]))).reshape(-1, *np.shape(arguments[index])) * step

        def at(change, index=index):
            shifted = list(arguments)
            shifted[index] = arguments[index] + change
            return np.asarray(FUNCTIONS[name](*shifted))

        secants = np.stack([(at(change) - at(-change)) / (2 * step) for change in moved], axis=-1)
        secants = secants.reshape(np.shape(one))
        # The remainder bound at y = 0 has a kink in its second derivative, which the step sees.
        tolerance = 1e-4 if (name, point) == ("remainder bound", "zero") else 2e-7
        np.testing.assert_allclose(one, secants, atol=tolerance)
        np.testing.assert_allclose(other, one, atol=1e-12)


@pytest.mark.parametrize("eps", [1e-30, 1e-6, 1.0])
def test_at_zero_the_derivative_is_the_gain_over_root_eps(eps):
    expected = np.diag(GAIN) / np.sqrt(eps)
    both = quick.jit(lambda y: [of(lambda y: rmsnorm(y, GAIN, eps))(y) for of in (jax.jacfwd, jax.jacrev)])
    for jacobian in both(jnp.zeros(4)):
        np.testing.assert_allclose(jacobian, expected, rtol=1e-14)
    np.testing.assert_allclose(rmsnorm_jvp(np.zeros(4), DELTA, GAIN, eps), expected @ DELTA, rtol=1e-14)
    single = jax.grad(lambda y: rmsnorm(y, None, np.float32(1e-30))[0])(jnp.zeros(4, dtype=jnp.float32))
    np.testing.assert_allclose(single, [1e15, 0, 0, 0], rtol=1e-5)


def test_a_direction_of_zeros_has_a_flat_bound():
    for eps in (0.0, 0.25):
        bound = lambda d, eps=eps: frechet.rmsnorm_remainder_bound(POINTS["generic"], d, GAIN, eps)  # noqa: E731
        assert np.all(np.asarray(jax.grad(bound)(jnp.zeros(4))) == 0)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_jit_and_vmap_agree_with_rows_and_traced_undefined_points_are_nan(name):
    rows = np.stack([POINTS["generic"], DELTA, OTHER])
    mapped = quick.jit(jax.vmap(lambda row, eps: FUNCTIONS[name](row, GAIN, eps), in_axes=(0, None)))
    for eps in (0.0, 0.25):
        one_by_one = np.stack([FUNCTIONS[name](row, GAIN, eps) for row in rows])
        np.testing.assert_allclose(mapped(rows, eps), one_by_one, rtol=1e-13, atol=1e-14)
    undefined = quick.jit(lambda y: FUNCTIONS[name](y, GAIN, 0.0))(np.zeros(4))
    # The bound's segment leaves y = 0 at once, where it is infinite.
    assert not np.any(np.isfinite(np.asarray(undefined)))
    if name != "split":
        assert np.all(np.isnan(np.asarray(mapped(rows, -9.0))))


def test_lists_and_integers_take_the_default_precision():
    expected = rmsnorm(jnp.array([1.0, 2.0, 3.0]), jnp.array([1.0, 0.0, 2.0]))
    for y, gain in (
        ([1.0, 2.0, 3.0], [1.0, 0.0, 2.0]),
        ([1, 2, 3], [1, 0, 2]),
        (np.array([1, 2, 3]), np.array([1, 0, 2])),
        (jnp.array([1, 2, 3]), jnp.array([1, 0, 2])),
    ):
        found = rmsnorm(y, gain)
        assert found.dtype == jnp.result_type(float)
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(
        rmsnorm_jvp([1, 2], [3, 4]), rmsnorm_jvp(np.ones(2) * [1, 2], np.ones(2) * [3, 4])
    )
    np.testing.assert_allclose(split([[3, 4]], [[3, 4]]).radial, [[3.0, 4.0]], rtol=1e-15)
    inside = jax.jit(lambda a, b: rmsnorm([a, b]))(3.0, 4.0)
    np.testing.assert_allclose(inside, np.array([3, 4]) / np.sqrt(12.5), rtol=1e-15)


@pytest.mark.parametrize(
    ("call", "invariant"),
    [
        (lambda: rmsnorm(np.ones(3), np.ones(4)), r"gain.shape == \(features,\)"),
        (lambda: rmsnorm(np.ones((2, 3)), np.ones((2, 3))), r"gain.shape == \(features,\)"),
        (lambda: rmsnorm_jvp(np.ones(3), np.ones(3), [1, 2]), r"gain.shape == \(features,\)"),
        (lambda: rmsnorm([]), "y has rows of at least 1 feature"),
        (lambda: rmsnorm(["a", "b"]), "y is an array of real numbers"),
        (lambda: rmsnorm([[1, 2], [3]]), "y is an array of real numbers"),
        (lambda: rmsnorm(np.ones(3), ["x", "y", "z"]), "gain is an array of real numbers"),
        (lambda: split([1, 2, 3], [1, 2]), "direction.shape == y.shape"),
        (lambda: rmsnorm_jvp([0, 0], [1, 2]), "y != 0 where eps == 0"),
        (lambda: rmsnorm([1, 2], None, np.ones(2)), "eps is one number"),
        (lambda: rmsnorm([1, 2], None, -1), "0 <= eps"),
    ],
)
def test_what_is_no_input_is_refused(call, invariant):
    with pytest.raises(InvalidInput, match=f"^`{invariant}` is required, received .*: "):
        call()
