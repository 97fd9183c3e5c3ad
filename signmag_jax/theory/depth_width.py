"""Depth at finite width: every layer of a plain ReLU chain averages over the flips of its rows."""

import math
import sys
from typing import Any

import numpy as np

from signmag_jax.evidence import invalid
from signmag_jax.evidence.counts import counting
from signmag_jax.evidence.precision import Real
from signmag_jax.perturb import Moments

from . import width as finite_width
from .arguments import RATE, shape_of, weight_cumulants
from .cumulants import shift_bend
from .depth import check_chain, layer_weights
from .depth_slope import slope_left_out
from .scaled import WeightMoments
from .theorem_3 import matched_shift

# Of 4,096 inputs at rate 0.3 16 nodes leave 2e-4 of the gap, 32 leave 7e-12; of 8 inputs 64 leave 1e-11.
NODES = 64
# Numbers of flips beyond this many standard deviations, or 40 for rare flips, weigh below 1e-15.
SPREAD = 9.0
LEAST_WIDTH = 8
# Chains of few units whose first order changes more than this have ratios that come out negative, some of
# them.
LARGEST_CHANGE = 0.25


@counting
def finite_width_depth_ratios(rate: float, depth: int, n: int, weights: Any = "gaussian") -> Real:
    """(1 − q²(flip))/(1 − q²(shift)) after each layer of the plain ReLU chain of width n.

    q_l = E J(q_{l−1}(1 − 2Q)), Q = Σ M_j x_j² the share of the input's energy that a row's flips carry: for
    an input on the sphere Q | K flips ~ Beta(K/2, (n−K)/2), K ~ Bin(n, p). A hidden state is a rectified
    Gaussian: half of its entries are 0 and the others are half-Gaussian, so that its Q follows the law of the
    sphere in n/2 dimensions, with twice the variance. Weights that are not Gaussian multiply what Q's scatter
    changes by E w⁴/3, to first order in it. In layer 1 the shift's fourth cumulants change its κ,
    and the realised cosine of n rows adds its own term to both errors, `realised`. What else is of order 1/n,
    `slope_left_out`, is added to that order: with it the coefficient is that of `finite_width_depth_slope`.
    Neglected is the next order, which has no bound, so that there is no ball around the exact value:
    `theory.enclose` refuses this law.

    Args:
      rate: one flip rate in (0, 1/2]; the shift has size 2√rate.
      depth: number of layers, at least 1.
      n: width of every layer, 8 to 1,000,000.
      weights: a law with third and fourth moments, as in `perturb.find_weights`, or a list of `depth` of
        them, one a layer.

    Returns:
      One ratio a layer, shape (depth,).

    Raises:
      InvalidInput: for arguments outside; for weights that are not Gaussian also where a row of the first
        layer holds too few flips, 4·rate·(n + 2)/3 < E w⁴; and where what is added changes a ratio by more
        than a quarter, behind many layers of few units.
    """
    check_chain(depth, "plain", "all", 1.0)
    if shape := shape_of("rate", rate):
        raise invalid("rate is one number", shape, "call once for each rate")
    RATE.require("rate", rate)
    if finite_width.check_width(n) < LEAST_WIDTH:
        raise invalid(f"{LEAST_WIDTH} <= n", n, "a hidden state needs some active entries")
    # Below, the limit to rounding.
    p, width = max(float(rate), sys.float_info.epsilon**2), int(n)
    for one in weights if isinstance(weights, list | tuple) else [weights]:
        finite_width.check_own_law(one, p, (width + 2) / 3)
    laws = layer_weights(weights, depth, weight_cumulants)
    left_out = np.asarray(slope_left_out(p, depth, laws)) / width
    if (largest := float(np.abs(left_out).max())) > LARGEST_CHANGE:
        raise invalid(
            f"a first order in 1/n that changes a ratio by at most {LARGEST_CHANGE:g} of it",
            largest,
            "raise the width or take fewer layers: the law leaves out higher orders",
        )
    flip_apart, shift_apart, ratios = 0.0, 0.0, []
    for layer in range(depth):
        own = WeightMoments(*(float(np.broadcast_to(moment, depth)[layer]) for moment in laws))
        inputs = width if layer == 0 else width // 2
        shift: Moments = matched_shift(p).moments(own.b)
        flip_apart = realised(_flipped(p, flip_apart, share_law(p, inputs), own.fourth / 3), width)
        alone = _shifted(shift, shift_apart)
        if layer == 0:
            # 1 − q is 1 − 2κ/√v, and Σ x_j⁴ is 3/n.
            alone += 6 / width * p**1.5 * shift_bend(math.sqrt(p), shift.v, own) / math.sqrt(shift.v)
        shift_apart = realised(alone, width)
        # 1 − q² as (1 − q)(1 + q) of 1 − q, which is what is kept: q itself rounds to 1.
        ratios.append(flip_apart * (2 - flip_apart) / (shift_apart * (2 - shift_apart)))
    return np.asarray(ratios) * (1 + left_out)


