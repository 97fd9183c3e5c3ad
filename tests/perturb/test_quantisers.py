"""Pruning, scaling, uniform and Lloyd–Max quantisers, compositions: mpmath, identities, bad input."""

import math

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from signmag_jax.evidence import InvalidInput
from signmag_jax.perturb import (
    Compose,
    LloydMax,
    MagnitudeNoise,
    MagnitudeShift,
    OnWeights,
    Perturbation,
    Prune,
    Scale,
    SignFlip,
    SignQuantize,
    Ternarize,
    UniformQuantize,
    empirical_moments,
)


def cells(levels, edges):
    """(c, v) of an odd quantiser from its cells, by mpmath's quadrature of the definition."""
    c = v = mp.mpf(0)
    for level, low, high in zip(levels, edges, edges[1:], strict=False):
        c += 2 * mp.quad(lambda x, a=level: a * x * mp.npdf(x), [low, high])
        v += 2 * mp.quad(lambda x, a=level: a**2 * mp.npdf(x), [low, high])
    return float(c), float(v)


@pytest.mark.parametrize(("bits", "step"), [(2, 0.8), (3, 0.5), (4, 2.5), (5, 0.3)])
def test_given_step_against_the_definition(bits, step):
    most = 2 ** (bits - 1) - 1
    levels = [step * i for i in range(most + 1)]
    edges = [0.0] + [step * (i + 0.5) for i in range(most)] + [mp.inf]
    moments = UniformQuantize(bits, step).moments()
    np.testing.assert_allclose((moments.c, moments.v), cells(levels, edges), rtol=1e-13)


def test_fine_quantisers_keep_the_digits_of_their_error():
    for step in (0.05, 0.01):
        energy = UniformQuantize(12, step).moments().energy
        # Bennett: Δ²/12, with an error beyond all orders in Δ for Gaussians.
        assert energy == pytest.approx(step**2 / 12, rel=1e-11)
    with mp.workdps(40):
        t = mp.mpf("1e-4")
        lost = mp.erf(t / mp.sqrt(2)) - 2 * t * mp.npdf(t)
    assert -Prune(1e-4).moments().drift == pytest.approx(float(lost), rel=1e-12)


@pytest.mark.parametrize(("bits", "step"), [(8, 0.1), (6, 0.5), (5, 0.3), (4, 0.8), (3, 2.0), (12, 0.01)])
def test_what_is_left_along_the_weights_when_errors_cancel(bits, step):
    """E w(w' − w), down to 1e-92, cell by cell at 130 digits."""
    with mp.workdps(130):
        width, most, along = mp.mpf(step), 2 ** (bits - 1) - 1, mp.mpf(0)
        for level in range(most + 1):
            low = max(width * (level - mp.mpf(1) / 2), mp.mpf(0))
            high = width * (level + mp.mpf(1) / 2) if level < most else mp.inf
            tail = lambda t: mp.erfc(t / mp.sqrt(2)) / 2  # noqa: E731
            end = high * mp.npdf(high) if level < most else 0
            square = tail(low) - tail(high) + low * mp.npdf(low) - end
            along += 2 * (level * width * (mp.npdf(low) - mp.npdf(high)) - square)
    assert UniformQuantize(bits, step).moments().drift == pytest.approx(float(along), rel=2e-13)


@pytest.mark.slow
def test_what_is_left_along_the_weights_when_the_largest_is_drawn():
    entries, most = 1 << 20, 7
    with mp.workdps(40):
        along = total = mp.mpf(0)
        for s in map(mp.mpf, np.arange(-4.0, 38.0, 0.35)):
            tail = -mp.expm1(-mp.exp(-s) / entries) / 2
            largest = mp.sqrt(2) * mp.erfinv(1 - 2 * tail)
            weight, step, mine = mp.exp(-s - mp.exp(-s)), largest / most, mp.mpf(0)
            for level in range(most + 1):
                low, high = (
                    max(step * (level - mp.mpf(1) / 2), 0),
                    min(step * (level + mp.mpf(1) / 2), largest),
                )
                square = mp.ncdf(high) - mp.ncdf(low) + low * mp.npdf(low) - high * mp.npdf(high)
                mine += 2 * (level * step * (mp.npdf(low) - mp.npdf(high)) - square)
            along += weight * mine * (1 - mp.mpf(1) / entries) / (1 - 2 * tail)
            total += weight
    assert UniformQuantize(4).moments().drift == pytest.approx(float(along / total), rel=1e-12)


