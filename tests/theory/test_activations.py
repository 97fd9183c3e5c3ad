"""Activations: closed forms and quadrature against independent routes, identities, scales, users' own."""

import math
from dataclasses import replace
from itertools import pairwise

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
import quick
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from signmag_jax import theory
from signmag_jax.evidence import InvalidInput
from signmag_jax.perturb import Moments, SignFlip, Ternarize

FUNCTIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "relu_squared": lambda x: np.maximum(x, 0) ** 2,
    "identity": lambda x: x,
    "gelu": lambda x: x * special.ndtr(x),
    "silu": lambda x: x * special.expit(x),
    "tanh": np.tanh,
}
SMOOTH = ("gelu", "silu", "tanh")
# Their integrals on a finer grid take half a minute each.
DEAR = ("gelu", "silu")
rates = st.floats(-12, math.log10(0.5)).map(lambda x: 10.0**x)


class Given:
    """A perturbation that is its moments."""

    def __init__(self, moments):
        self._moments = moments

    def moments(self):
        return self._moments


def wedge_integral(function, c, noise, scale):
    """E f(z)f(z') by Gauss–Laguerre in the radius and Gauss–Legendre in the angle between the kinks."""
    radius, radial_weights = special.roots_genlaguerre(60, 0)
    theta = math.atan2(math.sqrt(noise), c)
    last = theta + math.pi / 2 if theta < math.pi / 2 else theta - 3 * math.pi / 2
    edges = np.sort([-math.pi, -math.pi / 2, theta - math.pi / 2, math.pi / 2, last, math.pi])
    nodes, weights = np.polynomial.legendre.leggauss(60)
    total = 0.0
    for low, high in pairwise(edges):
        phi = (low + high) / 2 + (high - low) / 2 * nodes
        r = np.sqrt(2 * radius)[:, None]
        x, y = scale * r * np.cos(phi), scale * r * np.sin(phi)
        product = function(x) * function(c * x + math.sqrt(noise) * y)
        total += np.einsum("i,j,ij->", radial_weights, weights, product) * (high - low) / 2 / (2 * math.pi)
    return total


@settings(max_examples=25)
@given(
    st.sampled_from(["relu", "leaky_relu", "relu_squared", "identity"]),
    st.floats(0.1, 3),
    st.floats(-0.999, 0.999),
    st.floats(0.2, 3),
)
def test_closed_forms_against_polar_quadrature(name, v, cosine, scale):
    c, noise = cosine * math.sqrt(v), v * (1 - cosine) * (1 + cosine)
    found = theory.block(Given(Moments(c, v, c - 1, noise)), name, scale)
    overlap = wedge_integral(FUNCTIONS[name], c, noise, scale)
    signal = wedge_integral(FUNCTIONS[name], 1.0, 0.0, scale)
    size = signal * (1 + v) ** 2
    assert found.signal == pytest.approx(signal, rel=1e-12)
    assert found.alignment == pytest.approx(overlap - signal, abs=1e-12 * size)
    power = v ** (2 if name == "relu_squared" else 1) * signal
    assert found.energy == pytest.approx(power + signal - 2 * overlap, abs=1e-12 * size)
    assert found.transverse == pytest.approx(power - overlap**2 / signal, abs=1e-12 * size)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("scale", [0.05, 1.0, 4.0])
def test_block_against_samples(name, scale):
    rng = np.random.default_rng(12)
    z = rng.normal(size=(2, 400_000))
    moments = theory.matched_shift(0.04).moments()
    h = FUNCTIONS[name](scale * z[0])
    delta = FUNCTIONS[name](scale * (moments.c * z[0] + math.sqrt(moments.noise) * z[1])) - h
    found = theory.block(theory.matched_shift(0.04), name, scale)
    for samples, value in (
        (delta**2, found.energy),
        (h * delta, found.alignment),
        (h**2, found.signal),
        (h, found.mean),
        (delta, found.mean_shift),
    ):
        error = samples.std() / math.sqrt(samples.size)
        assert abs(samples.mean() - value) < 4.5 * error + 1e-15
    assert found.energy == pytest.approx(found.radial + found.transverse, rel=1e-10)


