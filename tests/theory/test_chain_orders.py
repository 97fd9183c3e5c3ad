"""The first order in 1/n of plain chains by sampling: n rows of one layer at a time, all others infinite.

To first order in 1/n what the rows of different layers do adds up, so that the orders are told apart: of one
layer, the states are n Gaussian pairs of the cosine that infinitely wide layers leave, the weights of a row
behind it are drawn and perturbed, and later layers map the cosine. Nothing is expanded in cumulants: means of
polynomials of a row, which are known, and sums over the states only take noise away.
"""

import math
from typing import NamedTuple

import numpy as np
import pytest

from signmag_jax import theory
from signmag_jax.theory.arguments import weight_cumulants
from signmag_jax.theory.depth import layer_weights
from signmag_jax.theory.depth_slope import slope_left_out

BATCH, ROWS, STEP = 20_000, 4, 1e-4
POWERS = [(2, 0), (1, 1), (0, 2), (4, 0), (3, 1), (2, 2), (1, 3), (0, 4)]


class Law(NamedTuple):
    """Of weights: how they are drawn, and E|w|^k."""

    draw: object
    absolute: object


LAWS = {
    "uniform": Law(
        lambda rng, shape: (rng.random(shape, dtype=np.float32) * 2 - 1) * np.float32(math.sqrt(3)),
        lambda k: 3 ** (k / 2) / (k + 1),
    ),
    "laplace": Law(
        lambda rng, shape: (
            (
                rng.standard_exponential(shape, dtype=np.float32)
                - rng.standard_exponential(shape, dtype=np.float32)
            )
            / np.float32(math.sqrt(2))
        ),
        lambda k: math.gamma(k + 1) / 2 ** (k / 2),
    ),
}


class Error:
    """Flips of rate p, or the shift of equal norm."""

    def __init__(self, law, rate, flips):
        self.law, self.rate, self.flips, self.size = law, rate, flips, 2 * math.sqrt(rate)
        self.c, self.v = self.moment(1, 1), self.moment(0, 2)

    def __call__(self, rng, w):
        if self.flips:
            return np.where(rng.random(w.shape, dtype=np.float32) < self.rate, -w, w)
        return w + np.float32(self.size) * np.sign(w)

    def moment(self, i, j):
        """E w^i w'^j, i + j even."""
        absolute = self.law.absolute
        if self.flips:
            return absolute(i + j) * (1 - self.rate + (-1) ** j * self.rate)
        return sum(math.comb(j, r) * self.size**r * absolute(i + j - r) for r in range(j + 1))

    def next(self, q):
        """The cosine behind infinitely many rows."""
        theta = np.arccos(np.clip(self.c * q / math.sqrt(self.v), -1, 1))
        return (np.sin(theta) + (np.pi - theta) * np.cos(theta)) / np.pi

    def behind(self, layers, q=1.0):
        for _ in range(layers):
            q = self.next(q)
        return q


def dot(a, b):
    return np.einsum("ij,ij->i", a, b).astype(float)


def states(error, layer, n, rng):
    """Both unit inputs of what follows the layer, their cosine, and sums over rows with the mean 0."""
    g = rng.standard_normal((2, BATCH, n), dtype=np.float32)
    x = other = g[0]
    if layer:
        rho = error.c * error.behind(layer - 1) / math.sqrt(error.v)
        mixed = np.float32(rho) * g[0] + np.float32(math.sqrt(1 - rho**2)) * g[1]
        x, other = np.maximum(g[0], 0), np.maximum(mixed, 0)
    square, across, product = dot(x, x), dot(other, other), dot(x, other)
    sums = [2 * square / n - 1, 2 * across / n - 1, 2 * product / n - error.behind(layer)] if layer else []
    units = [
        each / np.sqrt(norm)[:, None].astype(np.float32) for each, norm in ((x, square), (other, across))
    ]
    return *units, product / np.sqrt(square * across), sums


