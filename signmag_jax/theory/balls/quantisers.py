"""(c, v) of the quantisers in ball arithmetic; what is a root of an equation is enclosed and verified."""

import itertools
import math
from typing import Any

import numpy as np
from flint import arb, arb_mat, ctx, fmpq

from signmag_jax.evidence import Incomplete
from signmag_jax.perturb.lloyd_max import codebook
from signmag_jax.perturb.quantize import optimal_threshold

# Each step doubles the digits, so that a dozen would do: so many end what does not converge.
NEWTON = 60
# Levels times bits: half a minute.
MOST_WORK = 1 << 25


def density(t: arb) -> arb:
    """φ(t)."""
    return (-(t**2) / 2).exp() / (2 * arb.pi()).sqrt()


def tail(t: arb) -> arb:
    """1 − Φ(t)."""
    return (t / arb(2).sqrt()).erfc() / 2


def ternary(threshold: fmpq | str | None = None, scale: fmpq | str = "least_squares") -> tuple[arb, arb]:
    """The ternary quantiser; no threshold is BitNet's."""
    t = _threshold(threshold)
    inside, above = density(t), tail(t)
    if isinstance(scale, str):
        s = inside / above if scale == "least_squares" else (2 / arb.pi()).sqrt()
    else:
        s = arb(scale)
    return 2 * s * inside, 2 * s**2 * above


def _threshold(threshold: fmpq | str | None) -> arb:
    if threshold is None or threshold == "half_mean_abs":
        return 1 / (2 * arb.pi()).sqrt()
    if threshold == "twn":
        return fmpq(7, 10) * (2 / arb.pi()).sqrt()
    if threshold == "optimal":
        return best_threshold()
    return arb(threshold)


def best_threshold() -> arb:
    """The root of φ(t) = 2t(1−Φ(t)): a change of sign around Newton's approximation."""
    equation = lambda t: density(t) - 2 * t * tail(t)  # noqa: E731
    t = arb(optimal_threshold())
    for _ in range(NEWTON):
        step = equation(t) / (t * density(t) - 2 * tail(t))
        t = (t - step).mid()
        if abs(step) < arb(2) ** (4 - ctx.prec):
            break
    reach = arb(2) ** (12 - ctx.prec)
    # Newton's last step was below 2^(4 − prec): a root that is not within so much more is none.
    if not equation(t - reach) > 0 > equation(t + reach):
        raise Incomplete("the best threshold is not enclosed at this precision")
    return arb(t, reach)


def uniform(bits: fmpq, scale: fmpq | str, entries: Any = None) -> tuple[arb, arb]:
    """2m + 1 levels kΔ, cell by cell: c = 2ΣΔk·∫xφ, v = 2Σ(Δk)²∫φ."""
    del entries
    step = (2 / arb.pi()).sqrt() if isinstance(scale, str) else arb(scale)
    steps = 2 ** (int(bits) - 1) - 1
    if steps * ctx.prec > MOST_WORK:
        raise Incomplete(f"{steps} levels at {ctx.prec} bits: take fewer digits, or the float64 law")
    # The edges (k + ½)Δ, k = 0..m−1; the last cell has no end.
    edges = [step * fmpq(2 * k + 1, 2) for k in range(steps)]
    first, mass = [density(edge) for edge in edges], [tail(edge) for edge in edges]
    # Summed by parts: the level rises by Δ at each edge.
    c = 2 * step * sum(first, arb(0))
    v = 2 * step**2 * sum((mass[k] * (2 * k + 1) for k in range(steps)), arb(0))
    return c, v


def lloyd_max(bits: fmpq) -> tuple[arb, arb]:
    """c = v = 2Σ level²·mass at the verified codebook."""
    thresholds = lloyd_max_thresholds(int(bits))
    levels, masses = centroids(thresholds)
    kept = 2 * sum((level**2 * mass for level, mass in zip(levels, masses, strict=True)), arb(0))
    return kept, kept


def centroids(thresholds: list[arb]) -> tuple[list[arb], list[arb]]:
    """Mean of w in each cell of the half-line, and the cell's mass."""
    first = [density(arb(0)), *map(density, thresholds), arb(0)]
    above = [arb(fmpq(1, 2)), *map(tail, thresholds), arb(0)]
    masses = [a - b for a, b in itertools.pairwise(above)]
    moments = [a - b for a, b in itertools.pairwise(first)]
    return [m / mass for m, mass in zip(moments, masses, strict=True)], masses


