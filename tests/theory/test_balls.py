"""Every ball holds a value computed another way at 50 digits, is narrow, and meets the float64 law."""

import itertools
import math
from decimal import Decimal
from fractions import Fraction

import edgeworth
import mpmath as mp
import numpy as np
import pytest
from mpmath.calculus.quadrature import GaussLegendre

from signmag_jax import theory
from signmag_jax.evidence import Incomplete, InvalidInput
from signmag_jax.perturb import (
    Compose,
    LloydMax,
    MagnitudeNoise,
    MagnitudeShift,
    Prune,
    Scale,
    SignFlip,
    Ternarize,
    UniformQuantize,
)

DIGITS = 50
mp_half = mp.mpf(1) / 2


def check(name, expected, digits=30, relative=1e-12, **arguments):
    """The ball is narrow, holds `expected`, and the float64 law lies within `relative` of it."""
    ball = theory.enclose(name, digits=digits, **arguments)
    with mp.workdps(DIGITS + 10):
        middle, radius = mp.mpf(ball.midpoint), mp.mpf(ball.radius)
        assert radius <= abs(middle) * mp.mpf(10) ** (-digits)
        # The other route carries about 45 of its 50 digits.
        assert abs(expected - middle) <= radius + abs(middle) * mp.mpf(10) ** (-DIGITS + 5)
        # A neighbour in the last digit that was asked for is outside.
        assert abs(expected * (1 + 10 * mp.mpf(10) ** (-digits)) - middle) > radius
    plain = {key: _plain(value) for key, value in arguments.items()}
    assert float(theory.LAWS[name](**plain)) == pytest.approx(float(ball), rel=relative)


def _plain(value):
    return float(value) if isinstance(value, Fraction) else value


def kernel(q):
    """κ at correlation 1 − 2q."""
    rho = 1 - 2 * q
    return (mp.sqrt(1 - rho**2) + (mp.pi - mp.acos(rho)) * rho) / (2 * mp.pi)


def pair_kernel(c, v):
    theta = mp.acos(c / mp.sqrt(v))
    return mp.sqrt(v) / (2 * mp.pi) * (mp.sin(theta) + (mp.pi - theta) * mp.cos(theta))


def shift_transverse(p, fourth):
    """T of the matched shift to first order in Σ x_j⁴."""
    size = 2 * mp.sqrt(p)
    shifted = edgeworth.Kernel(edgeworth.shifted(size))
    v = 1 + 2 * size * mp.sqrt(2 / mp.pi) + size**2
    return v / 2 - 2 * shifted.plain**2 - 4 * shifted.plain * shifted.fourth * fourth


@pytest.mark.parametrize("n", [2, 3, 6, 9])
def test_finite_width_from_the_beta_integrals(n):
    with mp.workdps(DIGITS):
        p = mp.mpf(1) / 50
        means = [mp_half]
        for k in range(1, n):
            # q = sin²t, whose density has no pole.
            def weight(t, k=k):
                return mp.sin(t) ** (k - 1) * mp.cos(t) ** (n - k - 1)

            whole = mp.quad(weight, [0, mp.pi / 4, mp.pi / 2])
            means.append(
                mp.quad(lambda t, w=weight: w(t) * kernel(mp.sin(t) ** 2), [0, mp.pi / 4, mp.pi / 2]) / whole
            )
        means.append(mp.mpf(0))
        average = sum(mp.binomial(n, k) * p**k * (1 - p) ** (n - k) * m for k, m in enumerate(means))
        expected = (mp_half - 2 * average**2) / shift_transverse(p, mp.mpf(3) / n)
        check("finite_width_ratio", expected, rate=Fraction(1, 50), n=n)
        check("finite_width_saturation", n * (mp_half - means[1]) - 1, n=n)