def test_absmax_against_the_law_of_the_largest():
    bits, entries = 3, 50

    def normal(x):
        return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)

    def conditional(a):
        step, inside = a / 3, math.erf(a / math.sqrt(2))
        edges = [0, step / 2, 3 * step / 2, 5 * step / 2, a]
        error = sum(
            2 * integrate.quad(lambda x, i=i: (i * step - x) ** 2 * normal(x), *edges[i : i + 2])[0]
            for i in range(4)
        )
        density = entries * inside ** (entries - 1) * 2 * normal(a)
        return density * error / inside * (entries - 1) / entries

    nodes, weights = np.polynomial.legendre.leggauss(40)
    expected = sum(w * 3.5 * conditional(4 + 3.5 * x) for x, w in zip(nodes, weights, strict=True))
    assert UniformQuantize(bits, entries=entries).moments().energy == pytest.approx(expected, rel=1e-8)
    few, many = (UniformQuantize(4, entries=n).moments().energy for n in (10**3, 10**6))
    assert many > 1.3 * few


# Max (1960), table I: mean squared errors and outermost levels of the best Gaussian quantisers.
@pytest.mark.parametrize(
    ("bits", "error", "outermost"), [(2, 0.1175, 1.510), (3, 0.03454, 2.152), (4, 0.009497, 2.733)]
)
def test_lloyd_max_against_its_table(bits, error, outermost):
    assert -LloydMax(bits).moments().drift == pytest.approx(error, rel=6e-4)
    w = jnp.linspace(-1, 1, 1001) * 5.0
    levels = np.unique(np.abs(LloydMax(bits).apply(jax.random.key(0), w)))
    assert len(levels) <= 2**bits
    sigma = float(jnp.sqrt(jnp.mean(w**2)))
    assert levels[-1] / sigma == pytest.approx(outermost, rel=1e-3) or levels[-1] / sigma < outermost


def test_lloyd_max_limits_and_stationarity():
    one = LloydMax(1).moments()
    np.testing.assert_allclose(one, SignQuantize().moments(), rtol=1e-14)
    bits = np.array([1, 2, 3, 8])
    errors = np.array([-LloydMax(int(each)).moments().drift for each in bits])
    assert np.all(np.diff(errors) < 0)
    # Panter and Dite: π√3/2 · 4^(−bits).
    scaled = errors * 4.0**bits
    gaps = math.pi * math.sqrt(3) / 2 - scaled
    assert np.all(gaps > 0)
    assert gaps[-1] < 0.03
    # No uniform quantiser with as many levels (it has one less) does better.
    steps = np.linspace(0.3, 2.0, 40)
    assert UniformQuantize(3, steps).moments().energy.min() > errors[2]


def test_named_ternary_quantisers():
    best, rule = Ternarize.optimal(), Ternarize.twn()
    thresholds = np.linspace(0.2, 1.2, 2001)
    assert best.moments().c >= Ternarize(thresholds).moments().c.max()
    assert best.moments().c == pytest.approx(0.809825960752099, rel=1e-14)
    assert rule.moments().c == pytest.approx(Ternarize(0.7 * math.sqrt(2 / math.pi)).moments().c, rel=1e-15)
    bitnet, uniform = Ternarize.bitnet(), UniformQuantize(2, "mean_abs")
    np.testing.assert_allclose(bitnet.moments(), uniform.moments(), rtol=1e-13)
    w = jax.random.normal(jax.random.key(3), (64, 64), dtype=jnp.float32)
    key = jax.random.key(0)
    np.testing.assert_allclose(bitnet.apply(key, w), uniform.apply(key, w), rtol=1e-6)