def lloyd_max_thresholds(bits: int) -> list[arb]:
    """The thresholds, by Newton's method in high precision and Krawczyk's test of a box around it.

    Each threshold is the middle of its neighbouring levels, each level the mean of its cell; for a
    log-concave density there is only one such codebook (Fleischer 1964).

    Raises:
      Incomplete: where the test fails, for want of precision.
    """
    point = [arb(float(t)) for t in codebook(bits)[0]]
    if not point:
        return []
    for _ in range(NEWTON):
        step = _solve(_slope(point), _residual(point))
        point = [(t - by).mid() for t, by in zip(point, step, strict=True)]
        largest = max(float(abs(by).upper()) for by in step)
        if largest == 0 or math.log2(largest) < 16 - ctx.prec:
            break
    return _verified(point, bits)


def _verified(point: list[arb], bits: int) -> list[arb]:
    """Krawczyk's operator maps the box into itself: one solution lies in its image."""
    size = len(point)
    dense = np.zeros((size, size))
    for offset, diagonal in zip((-1, 0, 1), _slope(point), strict=True):
        dense += np.diag([float(entry.mid()) for entry in diagonal], offset)
    # Any approximate inverse will do; a float64 one contracts by 1e-12.
    inverse = arb_mat(np.linalg.inv(dense).tolist())
    reach = arb(0, arb(2) ** (40 - ctx.prec))
    box = [t + reach for t in point]
    spread = arb_mat(np.eye(size).tolist()) - inverse * _dense(_slope(box))
    image = _column(point) - inverse * _column(_residual(point)) + spread * _column([reach] * size)
    if not all(box[i].contains_interior(image[i, 0]) for i in range(size)):
        raise Incomplete(f"the {bits}-bit codebook is not enclosed at this precision")
    return [image[i, 0] for i in range(size)]


def _residual(thresholds: list[arb]) -> list[arb]:
    levels = centroids(thresholds)[0]
    return [t - (a + b) / 2 for t, a, b in zip(thresholds, levels[:-1], levels[1:], strict=True)]


def _slope(thresholds: list[arb]) -> tuple[list[arb], list[arb], list[arb]]:
    """Lower, main and upper diagonal of the Jacobian: a cell's mean moves by φ(end)·|end − mean|/mass."""
    levels, masses = centroids(thresholds)
    at = [density(t) for t in thresholds]
    below = [d * (t - levels[i]) / masses[i] / 2 for i, (d, t) in enumerate(zip(at, thresholds, strict=True))]
    above = [
        d * (levels[i + 1] - t) / masses[i + 1] / 2
        for i, (d, t) in enumerate(zip(at, thresholds, strict=True))
    ]
    # Level i+1 stands between thresholds i and i+1 and moves with both.
    return (
        [-a for a in above[:-1]],
        [1 - a - b for a, b in zip(below, above, strict=True)],
        [-b for b in below[1:]],
    )


def _solve(diagonals: tuple[list[arb], list[arb], list[arb]], right: list[arb]) -> list[arb]:
    """The tridiagonal system, by elimination."""
    low, main, high = diagonals
    pivots, values = [main[0]], [right[0]]
    for i in range(1, len(main)):
        factor = low[i - 1] / pivots[-1]
        pivots.append(main[i] - factor * high[i - 1])
        values.append(right[i] - factor * values[-1])
    solution = [values[-1] / pivots[-1]]
    for i in range(len(main) - 2, -1, -1):
        solution.append((values[i] - high[i] * solution[-1]) / pivots[i])
    return solution[::-1]


def _dense(diagonals: tuple[list[arb], list[arb], list[arb]]) -> arb_mat:
    low, main, high = diagonals
    rows = [[arb(0)] * len(main) for _ in main]
    for i, entry in enumerate(main):
        rows[i][i] = entry
    for i, (below, above) in enumerate(zip(low, high, strict=True)):
        rows[i + 1][i], rows[i][i + 1] = below, above
    return arb_mat(rows)


def _column(entries: list[arb]) -> arb_mat:
    return arb_mat([[entry] for entry in entries])
