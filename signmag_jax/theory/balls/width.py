"""Finite width in ball arithmetic: the average of κ over the flips of a row, in closed form.

For an input on the sphere q | K ~ Beta(K/2, (n−K)/2), and with q = sin²t the kernel is
κ = sin t cos t/π + (½ − t/π)(1 − 2sin²t). Integration by parts gives, for 0 < K < n,
E[t cos 2t | K] = (1 − 2K/n)A_K − (2/n)M_K with A_K = E[t | K] and M_K = E[sin t cos t | K], and
A_{K+2} − A_K = B((K+1)/2, (n−K−1)/2)/(K B(K/2, (n−K)/2)), A_2 = B(½, (n−1)/2)/2 and A_K + A_{n−K} = π/2.
Nothing here is an integral.
"""

from flint import arb, fmpq

from signmag_jax.evidence import invalid
from signmag_jax.theory.arguments import check_known, check_many_flips

from .cumulants import finite_ratio, ratio_change
from .theorem_3 import transverse_ratio
from .weights import Weights, check_own_law, of

MOST_INPUTS = 65_536


def _check_inputs(n: int) -> None:
    if n > MOST_INPUTS:
        raise invalid(f"n <= {MOST_INPUTS} for an enclosure", n, "the sum has n terms")


def mean_angles(n: int) -> list[arb]:
    """A_K = E[asin √q | K], K = 0..n."""
    rises = [_beta(fmpq(1, 2), fmpq(n - 1, 2)) / 2]  # A_2 − A_0
    # B((K+1)/2, (n−K−1)/2)/(K B(K/2, (n−K)/2)) for K = 1..n−3, each from the one before the last.
    for k in range(1, n - 2):
        if k < 3:
            rises.append(_beta(fmpq(k + 1, 2), fmpq(n - k - 1, 2)) / (k * _beta(fmpq(k, 2), fmpq(n - k, 2))))
        else:
            rises.append(rises[k - 2] * fmpq((k - 1) * (n - k), (n - k - 1) * k))
    result = [arb(0)] * (n + 1)
    result[n] = arb.pi() / 2
    for k in range(2, n, 2):
        result[k] = result[k - 2] + rises[k - 2]
    if n % 2:
        for k in range(1, n, 2):
            result[k] = arb.pi() / 2 - result[n - k]
    elif n > 1:
        # A_1 + A_{n−1} = π/2, and A_{n−1} − A_1 is the sum of the rises between them.
        result[1] = (arb.pi() / 2 - sum(rises[1 : n - 2 : 2], arb(0))) / 2
        for k in range(3, n, 2):
            result[k] = result[k - 2] + rises[k - 2]
    return result


def _beta(a: fmpq, b: fmpq) -> arb:
    return arb.gamma_fmpq(a) * arb.gamma_fmpq(b) / arb.gamma_fmpq(a + b)


def mean_kernels(n: int) -> list[arb]:
    """E[κ | K], K = 0..n: ½ without a flip and 0 where all are flipped."""
    angles = mean_angles(n)
    result = [arb(fmpq(1, 2))]
    products: list[arb] = [arb(0)]
    for k in range(1, n):
        # M_K = B((K+1)/2, (n−K+1)/2)/B(K/2, (n−K)/2), each from the one before the last.
        if k < 3:
            product = _beta(fmpq(k + 1, 2), fmpq(n - k + 1, 2)) / _beta(fmpq(k, 2), fmpq(n - k, 2))
        else:
            product = products[k - 2] * fmpq((k - 1) * (n - k), (n - k + 1) * (k - 2))
        products.append(product)
        tilt = fmpq(n - 2 * k, n)
        turned = tilt * angles[k] - fmpq(2, n) * product
        result.append(product / arb.pi() + tilt / 2 - turned / arb.pi())
    result.append(arb(0))
    return result


def mean_kernel(rate: fmpq, n: int) -> arb:
    """E κ over K ~ Bin(n, p)."""
    _check_inputs(n)
    weight = arb(1 - rate) ** n
    odds, total = arb(rate / (1 - rate)), arb(0)
    for k, kernel in enumerate(mean_kernels(n)):
        total += weight * kernel
        if k < n:
            weight = weight * odds * fmpq(n - k, k + 1)
    return total


def finite_width_ratio(rate: fmpq, n: fmpq, weights: Weights | None = None) -> arb:
    """(½ − 2(E κ)²)/T(shift)."""
    check_own_law(weights, rate, (n + 2) / 3)
    return finite_ratio(rate, mean_kernel(rate, int(n)), 3 / n, weights)


def finite_width_saturation(n: fmpq) -> arb:
    """n(½ − E[κ | one flip]) − 1."""
    _check_inputs(int(n))
    return n * (fmpq(1, 2) - mean_kernels(int(n))[1]) - 1


def finite_width_slope(rate: fmpq, weights: Weights | None = None) -> arb:
    """Three times the change of the ratio for each Σ x_j⁴, which is 3/n."""
    return 3 * ratio_change(rate, weights)


def finite_width_expansion(rate: fmpq, n: fmpq, weights: Weights | None = None) -> arb:
    """A(p)(1 + slope/n)."""
    check_many_flips(float(rate), float(n + 2) / 3)
    check_own_law(weights, rate, (n + 2) / 3)
    return transverse_ratio(rate, weights) * (1 + finite_width_slope(rate, weights) / n)


def finite_width_saturation_expansion(n: fmpq, weights: Weights | None = None) -> arb:
    """−(4/(3π)) E|w|³/√n."""
    law = of(weights)
    check_known(law.third, law.fourth)
    return -4 / (3 * arb.pi()) * arb(law.third) / arb(n).sqrt()