@settings(max_examples=30)
@given(st.floats(0, 1), st.floats(-3, 3, allow_subnormal=False), st.floats(0, 2))
def test_compositions_in_closed_form(rate, factor, size):
    twice = Compose(SignFlip(rate), SignFlip(rate)).moments()
    assert twice.c == pytest.approx((1 - 2 * rate) ** 2, abs=1e-15)
    np.testing.assert_allclose(twice, SignFlip(2 * rate * (1 - rate)).moments(), atol=2e-15)
    scaled = Compose(Scale(factor), Ternarize()).moments()
    other = Compose(Ternarize(), Scale(factor)).moments()
    np.testing.assert_allclose(scaled, other, atol=1e-15)
    assert scaled.c == pytest.approx(factor * Ternarize().moments().c, abs=1e-15)
    noisy = Compose(MagnitudeNoise(size), MagnitudeNoise(size)).moments()
    assert noisy.v == pytest.approx((1 + size**2) ** 2, rel=1e-14)
    assert Compose(SignFlip(rate), MagnitudeNoise(size)).quadrature_bound() == 0


def test_compositions_by_quadrature_lie_within_their_bound():
    first, second = Prune(0.5), MagnitudeShift(0.3)
    composed = Compose(first, second)
    with mp.workdps(20):
        tail = mp.erfc(0.5 / mp.sqrt(2)) / 2
        v = 2 * (0.5 * mp.npdf(0.5) + tail)
        move = 0.3 * mp.sqrt(v)
        # Zeros count as positive: they move by +move and cost move² without alignment.
        c = v + move * 2 * mp.npdf(0.5)
        square = v + 2 * move * 2 * mp.npdf(0.5) + move**2
    moments, bound = composed.moments(), composed.quadrature_bound()
    assert abs(moments.c - c) < bound
    assert abs(moments.v - square) < bound
    assert bound < 2e-3
    flipped = Compose(SignFlip(0.25), composed)
    assert flipped.moments().c == pytest.approx(moments.c / 2, rel=1e-12)
    assert flipped.quadrature_bound() == pytest.approx(bound)


class Jitter:
    """A perturbation of one's own that draws."""

    def moments(self):
        raise NotImplementedError

    def apply(self, key, w):
        return w + 0.3 * jnp.sqrt(jnp.mean(w**2)) * jax.random.normal(key, w.shape, dtype=w.dtype)


def test_a_random_middle_is_refused():
    with pytest.raises(InvalidInput, match="perturbations between others draw nothing"):
        Compose(Jitter(), SignQuantize()).moments()
    with pytest.raises(InvalidInput, match="draw nothing"):
        Compose(Compose(Prune(0.1), MagnitudeNoise(0.1)), SignQuantize()).moments()


def test_empirical_moments():
    rng = np.random.default_rng(5)
    normal = rng.normal(size=(512, 512))
    for one in (Ternarize(), Prune(0.3), MagnitudeShift(0.2), LloydMax(3)):
        found, expected = empirical_moments(one, normal), one.moments()
        np.testing.assert_allclose(found, expected, atol=6 / 512)
    uniform = rng.uniform(-1, 1, size=200_000)
    # For a uniform law cos²(w, sign w) = 3/4, not 2/π.
    assert empirical_moments(SignQuantize(), uniform).c == pytest.approx(0.75, abs=3e-3)
    np.testing.assert_array_equal(empirical_moments(SignFlip(0.1), uniform), SignFlip(0.1).moments())
    drawn = empirical_moments(Jitter(), uniform, key=jax.random.key(2))
    assert drawn.v == pytest.approx(1.09, abs=0.01)
    seen = OnWeights(SignQuantize(), uniform)
    assert isinstance(seen, Perturbation)
    assert seen.moments().noise == pytest.approx(seen.moments().v - seen.moments().c ** 2, abs=1e-14)
    with pytest.raises(InvalidInput, match="key for a perturbation that draws"):
        empirical_moments(Jitter(), uniform)
    with pytest.raises(InvalidInput, match="not all 0"):
        empirical_moments(SignQuantize(), np.zeros(3))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Prune(-0.1),
        lambda: Scale(float("nan")),
        lambda: UniformQuantize(1),
        lambda: UniformQuantize(17),
        lambda: UniformQuantize(4, "rms"),
        lambda: UniformQuantize(4, 0.0),
        lambda: UniformQuantize(4, entries=1),
        lambda: LloydMax(9),
        lambda: LloydMax(True),
        lambda: Ternarize("median"),
    ],
)
def test_bad_values_are_refused_with_invariant_and_remedy(make):
    with pytest.raises(InvalidInput, match=r"^`.*` is required, received .*: "):
        make()
