"""The 1/n term of an error in ball arithmetic, from the fourth cumulants κ₄₀, …, κ₀₄ of (w, w')."""

from flint import arb, fmpq

from signmag_jax.theory.arguments import check_known

from .activations import kappa
from .energies import transverse
from .pairs import Pair, flip, matched
from .weights import Weights, of

Cumulants = tuple[arb, arb, arb, arb, arb]


def flip_cumulants(rate: fmpq, weights: Weights | None = None) -> Cumulants:
    """E w²w'² − v − 2c² = E w⁴ − 1 − 2(1 − 2p)², and E w⁴ − 3, times 1 − 2p for odd powers of w'."""
    _, _, fourth = _known(weights)
    odd = (1 - 2 * rate) * (fourth - 3)
    return fourth - 3, odd, fourth - 1 - 2 * (1 - 2 * rate) ** 2, odd, fourth - 3


def _known(weights: Weights | None) -> tuple[arb, arb, arb]:
    b, third, fourth = of(weights)
    check_known(third, fourth)
    return b, arb(third), arb(fourth)


def shift_cumulants(size: arb, weights: Weights | None = None) -> Cumulants:
    """The cumulants from E|w|, E|w|³ and E w⁴: E w^i(w + εsign w)^j less their Gaussian parts."""
    b, third, fourth = _known(weights)
    c, v = 1 + b * size, 1 + 2 * b * size + size**2
    odd = [b, arb(1), third, fourth]
    # E|w|^i(|w| + ε)^j with i + j = 4.
    mixed = [
        odd[3],
        odd[3] + odd[2] * size,
        odd[3] + 2 * odd[2] * size + odd[1] * size**2,
        odd[3] + 3 * odd[2] * size + 3 * odd[1] * size**2 + odd[0] * size**3,
        odd[3] + 4 * odd[2] * size + 6 * odd[1] * size**2 + 4 * odd[0] * size**3 + size**4,
    ]
    gaussian = [arb(3), 3 * c, v + 2 * c**2, 3 * c * v, 3 * v**2]
    a, d, e, f, g = (m - n for m, n in zip(mixed, gaussian, strict=True))
    return a, d, e, f, g


def change(pair: Pair, cumulants: Cumulants) -> arb:
    """ΔT/T for each unit of Σ x_j⁴: T = v/2 − 2κ², Δκ from E δδ' = 1/(2π√D) and its like."""
    c, v = pair
    d = v - c**2
    # E h'² = v/2 for every symmetric z', Gaussian or not: only κ moves.
    unit = 1 / (2 * arb.pi() * d.sqrt())
    tail = (c**2 - d) * unit
    k40, k31, k22, k13, k04 = cumulants
    bent = k40 * tail - 4 * k31 * c * unit + 6 * k22 * unit - 4 * k13 * c / v * unit + k04 * tail / v**2
    return -4 * kappa(c, v) * (bent / 24) / transverse(pair)


def flip_change(rate: fmpq, weights: Weights | None = None) -> arb:
    """ΔT/T of flips for each unit of Σ x_j⁴."""
    return change(flip(rate), flip_cumulants(rate, weights))


def shift_change(rate: fmpq, weights: Weights | None = None) -> arb:
    """ΔT/T of the shift of the same norm for each unit of Σ x_j⁴."""
    return change(matched(rate, weights), shift_cumulants(2 * arb(rate).sqrt(), weights))


def ratio_change(rate: fmpq, weights: Weights | None = None) -> arb:
    """ΔA/A for each unit of Σ x_j⁴."""
    return flip_change(rate, weights) - shift_change(rate, weights)


def finite_ratio(rate: fmpq, kernel: arb, fourth: fmpq, weights: Weights | None = None) -> arb:
    """(½ − 2(E κ)²)/T(shift): flips of Gaussian weights of this mean kernel, and the shift, at this Σ x_j⁴.

    Of other weights the kernel leaves its value at infinite width E w⁴/3 times as far.
    """
    wider = _known(weights)[2] / 3
    mean = wider * kernel + (1 - wider) * kappa(*flip(rate))
    shift = transverse(matched(rate, weights)) * (1 + fourth * shift_change(rate, weights))
    return (arb(fmpq(1, 2)) - 2 * mean**2) / shift
