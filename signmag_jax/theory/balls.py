"""The laws in ball arithmetic, as textbooks print them: where a form cancels, precision is raised instead.

Every function takes exact rationals (`fmpq`) and works at the precision of python-flint's context. Nothing
here is shared with the stable float64 forms, so their agreement is evidence.
"""

from collections.abc import Callable
from typing import Any

from flint import arb, fmpq

from signmag_jax.evidence import invalid


def kappa(c: arb, v: arb) -> arb:
    """κ = √v(sin θ + (π−θ)cos θ)/(2π), cos θ = c/√v."""
    cosine = c / v.sqrt()
    theta = cosine.acos()
    return v.sqrt() * ((1 - cosine**2).sqrt() + (arb.pi() - theta) * cosine) / (2 * arb.pi())


def flip(rate: fmpq) -> tuple[arb, arb]:
    """(c, v) of sign flips."""
    return arb(1 - 2 * rate), arb(1)


def shift(size: arb) -> tuple[arb, arb]:
    """(c, v) of a magnitude shift."""
    b = (2 / arb.pi()).sqrt()
    return 1 + size * b, 1 + 2 * size * b + size**2


def matched(rate: fmpq) -> tuple[arb, arb]:
    """(c, v) of the magnitude shift of size 2√rate."""
    return shift(2 * arb(rate).sqrt())


def noise(size: fmpq) -> tuple[arb, arb]:
    """(c, v) of magnitude noise."""
    return arb(1), arb(1 + size * size)


def sign() -> tuple[arb, arb]:
    """(c, v) of the sign quantiser."""
    return 2 / arb.pi(), 2 / arb.pi()


def ternary(threshold: fmpq | None = None, scale: fmpq | str = "least_squares") -> tuple[arb, arb]:
    """(c, v) of the ternary quantiser; no threshold is BitNet's."""
    t = 1 / (2 * arb.pi()).sqrt() if threshold is None else arb(threshold)
    density = (-(t**2) / 2).exp() / (2 * arb.pi()).sqrt()
    tail = (t / arb(2).sqrt()).erfc() / 2
    if isinstance(scale, str):
        s = density / tail if scale == "least_squares" else (2 / arb.pi()).sqrt()
    else:
        s = arb(scale)
    return 2 * s * density, 2 * s**2 * tail


def transverse(pair: tuple[arb, arb]) -> arb:
    """T = v/2 − 2κ²."""
    return pair[1] / 2 - 2 * kappa(*pair) ** 2


def energy(pair: tuple[arb, arb]) -> arb:
    """e = v/2 + ½ − 2κ."""
    return pair[1] / 2 + arb(fmpq(1, 2)) - 2 * kappa(*pair)


def transverse_ratio(rate: fmpq) -> arb:
    """A(p)."""
    return transverse(flip(rate)) / transverse(matched(rate))


def paper_transverse_ratio(rate: fmpq) -> arb:
    """The paper's closed form."""
    return arb.pi() / (arb.pi() - 2) * (1 - rate) * (1 - 4 * arb(rate).sqrt() / (3 * arb.pi()))


def paper_transverse_ratio_as_printed(rate: fmpq) -> arb:
    """The expression behind the paper's printed column."""
    contraction = 4 * arb(rate).sqrt() / (3 * arb.pi())
    return (1 - rate + rate * contraction) / (1 - 2 / arb.pi()) * (1 - contraction)


def radial_fraction(
    perturbation: tuple[arb, arb], activation: str = "relu", scale: fmpq | None = None
) -> arb:
    """R = (E hδ)²/(E h² E δ²); the scale drops out."""
    del scale
    only(activation, "relu", "identity")
    c, v = perturbation
    if activation == "identity":
        return (c - 1) ** 2 / (v + 1 - 2 * c)
    return 2 * (kappa(c, v) - arb(fmpq(1, 2))) ** 2 / energy(perturbation)


def only(activation: str, *known: str) -> None:
    """Refuse an activation that has no ball.

    Raises:
      InvalidInput: naming those that have one.
    """
    if activation not in known:
        raise invalid(f"activation in {known} for an enclosure", activation, "choose one of these")


def cosine_squared(perturbation: tuple[arb, arb]) -> arb:
    """c²/v."""
    return perturbation[0] ** 2 / perturbation[1]


def lost(square: fmpq) -> arb:
    """1 − J(1 − 2α²)."""
    return 1 - 2 * kappa(arb(1 - 2 * square), arb(1))


def flip_amplification(alpha: fmpq, n: fmpq) -> arb:
    """R(α, n)."""
    return lost(alpha * alpha) / lost(1 / n)


def column_ratio(rate: fmpq, share: fmpq, fraction: fmpq) -> arb:
    """((1−f)/f)·D(2pσ)/D(2p(1−σ))."""
    return (1 - fraction) / fraction * lost(rate * share) / lost(rate * (1 - share))


def column_ratio_bound(fraction: fmpq, share: fmpq = fmpq(1, 2)) -> arb:
    """((1−f)/f)·max(1, σ/(1−σ))."""
    return arb((1 - fraction) / fraction * max(fmpq(1), share / (1 - share)))