@pytest.mark.parametrize("rate", [1e-12, 1e-7, 1e-3, 0.5])
def test_squared_relu_keeps_twelve_digits(rate):
    with mp.workdps(80):
        p = mp.mpf(rate)
        c, v = 1 - 2 * p, mp.mpf(1)
        theta = mp.acos(c)
        overlap = (3 * mp.sin(theta) * c + (mp.pi - theta) * (1 + 2 * c**2)) / (2 * mp.pi)
        energy, transverse = 3 * v - 2 * overlap, mp.mpf(3) / 2 - overlap**2 * 2 / 3
    found = theory.block(SignFlip(rate), "relu_squared")
    assert found.energy == pytest.approx(float(energy), rel=1e-12)
    assert found.transverse == pytest.approx(float(transverse), rel=1e-12)


def hermite_energy(name, rate, terms=120):
    """Σ a_k²·2(1 − c^k): the energy of flips from the Hermite coefficients, by Gauss–Hermite in 1-D."""
    x, w = special.roots_hermitenorm(180)
    w = w / math.sqrt(2 * math.pi)
    previous, current, total = np.ones_like(x), x, 0.0
    values = FUNCTIONS[name](x)
    for k in range(1, terms):
        coefficient = np.sum(w * values * current)
        total += coefficient**2 * -2 * math.expm1(k * math.log1p(-2 * rate))
        previous, current = current, (x * current - math.sqrt(k) * previous) / math.sqrt(k + 1)
    return total


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("rate", [1e-12, 1e-6, 0.01, 0.3])
def test_quadrature_keeps_ten_digits_against_hermite_series(name, rate):
    assert theory.block(SignFlip(rate), name).energy == pytest.approx(hermite_energy(name, rate), rel=1e-10)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in DEAR else ()) for name in SMOOTH]
)
def test_quadrature_does_not_depend_on_its_step(name):
    activation = theory.ACTIVATIONS[name]
    finer = theory.Activation(
        f"finer {name}", replace(activation.pair, analytic=activation.pair.analytic / 2.6)
    )
    for scale in (0.7, 3.0):
        for p in (1e-9, 0.1):
            coarse, fine = (theory.block(theory.matched_shift(p), a, scale) for a in (activation, finer))
            np.testing.assert_allclose(coarse, fine, rtol=1e-10, atol=1e-15)


@settings(max_examples=30)
@given(rates)
def test_identities_between_activations(rate):
    perturbation = theory.matched_shift(rate)
    relu = theory.block(perturbation, "relu")
    plain = theory.block(perturbation, "identity")
    leaky = theory.block(perturbation, theory.leaky_relu(0.3))
    absolute = theory.block(perturbation, theory.leaky_relu(-1.0))
    # z = relu(z) − relu(−z), |z| = relu(z) + relu(−z), and leaky is their mixture.
    assert plain.energy + absolute.energy == pytest.approx(4 * relu.energy, rel=1e-13)
    mixture = 0.65**2 * plain.energy + 0.35**2 * absolute.energy
    assert leaky.energy == pytest.approx(mixture, rel=1e-12)
    assert theory.block(perturbation, theory.leaky_relu(0.0)) == relu


@settings(max_examples=30)
@given(rates, st.floats(1e-3, 1e3))
def test_homogeneous_activations_ignore_the_scale(rate, scale):
    for name in ("relu", "leaky_relu", "relu_squared", "identity"):
        one, other = theory.block(SignFlip(rate), name), theory.block(SignFlip(rate), name, scale)
        assert other.radial_fraction == pytest.approx(one.radial_fraction, rel=1e-12)
        assert other.sine_squared == pytest.approx(one.sine_squared, rel=1e-12)


def test_smooth_activations_are_linear_at_small_scale():
    scales = np.array([0.1, 0.05, 0.025])
    linear = theory.block(SignFlip(0.05), "identity").radial_fraction
    for name in SMOOTH:
        away = [abs(theory.radial_fraction(SignFlip(0.05), name, float(s)) - linear) for s in scales]
        order = 4 if name == "tanh" else 2  # an odd function is curved one order later
        assert np.polyfit(np.log(scales), np.log(away), 1)[0] == pytest.approx(order, abs=0.1)