def test_a_given_input_from_all_masks():
    x = [Fraction(1), Fraction(-2), Fraction(1, 3), Fraction(5, 2)]
    with mp.workdps(DIGITS):
        squares = [(mp.mpf(e.numerator) / e.denominator) ** 2 for e in x]
        shares, p = [s / sum(squares) for s in squares], mp.mpf(3) / 10
        mean = mp.mpf(0)
        for mask in range(16):
            flips = [mask >> j & 1 for j in range(4)]
            weight = p ** sum(flips) * (1 - p) ** (4 - sum(flips))
            mean += weight * kernel(min(mp.mpf(1), sum(f * s for f, s in zip(flips, shares, strict=True))))
        expected = (mp_half - 2 * mean**2) / shift_transverse(p, sum(s**2 for s in shares))
        ball = theory.enclose("profile_width_ratio", rate="3/10", x=x)
        assert abs(mp.mpf(ball.midpoint) - expected) <= mp.mpf(ball.radius)
        inside = [True, False, False, True]
        costs = []
        for side in (True, False):
            mine = [s for s, one in zip(shares, inside, strict=True) if one == side]
            cost = [(1 - p) * p * kernel(mine[0]), (1 - p) * p * kernel(mine[1])]
            costs.append(1 - 2 * (sum(cost) + p**2 * kernel(sum(mine)) + (1 - p) ** 2 / 2))
        ball = theory.enclose("profile_pool_leverage", rate="3/10", x=x, pool=inside)
        assert abs(mp.mpf(ball.midpoint) - costs[0] / costs[1]) <= mp.mpf(ball.radius)
    floats = np.array([float(e) for e in x])
    found = theory.profile_pool_leverage(0.3, floats, np.array(inside))
    assert float(found) == pytest.approx(float(ball), rel=1e-12)
    slope = theory.enclose("profile_width_slope", rate=0.3, x=floats)
    assert theory.profile_width_slope(0.3, floats) == pytest.approx(float(slope), rel=1e-13)
    # Equal entries share their sums: a thousand of them are no harder.
    many = theory.enclose("profile_width_ratio", rate="1/100", x=[1] * 300)
    assert theory.profile_width_ratio(0.01, np.ones(300)) == pytest.approx(float(many), rel=1e-12)
    with pytest.raises(InvalidInput, match="sums of x_j²"):
        theory.enclose("profile_width_ratio", rate="1/100", x=[2**j for j in range(20)])


def realigned(c, v):
    """2E h²(h' − 2κh)² as an integral over the angle of the plane."""
    theta, kappa = mp.acos(c / mp.sqrt(v)), pair_kernel(c, v)
    start = lambda t: max(mp.cos(t), mp.mpf(0))  # noqa: E731
    both = lambda t: start(t) ** 2 * (mp.sqrt(v) * start(t - theta) - 2 * kappa * start(t)) ** 2  # noqa: E731
    cuts = [-mp.pi / 2, theta - mp.pi / 2, mp.pi / 2]
    return 2 * 8 / (2 * mp.pi) * mp.quad(both, cuts)


def test_finitely_many_rows():
    with mp.workdps(DIGITS):
        p, b = mp.mpf(1) / 20, mp.sqrt(2 / mp.pi)
        size = 2 * mp.sqrt(p)
        flip, shift = (1 - 2 * p, mp.mpf(1)), (1 + size * b, 1 + 2 * size * b + size**2)
        parts = [v / 2 - 2 * pair_kernel(c, v) ** 2 - realigned(c, v) / 64 for c, v in (flip, shift)]
        check("finite_rows_ratio", parts[0] / parts[1], rate=Fraction(1, 20), rows=64)
        c, v = flip
        kappa = pair_kernel(c, v)
        radial = (2 * (kappa - mp_half) ** 2 + realigned(c, v) / 64) / (v / 2 + mp_half - 2 * kappa)
        ball = theory.enclose(
            "finite_rows_radial_fraction", perturbation="SignFlip(1/20)", rows=64, outputs=8
        )
        assert abs(mp.mpf(ball.midpoint) - (radial + (1 - radial) / 8)) <= mp.mpf(ball.radius)
        law = theory.finite_rows_radial_fraction(SignFlip(0.05), 64, 8)
        assert float(law) == pytest.approx(float(ball), rel=1e-12)


