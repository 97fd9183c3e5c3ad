"""Pools of columns: brute force on sampled rows, enumeration of masks, textbook kernels, limits, refusals."""

import itertools
import math

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
import quick
from hypothesis import given, settings
from hypothesis import strategies as st

from signmag_jax import theory
from signmag_jax.evidence import InvalidInput
from signmag_jax.perturb import (
    Compose,
    MagnitudeNoise,
    MagnitudeShift,
    OnWeights,
    Prune,
    Scale,
    SignFlip,
    SignQuantize,
    Ternarize,
)

ALPHA = np.array([0.5, 0.1, 0.2, 0.2, 0.05, 0.3])
NORMS = np.array([1.0, 4.0, 2.0, 1.0, 0.0, 0.5])
POOL = np.array([True, False, True, False, False, False])

PERTURBATIONS = [
    SignFlip(0.1),
    SignFlip(1e-12),
    MagnitudeShift(0.7),
    MagnitudeShift(-1e-9),
    MagnitudeNoise(1.3),
    SignQuantize(),
    Ternarize(),
    Prune(0.4),
    Scale(1.5),
    Compose(SignFlip(0.05), Ternarize()),
    OnWeights(Ternarize(), np.random.default_rng(3).laplace(size=4000)),
]


def textbook(alpha, norms, pool, moments, match, measure):
    """The definition, term by term, at 50 digits: moments of the pair, degree-1 kernel, and the match."""
    with mp.workdps(50):
        drift, noise = mp.mpf(float(moments.drift)), mp.mpf(float(moments.noise))
        weights = [mp.mpf(float(a)) * mp.mpf(float(n)) for a, n in zip(alpha, norms, strict=True)]
        sides = [[w for w, inside in zip(weights, pool, strict=True) if inside == side] for side in (1, 0)]
        frobenius = [
            sum(mp.mpf(float(n)) for n, inside in zip(norms, pool, strict=True) if inside == side)
            for side in (1, 0)
        ]
        counts, damages = [len(side) for side in sides], []
        for which, side in enumerate(sides):
            thinned = mp.mpf(min(counts)) / counts[which] if match == "count" else mp.mpf(1)
            factor = mp.sqrt(frobenius[1] / frobenius[0]) if (match, which) == ("energy", 0) else mp.mpf(1)
            share = sum(side) / sum(weights)
            # E z z' and E z'² of the sum over columns, of which a part is perturbed.
            c = 1 + share * thinned * factor * drift
            v = 1 + share * thinned * (2 * factor * drift + factor**2 * (drift**2 + noise))
            theta = mp.acos(c / mp.sqrt(v))
            kappa = mp.sqrt(v) / (2 * mp.pi) * (mp.sin(theta) + (mp.pi - theta) * mp.cos(theta))
            damage = v / 2 - 2 * kappa**2 if measure == "transverse" else (v + 1) / 2 - 2 * kappa
            damages.append(damage / (counts[which] if match == "rate" else 1))
        return float(damages[0] / damages[1])


@pytest.mark.parametrize("measure", ["energy", "transverse"])
@pytest.mark.parametrize("match", ["rate", "count", "energy"])
@pytest.mark.parametrize("perturbation", PERTURBATIONS, ids=lambda p: type(p).__name__)
def test_against_the_textbook_kernel(perturbation, match, measure):
    found = theory.pool_leverage(ALPHA, NORMS, POOL, perturbation, match, measure)
    expected = textbook(ALPHA, NORMS, POOL, perturbation.moments(), match, measure)
    assert found == pytest.approx(expected, rel=1e-12)


@settings(max_examples=30)
@given(
    st.floats(-12, math.log10(0.5)).map(lambda x: 10.0**x),
    st.lists(st.floats(-6, 2).map(lambda x: 10.0**x), min_size=5, max_size=5),
    st.sampled_from(["rate", "count", "energy"]),
    st.sampled_from(["energy", "transverse"]),
)
def test_any_profile_at_any_rate(rate, alpha, match, measure):
    pool = np.array([True, False, False, True, False])
    for perturbation in (SignFlip(rate), MagnitudeShift(2 * math.sqrt(rate)), MagnitudeNoise(rate)):
        found = theory.pool_leverage(alpha, 1.0, pool, perturbation, match, measure)
        expected = textbook(alpha, np.ones(5), pool, perturbation.moments(), match, measure)
        assert found == pytest.approx(expected, rel=1e-11)