def test_depth_of_other_activations():
    silu = theory.depth_ratios(0.01, 6, activation="silu")
    np.testing.assert_allclose(silu, [3.2015, 3.1403, 3.0736, 3.0020, 2.9261, 2.8468], atol=5e-5)
    linear = theory.depth_ratios(0.01, 1, activation="identity")[0]
    moments = theory.matched_shift(0.01).moments()
    assert linear == pytest.approx((1 - 0.98**2) / (1 - moments.c**2 / moments.v), rel=1e-12)
    assert linear == pytest.approx(3.703, abs=5e-4)
    assert theory.depth_ratios(0.01, 1, activation="silu", scale=0.022)[0] == pytest.approx(3.699, abs=1e-3)


@pytest.mark.parametrize("name", ["leaky_relu", "relu_squared"])
@pytest.mark.parametrize("end", [0.0, 1.0])
def test_gradients_exist_at_both_ends(name, end):
    energy = lambda p: theory.block(SignFlip(p), name).energy  # noqa: E731
    slope = float(quick.jit(jax.grad(energy))(end))
    inward = 1e-6 if end == 0 else -1e-6
    secant = (
        theory.block(SignFlip(end + inward), name).energy - theory.block(SignFlip(end), name).energy
    ) / inward
    assert slope == pytest.approx(secant, rel=2e-2, abs=2e-2)


def hermite_slope(name, terms=100):
    """d energy/d rate of flips at rate 0: Σ a_k²·4k."""
    x, w = special.roots_hermitenorm(180)
    w = w / math.sqrt(2 * math.pi)
    previous, current, total = np.ones_like(x), x, 0.0
    for k in range(1, terms):
        total += 4 * k * np.sum(w * FUNCTIONS[name](x) * current) ** 2
        previous, current = current, (x * current - math.sqrt(k) * previous) / math.sqrt(k + 1)
    return total


@pytest.mark.parametrize("name", SMOOTH)
def test_gradient_of_quadrature(name):
    with jax.enable_x64(True):
        energy = lambda p: theory.block(SignFlip(p), name).energy  # noqa: E731
        slope = quick.jit(jax.grad(energy))
        secant = (energy(0.1 + 1e-6) - energy(0.1 - 1e-6)) / 2e-6
        assert float(slope(0.1)) == pytest.approx(secant, rel=1e-8)
        # No error at all: √noise has no derivative there, the energy does.
        assert float(slope(0.0)) == pytest.approx(hermite_slope(name), rel=1e-10)


def test_every_derivative_of_quadrature():
    point = (np.array(0.2), np.array(0.3), np.array(0.8))

    def pair(drift, noise, scale):
        moments = Moments(1 + drift, (1 + drift) ** 2 + noise, drift, noise)
        return jnp.stack(theory.block(Given(moments), "silu", scale))

    with jax.enable_x64(True):
        derivatives = quick.jit(jax.jacfwd(pair, argnums=(0, 1, 2)))(*point)
        for index, derivative in enumerate(derivatives):
            step = np.zeros(3)
            step[index] = 1e-5
            ahead, behind = (np.asarray(pair(*(point + sign * step))) for sign in (1, -1))
            np.testing.assert_allclose(derivative, (ahead - behind) / 2e-5, rtol=1e-7, atol=1e-9)


def test_an_activation_and_a_perturbation_of_ones_own():
    softplus = theory.smooth("softplus", jax.nn.softplus, analytic=math.pi)
    found = theory.block(Given(Ternarize(0.5, 1.2).moments()), softplus)
    moments = Ternarize(0.5, 1.2).moments()
    z = np.random.default_rng(2).normal(size=(2, 1_000_000))
    h, other = (np.logaddexp(0, x) for x in (z[0], moments.c * z[0] + math.sqrt(moments.noise) * z[1]))
    samples = (other - h) ** 2
    assert abs(samples.mean() - found.energy) < 4 * samples.std() / 1000
    traced = quick.jit(jax.vmap(lambda p: theory.block(SignFlip(p), softplus).energy))(jnp.array([0.1, 0.2]))
    expected = theory.block(SignFlip(np.array([0.1, 0.2])), softplus).energy
    np.testing.assert_allclose(traced, expected, rtol=1e-9 if jax.config.jax_enable_x64 else 1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.block(SignFlip(0.1), "gelu", 0.0), "0 < scale"),
        (lambda: theory.leaky_relu(float("nan")), "slope is finite"),
        (lambda: theory.smooth("kinked", jnp.abs, analytic=0.0), "analytic > 0"),
        (lambda: theory.depth_ratios(0.1, 2, activation="swish"), "activation in"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InvalidInput, match=message):
        call()