def test_pools():
    squares, norms = [Fraction(1, 2), Fraction(1, 4), Fraction(1, 8)], [1, 3, 2]
    with mp.workdps(DIGITS):
        share = mp.mpf(1) / 2 / (mp.mpf(1) / 2 + mp.mpf(3) / 4 + mp.mpf(1) / 4)
        p, factor = mp.mpf(1) / 10, mp.sqrt(5)
        # Errors inside are √5 times as large: their columns hold one sixth of the weights' energy.
        c, v = 1 - 2 * p * factor * share, 1 + share * (4 * p * factor**2 - 4 * p * factor)
        inside = (v + 1) / 2 - 2 * pair_kernel(c, v)
        outside = 1 - 2 * pair_kernel(1 - 2 * p * (1 - share), mp.mpf(1))
        ball = theory.enclose(
            "pool_leverage",
            alpha_squared=squares,
            column_norm_squared=norms,
            pool=[True, False, False],
            perturbation="SignFlip(1/10)",
            match="energy",
        )
        assert abs(mp.mpf(ball.midpoint) - inside / outside) <= mp.mpf(ball.radius)
    law = theory.pool_leverage(
        np.array([0.5, 0.25, 0.125]), np.array(norms), np.array([1, 0, 0], bool), SignFlip(0.1), "energy"
    )
    assert float(law) == pytest.approx(float(ball), rel=1e-12)
    first = theory.enclose(
        "pool_leverage", alpha_squared=squares, column_norm_squared=1, pool=[True, False, False]
    )
    assert first.midpoint.startswith("2.66666666666666666666")
    for bad, message in (
        ({"pool": [True, True, True]}, "0 < columns in pool"),
        ({"pool": [True, False]}, "boolean mask"),
        ({"alpha_squared": [1, 0, 0]}, "variance outside"),
        ({"alpha_squared": [1, -1, 1]}, "0 <= alpha_squared"),
        ({"alpha_squared": ["x", 1, 1]}, "exact number"),
    ):
        given = {"alpha_squared": squares, "column_norm_squared": norms, "pool": [True, False, False]} | bad
        with pytest.raises(InvalidInput, match=message):
            theory.enclose("pool_leverage", **given)


def normal_cells(edges, levels):
    """(c, v) of an odd quantiser on Gaussian weights, by integration over its cells."""
    c = v = mp.mpf(0)
    for low, high, level in zip(edges[:-1], edges[1:], levels, strict=True):
        c += 2 * level * mp.quad(lambda x: x * mp.npdf(x), [low, high])
        v += 2 * level**2 * mp.quad(mp.npdf, [low, high])
    return c, v


def lloyd_max(thresholds):
    edges = [mp.mpf(0), *thresholds, mp.inf]
    levels = []
    for low, high in itertools.pairwise(edges):
        levels.append((mp.npdf(low) - mp.npdf(high)) / (mp.ncdf(high) - mp.ncdf(low)))
    return edges, levels


def codebook_residual(*thresholds):
    levels = lloyd_max(thresholds)[1]
    return [t - (a + b) / 2 for t, a, b in zip(thresholds, levels[:-1], levels[1:], strict=True)]


def quantisers():
    with mp.workdps(DIGITS + 5):
        start = [0.5005, 1.0500, 1.7479]
        edges, levels = lloyd_max([*mp.findroot(codebook_residual, start, tol=mp.mpf(10) ** (-2 * DIGITS))])
        yield "LloydMax(3)", LloydMax(3), normal_cells(edges, levels)
        step = mp.mpf(3) / 5
        edges = [0, *(step * (k + mp_half) for k in range(3)), mp.inf]
        yield (
            "UniformQuantize(3, 3/5)",
            UniformQuantize(3, 0.6),
            normal_cells(edges, [k * step for k in range(4)]),
        )
        step = mp.sqrt(2 / mp.pi)
        yield (
            "UniformQuantize(2, mean_abs)",
            UniformQuantize(2, "mean_abs"),
            normal_cells([0, step / 2, mp.inf], [0, step]),
        )
        t = mp.findroot(lambda t: mp.npdf(t) - t * mp.erfc(t / mp.sqrt(2)), 0.612)
        scale = mp.npdf(t) / (mp.erfc(t / mp.sqrt(2)) / 2)
        yield "Ternarize(optimal)", Ternarize.optimal(), normal_cells([0, t, mp.inf], [0, scale])
        t = mp.mpf(7) / 10 * mp.sqrt(2 / mp.pi)
        pair = normal_cells([0, t, mp.inf], [0, mp.sqrt(2 / mp.pi)])
        yield "Ternarize(twn, mean_abs)", Ternarize("twn", "mean_abs"), pair
        kept = 2 * mp.quad(lambda x: x**2 * mp.npdf(x), [mp_half, mp.inf])
        yield "Prune(1/2)", Prune(0.5), (kept, kept)
        c, v = pair
        yield (
            "SignFlip(1/4)+MagnitudeNoise(1/2)+Ternarize(twn, mean_abs)+Scale(3/2)",
            Compose(
                Compose(Compose(SignFlip(0.25), MagnitudeNoise(0.5)), Ternarize("twn", "mean_abs")),
                Scale(1.5),
            ),
            (c * mp_half * 3 / 2, v * (1 + mp.mpf(1) / 4) * mp.mpf(9) / 4),
        )