def ratio_of_means(above, below):
    """Ratio of the means of paired samples and its standard error."""
    ratio = above.mean() / below.mean()
    return ratio, (above - ratio * below).std(ddof=1) / below.mean() / math.sqrt(above.size)


def assert_tells_apart(found, error, right, wrong):
    """The sample resolves the difference, and takes the side of the right value."""
    assert abs(right - wrong) > 8 * error, "too few rows to tell the two laws apart"
    assert abs(found - right) < 3.5 * error


def sampled(rng, rows, x, pool, change, thin=(1.0, 1.0), factors=(1.0, 1.0)):
    """Change of a row's output when one side or the other is perturbed, and its output: no kernel."""
    w = rng.standard_normal((rows, x.size))
    z = w @ x
    changes = []
    for mask, part, factor in zip((pool, ~pool), thin, factors, strict=True):
        error = factor * (change(rng, w[:, mask]) - w[:, mask])
        if part < 1:
            error = error * (rng.random(error.shape) < part)
        delta = np.maximum(z + error @ x[mask], 0) - np.maximum(z, 0)
        changes.append(delta)
    return *changes, np.maximum(z, 0)


def noisy(rng, w):
    return w + np.sign(w) * rng.standard_normal(w.shape)


@pytest.mark.parametrize("match", ["rate", "energy"])
def test_brute_force_noise_in_any_profile(match):
    """Noise leaves (z, z') Gaussian, whatever the profile: the law is exact with 12 columns."""
    rng = np.random.default_rng(11)
    x, pool = rng.uniform(0.3, 1.0, size=12), np.arange(12) < 3
    x[pool] *= 20
    x /= np.linalg.norm(x)
    factors = (math.sqrt(9 / 3), 1.0) if match == "energy" else (1.0, 1.0)
    inside, outside, _ = sampled(rng, 400_000, x, pool, noisy, factors=factors)
    counts = (9 / 3) if match == "rate" else 1.0
    found, error = ratio_of_means(counts * inside**2, outside**2)
    exact = theory.pool_leverage(x**2, 1.0, pool, MagnitudeNoise(1.0), match)
    small = theory.pool_leverage(x**2, 1.0, pool, None, match)
    assert_tells_apart(found, error, exact, small)


@pytest.mark.parametrize(
    ("perturbation", "change", "match", "measure"),
    [
        (MagnitudeShift(-1.0), lambda rng, w: w - np.sign(w), "rate", "energy"),
        (SignQuantize(), lambda rng, w: math.sqrt(2 / math.pi) * np.sign(w), "rate", "transverse"),
        (
            Ternarize(0.8, 3.0),
            lambda rng, w: 3 * np.sign(w) * (np.abs(w) > 0.8),
            "energy",
            "transverse",
        ),
        (SignFlip(0.4), lambda rng, w: np.where(rng.random(w.shape) < 0.4, -w, w), "count", "energy"),
    ],
    ids=["shift", "sign", "ternary", "flip"],
)
def test_brute_force_in_delocalised_pools(perturbation, change, match, measure):
    rng, n = np.random.default_rng(5), 256
    pool = np.arange(n) < 64
    x = np.where(pool, 8.0, 1.0)
    x /= np.linalg.norm(x)
    thin = (1.0, 64 / 192) if match == "count" else (1.0, 1.0)
    factors = (math.sqrt(192 / 64), 1.0) if match == "energy" else (1.0, 1.0)
    # In parts: 20,000 rows of 256 weights are 40 MB.
    parts = [sampled(rng, 20_000, x, pool, change, thin, factors) for _ in range(4)]
    inside, outside, h = (np.concatenate(side) for side in zip(*parts, strict=True))
    if measure == "transverse":
        inside, outside = (d - np.mean(h * d) / np.mean(h**2) * h for d in (inside, outside))
    found, error = ratio_of_means((3 if match == "rate" else 1) * inside**2, outside**2)
    exact = theory.pool_leverage(x**2, np.ones(n), pool, perturbation, match, measure)
    small = theory.pool_leverage(x**2, 1.0, pool, None, match)
    assert_tells_apart(found, error, exact, small)


