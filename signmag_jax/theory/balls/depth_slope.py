"""The 1/n term of a plain chain in ball arithmetic, from the moments of its rows."""

from flint import arb, fmpq

from .cumulants import Cumulants, flip_cumulants, shift_cumulants
from .pairs import Pair, flip, matched
from .weights import Weights


def finite_width_depth_slope(
    rate: fmpq, depth: fmpq, weights: Weights | list[Weights | None] | None = None
) -> list[arb]:
    """One coefficient a layer."""
    count, size = int(depth), 2 * arb(rate).sqrt()
    each = weights if isinstance(weights, list) else [weights] * count
    flipped = _changes([(flip(rate), flip_cumulants(rate, one)) for one in each])
    shifted = _changes([(matched(rate, one), shift_cumulants(size, one)) for one in each])
    return [a - b for a, b in zip(flipped, shifted, strict=True)]


def _changes(layers: list[tuple[Pair, Cumulants]]) -> list[arb]:
    """n (E sin²/sin² − 1) after each layer."""
    q, mean, variance, changes = arb(1), arb(0), arb(0), []
    # The sums n Σ x_j^a x_j'^b of equal inputs on the sphere, and below of rectified Gaussian pairs.
    fourths = [arb(3)] * 5
    for (c, v), cumulants in layers:
        root, overlap = v.sqrt(), c * q
        noise = v - overlap**2
        rho = overlap / root
        theta, sine = rho.acos(), (noise / v).sqrt()
        away = arb.pi() - theta
        j = (sine + away * rho) / arb.pi()
        second = (3 * sine * rho + away * (1 + 2 * rho**2)) / (2 * arb.pi())
        mixed = (3 * sine - sine**3 + 3 * away * rho) / (2 * arb.pi())
        slope, bend = away / arb.pi() * c / root, c**2 / v / (arb.pi() * sine)
        change = 2 / root * _kernel_change(overlap, v, cumulants, fourths)
        # Of the mean cosine of n rows: the covariances of Σhh', Σh² and Σh'², by Taylor's formula.
        bias = j * (fmpq(9, 2) + second) - 4 * mixed
        mean = slope * mean + bend * variance / 2 + change + bias
        variance = slope**2 * variance + 4 * second + j**2 * (2 * second + 3) - 8 * j * mixed
        q, fourths = j, [arb(6), 4 * mixed, 4 * second, 4 * mixed, arb(6)]
        changes.append(-(2 * q * mean + variance) / (1 - q**2))
    return changes


def _kernel_change(c: arb, v: arb, cumulants: Cumulants, fourths: list[arb]) -> arb:
    """n Δκ at this covariance of z and z': Σ_a C(4, a) κ_ab S_ab E ∂^a ∂'^b/24."""
    d = v - c**2
    a40, a31, a22, a13, a04 = (k * s for k, s in zip(cumulants, fourths, strict=True))
    tail = c**2 - d
    bent = a40 * tail - 4 * a31 * c + 6 * a22 - 4 * a13 * c / v + a04 * tail / v**2
    return bent / (48 * arb.pi() * d.sqrt())