def polynomials(error, z, moved, x, other, cosine):
    """z^a z'^b less its mean, which pairs of factors and what one entry has beyond them make."""
    c, v = error.c * cosine, error.v
    pairs = {(2, 0): 1, (1, 1): c, (0, 2): v, (4, 0): 3, (3, 1): 3 * c, (2, 2): v + 2 * c**2}
    pairs |= {(1, 3): 3 * c * v, (0, 4): 3 * v**2}
    one, two = error.c, error.v
    entry = {(4, 0): 3, (3, 1): 3 * one, (2, 2): two + 2 * one**2, (1, 3): 3 * one * two, (0, 4): 3 * two**2}
    xx, xo, oo = x * x, x * other, other * other
    sums = {
        (4, 0): dot(xx, xx),
        (3, 1): dot(xx, xo),
        (2, 2): dot(xo, xo),
        (1, 3): dot(xo, oo),
        (0, 4): dot(oo, oo),
    }
    for a, b in POWERS:
        beyond = (error.moment(a, b) - entry[a, b]) * sums[a, b] if a + b == 4 else 0
        yield z**a * moved**b - pairs[a, b] - beyond


def of_layer(error, layer, depth, n, count, rng):
    """Batches of n(E sin²/sin² − 1) behind `depth` layers, for n rows of one; of layer 0, the input."""
    last = error.behind(depth)
    sine, found, slopes = 1 - last**2, [], None
    if layer < depth:
        mean = error.behind(layer + 1)
        up, at, down = (1 - error.behind(depth - layer - 1, mean + d) ** 2 for d in (STEP, 0, -STEP))
        slope, bend = (up - down) / (2 * STEP), (up - 2 * at + down) / STEP**2
    while len(found) < count // BATCH:
        x, other, cosine, sums = states(error, layer, n, rng)
        if layer == depth:
            straight = sums[2] - last / 2 * (sums[0] + sums[1])
            found.append(np.mean(1 - cosine**2 - sine + 2 * last * straight))
            continue
        away, known = [], []
        for _ in range(ROWS):
            w = error.law.draw(rng, (BATCH, n))
            z, moved = dot(w, x), dot(error(rng, w), other)
            # A row and its negative: 2 relu(z) relu(z') in the mean.
            away.append((np.abs(z * moved) + z * moved) / 2 / math.sqrt(error.v) - mean)
            known.append([*polynomials(error, z, moved, x, other, cosine), *sums])
        away, known = np.array(away), np.array(known)
        if slopes is None:  # from draws of their own, which are not used again
            table = np.concatenate(list(known), axis=1).T
            slopes = np.linalg.lstsq(np.c_[table, np.ones(len(table))], away.ravel(), rcond=None)[0][:-1]
            continue
        left = away - np.einsum("k,rki->ri", slopes, known)
        # Of the square, different rows of the same states: what a single row scatters is in none of them.
        alone = away - np.einsum("k,rki->ri", slopes[: len(POWERS)], known[:, : len(POWERS)])
        square = (alone.sum(axis=0) ** 2 - (alone**2).sum(axis=0)) / (ROWS * (ROWS - 1))
        found.append(np.mean(slope * left.mean(axis=0) + bend / 2 * square))
    return n * np.array(found) / sine


def sampled(law, rate, depth, n, count):
    """n(C(n)/C − 1) with its standard error."""
    value, variance = 0.0, 0.0
    for flips in (True, False):
        error = Error(LAWS[law], rate, flips)
        for layer in range(depth + 1):
            batches = of_layer(error, layer, depth, n, count, np.random.default_rng([n, flips, layer]))
            value += batches.mean() * (1 if flips else -1)
            variance += batches.var(ddof=1) / len(batches)
    return value, math.sqrt(variance)


@pytest.mark.slow
@pytest.mark.parametrize(("law", "rate", "depth"), [("uniform", 0.3, 4), ("laplace", 0.5, 3)])
def test_every_layer_has_its_first_order(law, rate, depth):
    """And not that of averages over the flips of a row alone."""
    (narrow, error), (wide, other) = (
        sampled(law, rate, depth, n, count) for n, count in ((32, 400_000), (64, 800_000))
    )
    found, error = 2 * wide - narrow, math.hypot(2 * other, error)
    slope = theory.finite_width_depth_slope(rate, depth, law)[-1]
    left_out = slope_left_out(rate, depth, layer_weights(law, depth, weight_cumulants))[-1]
    print(f"{law}: {found:.3f} ± {error:.3f}, law {slope:.3f}, without what is added {slope - left_out:.3f}")
    assert 6 * error < abs(left_out), "too few rows to tell what is added"
    assert abs(found - slope) < 4 * error
    assert abs(found - (slope - left_out)) > 4 * error