def test_brute_force_flips_in_a_localised_pool():
    """One column carries a third of the variance: only the average over the masks is right."""
    rng, rate = np.random.default_rng(8), 0.2
    x = np.array([0.6, 0.3, 0.1, 0.4, 0.3, 0.3, 0.2, 0.35])
    pool = np.arange(8) < 2
    flip = lambda rng, w: np.where(rng.random(w.shape) < rate, -w, w)  # noqa: E731
    inside, outside, _ = sampled(rng, 800_000, x, pool, flip)
    found, error = ratio_of_means(3 * inside**2, outside**2)
    exact = theory.profile_pool_leverage(rate, x, pool)
    pair = theory.pool_leverage(x**2, 1.0, pool, SignFlip(rate))
    small = theory.pool_leverage(x**2, 1.0, pool)
    for wrong in (pair, small):
        assert_tells_apart(found, error, exact, wrong)


def enumerated(rate, x, pool):
    """The same law over all masks of either side."""
    with mp.workdps(40):
        squares = [mp.mpf(float(v)) ** 2 for v in x]
        means = []
        for side in (True, False):
            mine = [s / sum(squares) for s, inside in zip(squares, pool, strict=True) if inside == side]
            mean, p = mp.mpf(0), mp.mpf(rate)
            for mask in itertools.product((0, 1), repeat=len(mine)):
                q = sum(m * s for m, s in zip(mask, mine, strict=True))
                rho = 1 - 2 * q
                lost = 1 - (2 * mp.sqrt(q * (1 - q)) + (mp.pi - mp.acos(rho)) * rho) / mp.pi
                mean += p ** sum(mask) * (1 - p) ** (len(mine) - sum(mask)) * lost
            means.append(mean / len(mine))
        return float(means[0] / means[1])


@settings(max_examples=20)
@given(
    st.floats(-12, math.log10(0.5)).map(lambda x: 10.0**x),
    st.lists(st.floats(-4, 1).map(lambda x: 10.0**x), min_size=6, max_size=6),
)
def test_given_input_against_every_mask(rate, x):
    pool = np.array([False, True, False, True, False, False])
    found = theory.profile_pool_leverage(rate, np.array(x), pool)
    assert found == pytest.approx(enumerated(rate, x, pool), rel=1e-11)


def test_single_flips_and_many_columns_are_the_two_limits():
    x, pool = np.array([0.6, 0.3, 0.1, 0.5, 0.2]), np.array([True, False, True, False, False])
    size = np.linalg.norm(x)
    lone = theory.flip_amplification(x / size, 100)
    expected = lone[pool].mean() / lone[~pool].mean()
    assert theory.profile_pool_leverage(1e-11, x, pool) == pytest.approx(expected, rel=1e-9)
    assert theory.pool_leverage(x**2, 1.0, pool) != pytest.approx(expected, rel=0.01)

    rate, copies = 0.3, np.array([8, 24])
    pair = theory.pool_leverage(x**2, 1.0, pool, SignFlip(rate))
    off = [
        abs(theory.profile_pool_leverage(rate, np.repeat(x, k), np.repeat(pool, k)) / pair - 1)
        for k in copies
    ]
    assert np.polyfit(np.log(copies), np.log(off), 1)[0] == pytest.approx(-1, abs=0.05)


def test_small_errors_meet_the_law_of_first_order():
    small = theory.pool_leverage(ALPHA, NORMS, POOL)
    assert small == pytest.approx(0.9 / 2 / (0.75 / 4), rel=1e-14)
    # The shares are relative: neither scale matters.
    assert theory.pool_leverage(7 * ALPHA, 3 * NORMS, POOL) == pytest.approx(small, rel=1e-14)
    assert theory.pool_leverage(1e-300 * ALPHA, 1e300 * NORMS, POOL) == pytest.approx(small, rel=1e-14)
    rates = np.logspace(-12, -8, 5)
    off = 1 - theory.pool_leverage(ALPHA, NORMS, POOL, SignFlip(rates)) / small
    inside = 0.9 / 1.65
    slope = 4 / (3 * math.pi) * (math.sqrt(inside) - math.sqrt(1 - inside))
    np.testing.assert_allclose(off / np.sqrt(rates), slope, rtol=1e-3)
    for nothing in (SignFlip(0.0), Scale(1.0), MagnitudeNoise(0.0)):
        assert theory.pool_leverage(ALPHA, NORMS, POOL, nothing) == pytest.approx(small, rel=1e-14)
    # A share of 0 inside is a leverage of 0.
    assert theory.pool_leverage([0.0, 1.0, 2.0], 1.0, np.array([True, False, False]), SignFlip(0.1)) == 0


