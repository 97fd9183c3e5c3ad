"""E relu(z)relu(z') of a row of finite width by Edgeworth's expansion, from the moments of one weight alone.

Nothing of the package is used. For a unit input the characteristic function of (z, z') is
exp(Σ_m S_2m·K_2m) with S_2m = Σ x_j^2m and K_2m = Σ κ_ab (it)^a (iu)^b/(a! b!), the terms of degree 2m of
the logarithm of one weight's. An (it)^a (iu)^b on the Gaussian part is the mean of a derivative ∂_z^a ∂_z'^b,
and by the heat equation ∂_z² is 2∂_s, ∂_z ∂_z' is ∂_c and ∂_z'² is 2∂_v of the textbook kernel at covariance
s, c, v.
"""

import functools

import mpmath as mp
import sympy as sp

_S, _C, _V = sp.symbols("s c v", positive=True)


class Kernel:
    """κ = plain + S₄·fourth + S₆·sixth + S₄²·squared + …, each computed when it is asked for.

    Args:
      mixed: E w^i w'^j of the weights, i + j even.
    """

    def __init__(self, mixed):
        self._mixed = mixed

    @functools.cached_property
    def plain(self):
        return self._mean({(0, 0): mp.mpf(1)})

    @functools.cached_property
    def fourth(self):
        return self._mean(self._fourth)

    @functools.cached_property
    def sixth(self):
        two, four, six = (_terms(self._mixed, degree) for degree in (2, 4, 6))
        return self._mean(
            _sum(six, _product(two, four, -1), _product(_product(two, two), two, mp.mpf(1) / 3))
        )

    @functools.cached_property
    def squared(self):
        return self._mean(_product(self._fourth, self._fourth, mp.mpf(1) / 2))

    @property
    def _fourth(self):
        """Of the logarithm, log(1 + two + four + six) by degree."""
        two, four = (_terms(self._mixed, degree) for degree in (2, 4))
        return _sum(four, _product(two, two, -mp.mpf(1) / 2))

    def _mean(self, terms):
        return _mean(terms, self._mixed(1, 1), self._mixed(0, 2))


def flipped(p):
    """E w^i w'^j of Gaussian weights of which a share p changes sign."""
    return lambda i, j: absolute(i + j) * ((1 - p) + (-1) ** j * p)


def shifted(size):
    """E w^i w'^j of Gaussian weights that are moved away from 0 by size."""
    return lambda i, j: sum(mp.binomial(j, r) * size**r * absolute(i + j - r) for r in range(j + 1))


def absolute(k):
    """E|w|^k of a standard normal weight."""
    return mp.sqrt(mp.mpf(2) ** k / mp.pi) * mp.gamma(mp.mpf(k + 1) / 2)


def _terms(mixed, degree):
    return {
        (a, degree - a): mixed(a, degree - a) / (mp.factorial(a) * mp.factorial(degree - a))
        for a in range(degree + 1)
    }


def _product(left, right, factor=1):
    result = {}
    for (a, b), x in left.items():
        for (i, j), y in right.items():
            result[a + i, b + j] = result.get((a + i, b + j), 0) + factor * x * y
    return result


def _sum(*parts):
    return {key: sum(part[key] for part in parts) for key in parts[0]}


def _mean(terms, c, v):
    total = mp.mpf(0)
    for (a, b), coefficient in terms.items():
        odd = a % 2
        by_s, by_v = (a - odd) // 2, (b - odd) // 2
        total += coefficient * 2 ** (by_s + by_v) * _derivative(by_s, odd, by_v)(mp.mpf(1), c, v)
    return total


@functools.cache
def _derivative(by_s, by_c, by_v):
    textbook = (sp.sqrt(_S * _V - _C**2) + (sp.pi - sp.acos(_C / sp.sqrt(_S * _V))) * _C) / (2 * sp.pi)
    expression = sp.diff(textbook, (_S, by_s), (_C, by_c), (_V, by_v))
    return sp.lambdify((_S, _C, _V), expression, "mpmath")
