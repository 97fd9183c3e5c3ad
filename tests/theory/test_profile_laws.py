"""Finite width for a given input, and layer by layer: enumeration, sampling, published chains, limits."""

import itertools
import math

import jax
import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signmag_jax import theory
from signmag_jax.evidence import InvalidInput
from signmag_jax.theory import depth_slope, depth_width
from signmag_jax.theory.arguments import weight_cumulants
from signmag_jax.theory.depth import layer_weights

# arXiv:2605.18933, table of the plain chain: width, rate, C_1 … C_6, their standard errors.
PUBLISHED = [
    (512, 0.01, [3.5954, 3.475, 3.3881, 3.2951, 3.1398, 3.0485],
     [44e-4, 133e-4, 0.0319, 0.0263, 0.0417, 0.0427]),
    (2048, 0.01, [3.6172, 3.494, 3.3513, 3.2503, 3.141, 3.0609],
     [11e-4, 64e-4, 0.0104, 0.0154, 0.0138, 0.0192]),
]  # fmt: skip


def gap(q):
    theta = 2 * mp.asin(mp.sqrt(min(mp.mpf(q), mp.mpf(1))))
    return mp.sin(theta) - theta * mp.cos(theta)


def enumerated(p, x):
    """E G(q) over all 2^n masks."""
    with mp.workdps(40):
        p, squares = mp.mpf(p), [mp.mpf(float(v)) ** 2 for v in x]
        total, mean = sum(squares), mp.mpf(0)
        for mask in itertools.product((0, 1), repeat=len(x)):
            weight = p ** sum(mask) * (1 - p) ** (len(x) - sum(mask))
            mean += weight * gap(sum(m * s for m, s in zip(mask, squares, strict=True)) / total)
        return float(mean)


@settings(max_examples=25)
@given(
    st.floats(-9, math.log10(0.5)).map(lambda x: 10.0**x),
    st.lists(st.floats(-6, 2).map(lambda x: 10.0**x), min_size=5, max_size=5),
)
def test_given_input_against_every_mask(rate, x):
    assert theory.profile_width_gap(rate, np.array(x)) == pytest.approx(enumerated(rate, x), rel=1e-12)


def test_one_entry_alone_and_many_equal_ones():
    # With one entry alone a flip reverses the row: q is 0 or 1, and G(1) = π.
    assert theory.profile_width_gap(0.2, np.array([0.0, 3.0])) == pytest.approx(0.2 * math.pi, rel=1e-13)
    for n, p in ((7, 1e-6), (300, 0.02)):
        with mp.workdps(40):
            weights = [mp.binomial(n, k) * mp.mpf(p) ** k * (1 - mp.mpf(p)) ** (n - k) for k in range(n + 1)]
            expected = float(sum(w * gap(mp.mpf(k) / n) for k, w in enumerate(weights)))
        assert theory.profile_width_gap(p, np.ones(n)) == pytest.approx(expected, rel=1e-12)


def test_the_mean_over_the_sphere_is_the_law_of_the_sphere():
    n, rate, rng = 12, 0.1, np.random.default_rng(9)
    gaps = np.array([theory.profile_width_gap(rate, rng.normal(size=n)) for _ in range(200)])
    error = gaps.std(ddof=1) / math.sqrt(gaps.size)
    sphere = theory.width.finite_width_gap(rate, n)
    assert abs(gaps.mean() - sphere) < 4 * error
    assert abs(gaps.mean() - theory.width.finite_width_gap(rate, 4 * n)) > 8 * error