def test_traced_arguments():
    rates = np.array([1e-12, 1e-4, 0.2])
    law = lambda p: theory.pool_leverage(ALPHA, NORMS, POOL, SignFlip(p))  # noqa: E731
    tolerance = 1e-12 if jax.config.read("jax_enable_x64") else 2e-5
    np.testing.assert_allclose(quick.jit(jax.vmap(law))(rates), law(rates), rtol=tolerance)
    step = 1e-6
    slope = (law(0.2 + step) - law(0.2 - step)) / (2 * step)
    gradient = quick.jit(jax.grad(law))
    assert float(gradient(0.2)) == pytest.approx(slope, rel=1e-3)
    assert math.isfinite(float(gradient(1e-12)))
    profiles = jnp.stack([jnp.asarray(ALPHA), jnp.asarray(ALPHA)[::-1]])
    mapped = quick.jit(jax.vmap(lambda a: theory.pool_leverage(a, NORMS, POOL, Ternarize())))(profiles)
    each = [theory.pool_leverage(a, NORMS, POOL, Ternarize()) for a in np.asarray(profiles)]
    np.testing.assert_allclose(mapped, each, rtol=tolerance)
    pools = np.array([POOL, ~POOL])
    both = quick.jit(jax.vmap(lambda pool: theory.pool_leverage(ALPHA, NORMS, pool)))(pools)
    assert float(both[0] * both[1]) == pytest.approx(1, rel=tolerance)
    x = np.sqrt(ALPHA)
    given_input = quick.jit(
        jax.value_and_grad(lambda p, x: theory.profile_pool_leverage(p, x, POOL), argnums=(0, 1))
    )
    value, (by_rate, by_input) = given_input(jnp.asarray(0.1), jnp.asarray(x))
    assert float(value) == pytest.approx(theory.profile_pool_leverage(0.1, x, POOL), rel=max(tolerance, 1e-4))
    assert math.isfinite(float(by_rate))
    assert np.all(np.isfinite(by_input))
    # The scale of the input does not matter.
    assert float(jnp.vdot(by_input, jnp.asarray(x))) == pytest.approx(0, abs=1e3 * tolerance)
    assert math.isnan(float(given_input(jnp.asarray(0.7), jnp.asarray(x))[0]))


def test_shares_and_sizes_are_all_that_is_left_of_a_pool():
    share, fraction = 0.9 / 1.65, 2 / 6
    for rate in (1e-12, 0.01, 0.5):
        whole = theory.pool_leverage(ALPHA, NORMS, POOL, SignFlip(rate))
        assert theory.column_ratio(rate, share, fraction) == pytest.approx(whole, rel=1e-13)
    assert theory.column_ratio(0.1, 0.0, 0.3) == 0


@given(
    st.floats(-12, math.log10(0.5)).map(lambda x: 10.0**x),
    st.floats(0, 0.999999, allow_subnormal=False),
    st.floats(0.001, 0.999),
)
def test_the_bound_of_a_pool_holds_at_every_rate(rate, share, fraction):
    ratio = theory.column_ratio(rate, share, fraction)
    assert ratio <= theory.column_ratio_bound(fraction, share) * (1 + 1e-12)
    if share <= 0.5:
        assert ratio <= theory.column_ratio_bound(fraction) * (1 + 1e-12)
    # Against flips anywhere at the same rate nothing has to be assumed.
    anywhere = theory.flip_amplification(max(math.sqrt(rate * share), 1e-150), 1 / rate) / fraction
    assert anywhere <= (1 + 1e-12) / fraction