def test_quantisers_from_their_cells():
    for text, perturbation, (c, v) in quantisers():
        with mp.workdps(DIGITS):
            kappa = pair_kernel(c, v)
            expected = 2 * (kappa - mp_half) ** 2 / (v / 2 + mp_half - 2 * kappa)
            for name, value in (("radial_fraction", expected), ("cosine_squared", c**2 / v)):
                ball = theory.enclose(name, perturbation=text, digits=35)
                distance = abs(mp.mpf(ball.midpoint) - value)
                assert distance <= mp.mpf(ball.radius) + mp.mpf(10) ** (5 - DIGITS), text
                assert mp.mpf(ball.radius) < value * mp.mpf(10) ** -35, text
                law = float(theory.LAWS[name](perturbation=perturbation))
                assert law == pytest.approx(float(ball), rel=1e-12), text


HOMOGENEOUS = {
    "leaky_relu": (1, lambda z: z if z > 0 else z * mp.mpf(0.01)),
    "relu_squared": (2, lambda z: z**2 if z > 0 else mp.mpf(0)),
}
SMOOTH = {
    "gelu": lambda z: z * mp.erfc(-z / mp.sqrt(2)) / 2,
    "silu": lambda z: z / (1 + mp.exp(-z)),
    "tanh": mp.tanh,
}


@pytest.mark.parametrize("activation", list(HOMOGENEOUS))
def test_homogeneous_activations_in_polar_coordinates(activation):
    degree, function = HOMOGENEOUS[activation]
    with mp.workdps(DIGITS):
        theta = mp.acos(mp.mpf(4) / 5)
        cuts = sorted([-mp.pi, -mp.pi / 2, theta - mp.pi / 2, mp.pi / 2, theta + mp.pi / 2, mp.pi])
        # E r² = 2 and E r⁴ = 8 for the radius of two standard normals.
        radial = mp.factorial(degree) * 2**degree
        average = lambda f: radial * mp.quad(f, cuts) / (2 * mp.pi)  # noqa: E731
        own = average(lambda t: function(mp.cos(t)) ** 2)
        cross = average(lambda t: function(mp.cos(t)) * function(mp.cos(t - theta)))
        expected = (cross - own) ** 2 / (own * (2 * own - 2 * cross))
        ball = theory.enclose("radial_fraction", perturbation="SignFlip(1/10)", activation=activation)
        assert abs(mp.mpf(ball.midpoint) - expected) <= mp.mpf(ball.radius)
        assert mp.mpf(ball.radius) < expected * mp.mpf(10) ** -30
    assert float(theory.radial_fraction(SignFlip(0.1), activation)) == pytest.approx(float(ball), rel=1e-12)


@pytest.mark.parametrize("activation", ["silu", "tanh", pytest.param("gelu", marks=pytest.mark.slow)])
def test_smooth_activations_from_their_hermite_series(activation):
    """E φ(z)φ(z') = Σ_k a_k² ρ^k, a_k = E φ(z)He_k(z)/√k! (Mehler): 60 terms are exact to 0.2^60."""
    function = SMOOTH[activation]
    with mp.workdps(DIGITS + 10):
        scale, rho = mp.mpf(3) / 2, mp.mpf(1) / 5
        rule = GaussLegendre(mp.mp)
        nodes = [
            node
            for low in range(-18, 18, 4)
            for node in rule.get_nodes(low, low + 4, degree=6, prec=mp.mp.prec)
        ]
        points = [x for x, _ in nodes]
        weighted = [w * mp.npdf(x) * function(scale * x) for x, w in nodes]
        own = sum(weight * function(scale * x) for x, weight in zip(points, weighted, strict=True))
        before, hermite = [mp.mpf(0)] * len(points), [mp.mpf(1)] * len(points)
        cross = mp.mpf(0)
        for k in range(60):
            cross += sum(w * h for w, h in zip(weighted, hermite, strict=True)) ** 2 * rho**k
            # Normalised: √(k+1) h_{k+1} = x h_k − √k h_{k−1}.
            after = [
                (x * h - mp.sqrt(k) * b) / mp.sqrt(k + 1)
                for x, h, b in zip(points, hermite, before, strict=True)
            ]
            before, hermite = hermite, after
        expected = (cross - own) ** 2 / (own * (2 * own - 2 * cross))
        given = {"perturbation": "SignFlip(2/5)", "activation": activation, "scale": "3/2"}
        ball = theory.enclose("radial_fraction", digits=30, **given)
        assert abs(mp.mpf(ball.midpoint) - expected) <= mp.mpf(ball.radius)
        assert mp.mpf(ball.radius) < expected * mp.mpf(10) ** -30
    law = theory.radial_fraction(SignFlip(0.4), activation, 1.5)
    assert float(law) == pytest.approx(float(ball), rel=1e-12)