def test_the_first_order_of_a_given_input():
    rng = np.random.default_rng(2)
    changes, slopes, sizes = [], [], np.array([200, 400, 800])
    base = rng.uniform(0.2, 2.0, size=200)
    for n in sizes:
        x = np.tile(base, n // 200)
        changes.append(theory.profile_width_ratio(0.3, x) / theory.transverse_ratio(0.3) - 1)
        slopes.append(theory.profile_width_slope(0.3, x))
    changes, slopes = np.array(changes), np.array(slopes)
    assert np.polyfit(np.log(sizes), np.log(-changes), 1)[0] == pytest.approx(-1, abs=0.01)
    left = np.abs(changes - slopes)
    assert np.polyfit(np.log(sizes), np.log(left), 1)[0] == pytest.approx(-2, abs=0.2)
    flat = theory.profile_width_slope(0.01, np.ones(500))
    assert 3 * 500 * flat == pytest.approx(theory.finite_width_slope(0.01), rel=1e-12)
    assert 500 * flat != pytest.approx(theory.finite_width_slope(0.01), rel=0.5)


def test_where_the_infinite_width_law_is_meant():
    assert theory.infinite_width_holds(0.01, n=4096)
    assert not theory.infinite_width_holds(0.01, n=1024)
    assert theory.infinite_width_holds(0.01, np.ones(1024))
    np.testing.assert_array_equal(theory.infinite_width_holds(np.array([1e-4, 0.1]), n=512), [False, True])
    rates, n = np.array([0.01, 0.03, 0.1, 0.3]), 100_000
    for p in rates[theory.infinite_width_holds(rates, n=n)]:
        off = theory.finite_width_ratio(p, n) / theory.transverse_ratio(p) - 1
        assert abs(off) < math.sqrt(p) / (20 * math.pi)
    with pytest.raises(InvalidInput, match="exactly one of x and n"):
        theory.infinite_width_holds(0.1)


@pytest.mark.parametrize(("width", "rate", "ratios", "errors"), PUBLISHED)
def test_published_chains_are_predicted(width, rate, ratios, errors):
    found = theory.finite_width_depth_ratios(rate, 6, width)
    distance = np.abs(found - ratios) / errors
    # Layers of one run are not independent; the largest of 6 two-sided deviations at 3.3 has odds 1 in 170.
    assert distance.max() < 3.3
    infinite = np.abs(theory.depth_ratios(rate, 6) - ratios) / errors
    assert infinite[0] > 6  # the infinite width would be rejected
    assert distance[0] < 1


def test_chains_approach_the_infinite_width_and_the_block():
    infinite = theory.depth_ratios(0.05, 4)
    widths = np.array([2**12, 2**14, 2**16])
    off = np.array([np.abs(theory.finite_width_depth_ratios(0.05, 4, int(n)) / infinite - 1) for n in widths])
    slopes = np.polyfit(np.log(widths), np.log(off), 1)[0]
    np.testing.assert_allclose(slopes, -1, atol=0.05)
    # Without the term of finitely many rows the first layer is the exact law of a block.
    shares, weights = depth_width.share_law(0.05, 64)
    assert weights.sum() == pytest.approx(1, rel=1e-13)
    assert np.sum(weights * shares) == pytest.approx(0.05, rel=1e-12)
    assert np.sum(weights * (shares - 0.05) ** 2) == pytest.approx(3 * 0.05 * 0.95 / 66, rel=1e-12)


@pytest.mark.parametrize("weights", ["gaussian", "laplace", "uniform"])
@pytest.mark.parametrize("rate", [0.02, 0.3])
def test_the_first_order_of_chains(rate, weights):
    """The law of each width has it as its limit in every layer; without what is added, in layer 1 alone."""
    slope = theory.finite_width_depth_slope(rate, 4, weights)
    widths = np.array([2**14, 2**17])
    laws = np.array([theory.finite_width_depth_ratios(rate, 4, int(n), weights) for n in widths])
    found = widths[:, None] * (laws / theory.depth_ratios(rate, 4, weights=weights) - 1)
    left = found - slope
    # What is left is the next order.
    np.testing.assert_allclose(left[1], left[0] / 8, rtol=0.1)
    added = depth_slope.slope_left_out(rate, 4, layer_weights(weights, 4, weight_cumulants))
    assert abs(added[0]) < 1e-12
    assert np.all(np.abs(added[1:]) > 20 * np.abs(left[1, 1:]))


def test_what_is_added_to_averages_over_rows_vanishes_with_the_rate():
    laws = layer_weights("gaussian", 3, weight_cumulants)
    rates = np.array([1e-4, 1e-6, 1e-8])
    added = np.array([np.abs(depth_slope.slope_left_out(rate, 3, laws)[1:]) for rate in rates])
    np.testing.assert_allclose(np.polyfit(np.log(rates), np.log(added), 1)[0], 0.5, atol=0.01)


def test_realised_cosine_against_sampled_rows():
    rng, m, c = np.random.default_rng(7), 24, 0.7
    z = rng.normal(size=(2, 250_000, m))
    h, other = np.maximum(z[0], 0), np.maximum(c * z[0] + math.sqrt(1 - c**2) * z[1], 0)
    cosine = np.sum(h * other, 1) ** 2 / np.sum(h**2, 1) / np.sum(other**2, 1)
    theta = math.acos(c)
    apart = 1 - (math.sin(theta) + (math.pi - theta) * c) / math.pi
    q = 1 - depth_width.realised(apart, m)
    error = cosine.std() / math.sqrt(cosine.size)
    assert abs(cosine.mean() - q**2) < 4 * error + 0.1 * abs(q**2 - (1 - apart) ** 2)
    assert abs(cosine.mean() - (1 - apart) ** 2) > 8 * error


def test_given_input_traces_and_refuses():
    x = np.arange(1.0, 6.0)
    mapped = jax.jit(jax.vmap(lambda p: theory.profile_width_ratio(p, x)))(np.array([0.1, 0.7]))
    np.testing.assert_allclose(mapped, [theory.profile_width_ratio(0.1, x), np.nan], rtol=1e-4)
    for call, message in (
        (lambda: theory.profile_width_ratio(0.6, x), "0 < rate <= 0.5"),
        (lambda: theory.profile_width_ratio(0.1, np.zeros(4)), "x != 0"),
        (lambda: theory.profile_width_ratio(0.1, np.ones((2, 2))), "x is a vector"),
        (lambda: theory.profile_width_ratio(0.1, np.array([1.0, np.nan])), "x is finite"),
        (lambda: theory.finite_width_depth_ratios(0.1, 0, 64), "depth is an integer"),
        (lambda: theory.finite_width_depth_ratios(0.1, 2, 4), "8 <= n"),
        # Taken to first order there, the ratio would be negative.
        (lambda: theory.finite_width_depth_ratios(1e-8, 1000, 8), "by at most 0.25 of it.*fewer layers"),
        (lambda: theory.finite_width_depth_ratios(0.7, 2, 64), "0 < rate"),
    ):
        with pytest.raises(InvalidInput, match=message):
            call()