def test_the_published_bound_needs_a_minority_pool():
    assert theory.column_ratio_bound(0.05) == pytest.approx(19, rel=1e-15)
    for rate in (1e-10, 0.05, 0.5):
        assert theory.column_ratio(rate, 0.5, 0.05) == pytest.approx(19, rel=1e-13)
        assert theory.column_ratio(rate, 0.51, 0.05) > 19
    assert theory.column_ratio(1e-14, 0.75, 0.05) == pytest.approx(57, rel=1e-6)
    # A counterexample made of columns: one entry of amplitude √3/2 among 20 columns, flips in that column.
    x = np.array([math.sqrt(0.75), *[math.sqrt(0.25 / 19)] * 19])
    for rate in (1e-9, 0.05, 0.5):
        assert theory.profile_pool_leverage(rate, x, np.arange(20) < 1) > 30
    # Nor does it hold where the rest is one column: half of the variance is then enough.
    squares, pool = np.array([*[0.05] * 10, 0.4999, *[0.0001 / 189] * 189]), np.arange(200) < 10
    assert theory.pool_leverage(squares, 1.0, pool, SignFlip(0.05)) == pytest.approx(19, rel=1e-12)
    assert theory.profile_pool_leverage(0.05, np.sqrt(squares), pool) > 24
    # No bound is left as the pool takes everything.
    assert theory.column_ratio(0.01, 1 - 1e-9, 0.05) > 1e9


def test_expansion_of_the_ratio():
    rates = np.logspace(-8, -4, 9)
    off = np.abs(theory.column_ratio(rates, 0.3, 0.05) / theory.column_ratio_expansion(rates, 0.3, 0.05) - 1)
    assert np.polyfit(np.log(rates), np.log(off), 1)[0] == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], 1.0, np.zeros(0, bool)), "at least 2 columns"),
        (([1.0], 1.0, np.array([True])), "at least 2 columns"),
        ((np.ones((2, 2)), 1.0, np.ones((2, 2), bool)), "vector of at least 2 columns"),
        (("all", 1.0, POOL), "0 <= alpha_squared"),
        ((ALPHA, NORMS[:3], POOL), "one entry a column"),
        ((ALPHA, NORMS, POOL[:3]), "boolean mask"),
        ((ALPHA, NORMS, POOL.astype(int)), "boolean mask"),
        ((ALPHA, NORMS, None), "boolean mask"),
        ((ALPHA, NORMS, np.zeros(6, bool)), "0 < columns in pool < columns"),
        ((ALPHA, NORMS, np.ones(6, bool)), "0 < columns in pool < columns"),
        ((-ALPHA, NORMS, POOL), "0 <= alpha_squared"),
        ((np.where(POOL, np.nan, ALPHA), NORMS, POOL), "0 <= alpha_squared"),
        ((np.where(POOL, np.inf, ALPHA), NORMS, POOL), "0 <= alpha_squared"),
        ((ALPHA, -NORMS, POOL), "0 <= column_norm_squared"),
        ((np.zeros(6), NORMS, POOL), "variance outside the pool > 0"),
        ((np.where(POOL, ALPHA, 0.0), NORMS, POOL), "variance outside the pool > 0"),
        ((ALPHA, np.where(POOL, NORMS, 0.0), POOL), "variance outside the pool > 0"),
        ((["a", "b"], 1.0, np.array([True, False])), "0 <= alpha_squared"),
        ((ALPHA, NORMS, POOL, SignFlip(0.1), "mean"), "match in"),
        ((ALPHA, NORMS, POOL, SignFlip(0.1), "rate", "radial"), "measure in"),
        ((ALPHA, NORMS, POOL, SignFlip(0.0), "rate", "transverse"), "errors outside the pool cost"),
        ((ALPHA, np.where(POOL, 0.0, NORMS), POOL, SignFlip(0.1), "energy"), "weights in the pool"),
        ((ALPHA, NORMS, POOL, 0.1), "perturbation has moments"),
    ],
)
def test_what_no_comparison_is_made_of(arguments, message):
    with pytest.raises(InvalidInput, match=message):
        theory.pool_leverage(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.6, ALPHA, POOL), "0 < rate <= 0.5"),
        ((0.1, ALPHA[:1], POOL[:1]), "at least 2"),
        ((0.1, np.full(6, np.nan), POOL), "x is finite"),
        ((0.1, np.where(POOL, ALPHA, 0.0), POOL), "variance outside the pool"),
        ((0.1, ALPHA, ~POOL | True), "0 < columns in pool"),
        ((0.1, ALPHA, POOL, "energy"), "match in"),
    ],
)
def test_what_no_given_input_is(arguments, message):
    with pytest.raises(InvalidInput, match=message):
        theory.profile_pool_leverage(*arguments)