# The balls of smooth activations at wide arguments take longest: in the fast suite, GELU's stands for them.
@pytest.mark.parametrize(
    ("activation", "scale"),
    [
        pytest.param(name, scale, marks=pytest.mark.slow if scale == 3.0 and name in ("silu", "tanh") else ())
        for name in ("leaky_relu", "relu_squared", "identity", "gelu", "silu", "tanh")
        for scale in (0.05, 1.0, 3.0)
    ],
)
def test_float64_laws_lie_in_the_balls_of_every_activation(activation, scale):
    for perturbation in (SignFlip(1e-6), SignFlip(0.5), MagnitudeShift(0.3), Ternarize()):
        ball = theory.enclose(
            "radial_fraction", perturbation=perturbation, activation=activation, scale=scale, digits=12
        )
        law = theory.radial_fraction(perturbation, activation, scale)
        assert float(law) == pytest.approx(float(ball), rel=1e-10)


@pytest.mark.parametrize(
    "activation", ["leaky_relu", "relu_squared", "gelu", pytest.param("silu", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("chain", ["plain", "residual", "renormalised"])
def test_depth_of_every_activation(activation, chain):
    given = {"depth": 3, "chain": chain, "activation": activation}
    balls = theory.enclose("chain_ratios", rate="1/20", digits=13, **given)
    laws = theory.chain_ratios(0.05, 3, chain, activation=activation)
    assert [float(ball) for ball in balls] == pytest.approx(list(laws), rel=1e-11)


def test_the_quadrature_tightens_to_one_value():
    """Two precisions use other steps, nodes and error bounds: their balls meet, as narrow as asked."""
    given = {"perturbation": "SignFlip(1/10)", "activation": "silu"}
    coarse, fine = (theory.enclose("radial_fraction", digits=digits, **given) for digits in (12, 45))
    with mp.workdps(60):
        assert fine.bits > coarse.bits
        assert abs(mp.mpf(fine.midpoint) - mp.mpf(coarse.midpoint)) <= mp.mpf(coarse.radius) + mp.mpf(
            fine.radius
        )
        assert mp.mpf(fine.radius) < mp.mpf(10) ** -46
    with pytest.raises(Incomplete, match="512 bits"):
        theory.enclose("radial_fraction", perturbation="SignFlip(0)", activation="silu")


def test_every_law_but_one_has_a_ball():
    from signmag_jax.theory.balls import BALLS

    # Its law of the flips in a hidden layer is itself of leading order, by quadrature.
    assert set(theory.LAWS) - set(BALLS) == {"finite_width_depth_ratios"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"law": "finite_width_depth_ratios", "rate": "0.1", "depth": 1, "n": 64}, "law has a ball"),
        ({"law": "finite_width_ratio", "rate": "0.1", "n": "64.5"}, "n is an integer"),
        ({"law": "finite_width_ratio", "rate": "0.1", "n": 10**6}, "for an enclosure"),
        ({"law": "radial_fraction", "perturbation": UniformQuantize(4)}, "a step for an enclosure"),
        ({"law": "radial_fraction", "perturbation": "LloydMax(9)"}, "bits is an integer"),
        ({"law": "radial_fraction", "perturbation": "Prune(1/2)+Ternarize()"}, "at most one"),
        ({"law": "radial_fraction", "perturbation": "SignFlip(1/2)+"}, "perturbation reads"),
        ({"law": "profile_width_ratio", "rate": "0.1", "x": [0, 0]}, "x is a vector"),
        ({"law": "profile_width_ratio", "rate": "0.1", "x": 3}, "x is a vector"),
    ],
)
def test_what_has_no_ball(arguments, message):
    with pytest.raises(InvalidInput, match=message):
        theory.enclose(**arguments)


def test_digits_are_digits():
    for digits in (5, 60):
        ball = theory.enclose("finite_width_ratio", rate="1/100", n=64, digits=digits)
        assert -math.log10(Decimal(ball.radius) / abs(Decimal(ball.midpoint))) >= digits