def _flipped(p: float, apart: float, law: tuple[np.ndarray, np.ndarray], wider: float) -> float:
    """1 − E J(cos θ) with 1 − cos θ = apart + 2(1 − apart)Q: E(1 − cos θ), which is exact, less E g/π.

    With weights that are not Gaussian, g at the mean of Q and `wider` times what Q's scatter adds to it.
    """
    shares, masses = law
    gap = wider * float(np.sum(masses * _gap_at(apart, shares)))
    if wider != 1:
        gap += (1 - wider) * float(_gap_at(apart, np.asarray([p]))[0])
    # E Q = p exactly, so that only the gap, of higher order, is left to the quadrature.
    return apart + 2 * (1 - apart) * p - gap / math.pi


def _gap_at(apart: float, shares: np.ndarray) -> np.ndarray:
    """g at the angle of these shares."""
    distance = apart + 2 * (1 - apart) * shares
    return finite_width._gap_of_angle(2 * np.arcsin(np.sqrt(np.minimum(distance / 2, 1.0))))


def _shifted(moments: Moments, apart: float) -> float:
    """1 − J(cos θ) with cos θ = c(1 − apart)/√v."""
    defect = apart * (2 - apart)
    theta = np.arctan2(np.sqrt(moments.noise + moments.c**2 * defect), moments.c * (1 - apart))
    return float(2 * np.sin(theta / 2) ** 2 - finite_width._gap_of_angle(np.asarray(theta)) / math.pi)


def realised(apart: float, m: int) -> float:
    """1 − q as n rows realise it in the mean: the second-order delta method for sin² = 1 − (Σhh')²/(Σh²Σh'²).

    E sin² = 1 − J² − B/m, B = 4K₂₂(1 + J²) + 12J² − 16JK₃₁, with K₂₂ = E h²h'² and K₃₁ = E h³h' at equal
    variances. For small θ the three terms cancel to −2θ²: B is written in e = J − cos θ and in what
    K₂₂ = ½ + cos²θ + a and K₃₁ = (3/2)cos θ + b have besides polynomials of cos θ, of third and fifth order.
    """
    theta = _angle_of(apart)
    sine, cosine, j = math.sin(theta), math.cos(theta), 1 - apart
    gap = float(finite_width._gap_of_angle(np.asarray(theta)))
    a = (3 * sine * cosine - theta * (1 + 2 * cosine**2)) / (2 * math.pi)
    b = (3 * gap - sine**3) / (2 * math.pi)
    e = gap / math.pi
    bend = 2 * sine**2 * (2 * sine**2 - 1) + 4 * cosine * e * (1 + 2 * cosine**2)
    bend += e**2 * (14 + 4 * cosine**2) + 4 * a * (1 + j**2) - 16 * j * b
    square = apart * (2 - apart) - bend / m
    # 1 − √(1 − sin²) without the difference.
    return square / (1 + math.sqrt(1 - square))


def _angle_of(apart: float) -> float:
    """θ with 1 − J(cos θ) = apart."""

    from scipy.optimize import brentq  # slow to import, and few ask for it

    def excess(theta: float) -> float:
        return (
            2 * math.sin(theta / 2) ** 2
            - float(finite_width._gap_of_angle(np.asarray(theta))) / math.pi
            - apart
        )

    # Relative accuracy at small angles: no absolute tolerance may end the search, and halving π down to
    # 1e-300 takes a thousand steps.
    root: Any = brentq(excess, 0.0, math.pi, xtol=1e-300, maxiter=2000)
    return float(root)


def share_law(p: float, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of the law of Q for an input on the sphere in n dimensions.

    For each number of flips K the quantiles of Beta(K/2, (n−K)/2) at Gauss–Legendre nodes in an angle, as in
    `width.mean_gaps`; no flip and all flips are atoms.
    """
    from scipy.stats import beta, binom  # slow to import, and few ask for it

    mean, deviation = n * p, math.sqrt(n * p * (1 - p))
    low = max(1, math.floor(mean - SPREAD * deviation - 1))
    high = min(n - 1, math.ceil(mean + SPREAD * deviation + 40))
    k = np.arange(low, high + 1, dtype=np.float64)[:, None]
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    law: Any = beta(k / 2, (n - k) / 2)
    # √Q in place of Q: one flip alone has a density with a pole at 0.
    first, last = (np.sqrt(law.ppf(tail)) for tail in (0.0, 1.0))
    # Nodes are spent where there is mass: beyond these quantiles lies less than a rounding.
    inner, outer = np.sqrt(law.ppf(1e-17)), np.sqrt(law.isf(1e-17))
    first, last = np.maximum(first, inner), np.minimum(last, outer)
    s = (first + last) / 2 + (last - first) / 2 * nodes
    mass = weights * np.exp(law.logpdf(s**2)) * s
    mass = mass / mass.sum(axis=1, keepdims=True) * binom.pmf(k, n, p)
    atoms = np.array([binom.pmf(0, n, p), binom.pmf(n, n, p)])
    return np.concatenate([[0.0, 1.0], (s**2).ravel()]), np.concatenate([atoms, mass.ravel()])