def column_ratio_expansion(rate: fmpq, share: fmpq, fraction: fmpq) -> arb:
    """Its first two terms in √p."""
    bend = 4 / (3 * arb.pi()) * (arb(share).sqrt() - arb(1 - share).sqrt())
    return (1 - fraction) / fraction * share / (1 - share) * (1 - bend * arb(rate).sqrt())


def _plain(pair: tuple[arb, arb], state: Any) -> tuple[Any, arb]:
    c, v = pair
    q = 2 * kappa(c * (arb(1) if state is None else state), v) / v.sqrt()
    return q, 1 - q**2


def _renormalised(pair: tuple[arb, arb], state: Any) -> tuple[Any, arb]:
    c, v = pair
    before = arb(1) if state is None else state
    q = (before + kappa(c * before, v)) / (arb(fmpq(3, 2)) * (1 + v / 2)).sqrt()
    return q, 1 - q**2


def _residual(pair: tuple[arb, arb], state: Any) -> tuple[Any, arb]:
    c, v = pair
    power, other, cross, mean, mean_other = state or (arb(1), arb(1), arb(1), arb(0), arb(0))
    unit, scale = 1 / (2 * arb.pi()).sqrt(), v.sqrt()
    # At the start the cosine is exactly 1; written as a quotient its ball would cross 1.
    cosine = cross / (power * other).sqrt() if state else arb(1)
    cross = cross + kappa(c * cosine, v) + mean * scale * unit + mean_other * unit
    power = power + arb(fmpq(1, 2)) + 2 * mean * unit
    other = other + v / 2 + 2 * mean_other * scale * unit
    return (power, other, cross, mean + unit, mean_other + scale * unit), other - cross**2 / power


_STEPS: dict[str, Callable[..., tuple[Any, arb]]] = {
    "plain": _plain,
    "renormalised": _renormalised,
    "residual": _residual,
}


def chain_ratios(
    rate: fmpq,
    depth: fmpq,
    chain: str = "plain",
    layers: str = "all",
    activation: str = "relu",
    scale: fmpq | None = None,
) -> list[arb]:
    """One ratio a layer, at unit scale."""
    only(activation, "relu")
    if scale is not None and scale != 1:
        raise invalid("scale = 1 for an enclosure", str(scale), "leave it out")
    columns = []
    for pair in (flip(rate), matched(rate)):
        state, column = None, []
        for layer in range(int(depth)):
            here = pair if layers == "all" or layer == 0 else (arb(1), arb(1))
            state, value = _STEPS[chain](here, state)
            column.append(value)
        columns.append(column)
    return [a / b for a, b in zip(*columns, strict=True)]


def depth_ratios(
    rate: fmpq,
    depth: fmpq,
    residual: bool = False,
    activation: str = "relu",
    layers: str = "all",
    scale: fmpq | None = None,
) -> list[arb]:
    """One ratio a layer."""
    return chain_ratios(rate, depth, "residual" if residual else "plain", layers, activation, scale)


def finite_width_slope(rate: fmpq) -> arb:
    """−6κ√(p(1−p))/(πT)."""
    c, v = flip(rate)
    return -6 * kappa(c, v) * arb(rate * (1 - rate)).sqrt() / (arb.pi() * transverse((c, v)))


BALLS: dict[str, Callable[..., Any]] = {
    "transverse_ratio": transverse_ratio,
    "paper_transverse_ratio": paper_transverse_ratio,
    "paper_transverse_ratio_as_printed": paper_transverse_ratio_as_printed,
    "paper_transverse_ratio_error": lambda rate: paper_transverse_ratio(rate) - transverse_ratio(rate),
    "transverse_ratio_limit": lambda: arb.pi() / (arb.pi() - 2),
    "transverse_ratio_root_coefficient": lambda: -4 / (3 * arb.pi()) * (1 - (1 - 2 / arb.pi()).sqrt()),
    "radial_fraction": radial_fraction,
    "cosine_squared": cosine_squared,
    "sign_cosine_squared": lambda: 2 / arb.pi(),
    "flip_matrix_radial_fraction": lambda rate, rows: arb(rate + (1 - rate) / rows),
    "noise_matrix_radial_fraction": lambda rows: arb(1 / rows),
    "noise_to_flip_ratio": lambda rate: arb(1 / (1 - rate)),
    "flip_to_shift_ratio": lambda rate: (1 - rate) * arb.pi() / (arb.pi() - 2),
    "depth_ratios": depth_ratios,
    "chain_ratios": chain_ratios,
    "depth_floor": lambda: ((arb.pi() / (arb.pi() - 2)).log() * fmpq(2, 3)).exp(),
    "finite_width_slope": finite_width_slope,
    "flip_amplification": flip_amplification,
    "column_ratio": column_ratio,
    "column_ratio_bound": column_ratio_bound,
    "column_ratio_expansion": column_ratio_expansion,
}
"""The laws that have a closed form or a finite recursion, by name."""

PAIRS: dict[str, Callable[..., tuple[arb, arb]]] = {
    "SignFlip": flip,
    "MagnitudeShift": lambda size: shift(arb(size)),
    "matched_shift": matched,
    "MagnitudeNoise": noise,
    "SignQuantize": sign,
    "Ternarize": ternary,
}
"""(c, v) of the perturbations, by class name, from exact arguments."""
