"""The 1/n term of an error in ball arithmetic, from the fourth cumulants κ₄₀, …, κ₀₄ of (w, w')."""

from flint import arb, fmpq

from .activations import kappa
from .energies import transverse
from .pairs import Pair, flip, matched

Cumulants = tuple[arb, arb, arb, arb, arb]


def flip_cumulants(rate: fmpq) -> Cumulants:
    """E w²w'² − v − 2c² = 3 − 1 − 2(1 − 2p)², the others 0."""
    none = arb(0)
    return none, none, arb(2 - 2 * (1 - 2 * rate) ** 2), none, none


def shift_cumulants(size: arb) -> Cumulants:
    """From E|w| = b, E|w|³ = 2b: the moments E w^i(w + εsign w)^j less their Gaussian parts."""
    b = (2 / arb.pi()).sqrt()
    c, v = 1 + b * size, 1 + 2 * b * size + size**2
    odd = [b, arb(1), 2 * b, arb(3)]
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
    unit = 1 / (2 * arb.pi() * d.sqrt())
    tail = (c**2 - d) * unit
    k40, k31, k22, k13, k04 = cumulants
    bent = k40 * tail - 4 * k31 * c * unit + 6 * k22 * unit - 4 * k13 * c / v * unit + k04 * tail / v**2
    return -4 * kappa(c, v) * (bent / 24) / transverse(pair)


def flip_change(rate: fmpq) -> arb:
    """Of flips."""
    return change(flip(rate), flip_cumulants(rate))


def shift_change(rate: fmpq) -> arb:
    """Of the shift of the same norm."""
    return change(matched(rate), shift_cumulants(2 * arb(rate).sqrt()))


def ratio_change(rate: fmpq) -> arb:
    """ΔA/A for each unit of Σ x_j⁴."""
    return flip_change(rate) - shift_change(rate)


def shift_transverse(rate: fmpq, fourth: fmpq) -> arb:
    """T of the shift at this Σ x_j⁴, to first order in it."""
    return transverse(matched(rate)) * (1 + fourth * shift_change(rate))
