"""What each law of `theory.LAWS` is in symbols: its expression at exact arguments.

A form takes the arguments of its law by name: numbers as SymPy numbers, vectors as tuples of them, and a
perturbation as its two moments. Laws of several layers give a list. Averages over the flips of a row are
finite sums over masks, or over the number of flips with an integral over their share of an input.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product

import sympy as sp

from . import (
    blocks,
    columns,
    depth,
    depth_limits,
    depth_slope,
    energies,
    outliers,
    proposition_1,
    small_errors,
    theorem_3,
    width,
)
from .perturbations import Pair, magnitude_shift, matched_size, sign_flip, sign_quantize
from .rows import realignment
from .width import GAUSSIAN, AbsoluteMoments

Numbers = Sequence[sp.Expr]


def _pairs(rate: sp.Expr, b: sp.Expr = GAUSSIAN.b) -> tuple[Pair, Pair]:
    """Moments of the flips and of the shift of equal Frobenius norm."""
    return sign_flip(rate), magnitude_shift(matched_size(rate), b)


def _normalised(
    step: Callable[..., sp.Expr], rate: sp.Expr, layers: int, b: sp.Expr = GAUSSIAN.b
) -> list[sp.Expr]:
    """C_1 … C_L of a chain whose states are normalised."""
    flip, shift = sp.Integer(1), sp.Integer(1)
    ratios = []
    for _ in range(layers):
        flip, shift = (step(q, *pair) for q, pair in zip((flip, shift), _pairs(rate, b), strict=True))
        ratios.append(depth.plain_ratio(flip, shift))
    return ratios


def depth_ratios(rate: sp.Expr, depth: sp.Integer, weights: AbsoluteMoments = GAUSSIAN) -> list[sp.Expr]:
    """The ratios of the plain chain."""
    return _normalised(plain, rate, int(depth), weights.b)


def renormalised_ratios(rate: sp.Expr, depth: sp.Integer) -> list[sp.Expr]:
    """The ratios of the renormalised chain, V3."""
    return _normalised(skip, rate, int(depth))


plain, skip = depth.plain_step, depth.skip_step


def residual_ratios(rate: sp.Expr, depth: sp.Integer) -> list[sp.Expr]:
    """The ratios of the residual chain."""
    energies_ = [_stream(pair, int(depth)) for pair in _pairs(rate)]
    return [flip / shift for flip, shift in zip(*energies_, strict=True)]


def _stream(pair: Pair, layers: int) -> Iterator[sp.Expr]:
    """Transverse energies of the stream's difference after each layer."""
    c, v = pair
    cosines, q = sp.Integer(0), sp.Integer(1)
    for layer in map(sp.Integer, range(1, layers + 1)):
        cosines += depth.cosine_map(c * q / sp.sqrt(v))
        both = depth.residual_overlap(layer, cosines, v)
        clean, changed = (depth.residual_energy(layer, growth) for growth in (sp.Integer(1), v))
        q = both / sp.sqrt(clean * changed)
        yield depth.residual_transverse(clean, changed, both)


def finite_width_depth_slope(
    rate: sp.Expr, depth: sp.Integer, weights: AbsoluteMoments = GAUSSIAN
) -> list[sp.Expr]:
    """The change of E sin² of the flips per 1/n, less that of the shift."""
    flip, shift = _pairs(rate, weights.b)
    flips = _sine_changes(flip, width.flip_cumulants(rate, weights), int(depth))
    shifts = _sine_changes(shift, width.shift_cumulants(matched_size(rate), weights), int(depth))
    return [one - other for one, other in zip(flips, shifts, strict=True)]


def _sine_changes(pair: Pair, cumulants: width.FourthCumulants, layers: int) -> Iterator[sp.Expr]:
    """The relative change of E sin² per 1/n after each layer of the plain chain."""
    q, fourths, fluctuation = sp.Integer(1), depth_slope.SPHERE, depth_slope.STILL
    turn = pair.c / sp.sqrt(pair.v)
    for _ in range(layers):
        change = 2 / sp.sqrt(pair.v) * depth_slope.chain_kernel_change(cumulants, fourths, q, *pair)
        fluctuation = depth_slope.fluctuation_step(fluctuation, turn * q, turn, change)
        q, fourths = depth.plain_step(q, *pair), depth_slope.hidden_fourths(turn * q)
        yield depth_slope.sine_change(q, fluctuation)


def residual_limit(rate: sp.Expr, weights: AbsoluteMoments = GAUSSIAN) -> sp.Expr:
    flip, shift = _pairs(rate, weights.b)
    return depth_limits.residual_limit(flip.c, *shift)


def paper_transverse_ratio_error(rate: sp.Expr) -> sp.Expr:
    return theorem_3.paper_transverse_ratio(rate) - theorem_3.transverse_ratio(rate)


def _at_width(rate: sp.Expr, kernel: sp.Expr, fourth: sp.Expr, weights: AbsoluteMoments) -> sp.Expr:
    """A of flips of Gaussian weights with this mean of κ, and of the shift, to first order in this Σ x_j⁴."""
    flip, shift = _pairs(rate, weights.b)
    change = width.transverse_change(width.shift_cumulants(matched_size(rate), weights), *shift)
    wider = weights.fourth / 3
    flips = sp.Rational(1, 2) - 2 * (wider * kernel + (1 - wider) * energies.kappa(*flip)) ** 2
    return flips / (energies.transverse(*shift) * (1 + fourth * change))


def finite_width_ratio(rate: sp.Expr, n: sp.Integer, weights: AbsoluteMoments = GAUSSIAN) -> sp.Expr:
    """κ averaged over K ~ Bin(n, p) flips in a row, and over their share of the input."""
    k = sp.Symbol("k", integer=True, positive=True)
    chance = sp.binomial(n, k) * rate**k * (1 - rate) ** (n - k)
    kernel = (1 - rate) ** n * _kappa(sp.Integer(0)) + rate**n * _kappa(sp.Integer(1))
    kernel += sp.Sum(chance * _mean_on_sphere(_kappa, k, n), (k, 1, n - 1))
    return _at_width(rate, kernel, sp.Integer(3) / n, weights)


def finite_width_saturation(n: sp.Integer) -> sp.Expr:
    """−n E[g | one flip]/(2π), g = 2πκ − πc the gap at share q."""
    return (
        -n
        * _mean_on_sphere(lambda q: 2 * sp.pi * _kappa(q) - sp.pi * (1 - 2 * q), sp.Integer(1), n)
        / (2 * sp.pi)
    )


def _kappa(share: sp.Expr) -> sp.Expr:
    return energies.kappa(*sign_flip(share))


def _mean_on_sphere(function: Callable[[sp.Expr], sp.Expr], flips: sp.Expr, n: sp.Integer) -> sp.Expr:
    """E f(q), q ~ Beta(K/2, (n − K)/2), by q = sin² t."""
    t = sp.Symbol("t", real=True)
    density = 2 * sp.sin(t) ** (flips - 1) * sp.cos(t) ** (n - flips - 1)
    density /= sp.beta(flips / 2, (n - flips) / 2)
    return sp.Integral(function(sp.sin(t) ** 2) * density, (t, 0, sp.pi / 2))


def finite_width_expansion(rate: sp.Expr, n: sp.Integer, weights: AbsoluteMoments = GAUSSIAN) -> sp.Expr:
    return theorem_3.transverse_ratio(rate, weights.b) * (1 + width.finite_width_slope(rate, weights) / n)


def finite_width_saturation_expansion(n: sp.Integer, weights: AbsoluteMoments = GAUSSIAN) -> sp.Expr:
    return width.saturation_coefficient(weights) / sp.sqrt(n)


def _shares(x: Numbers) -> list[sp.Expr]:
    return [entry**2 / sp.Add(*(each**2 for each in x)) for entry in x]


def _fourth(x: Numbers) -> sp.Expr:
    return sp.Add(*(share**2 for share in _shares(x)))


def _mean_over_masks(function: Callable[[sp.Expr], sp.Expr], rate: sp.Expr, shares: Numbers) -> sp.Expr:
    """E f(q), q = Σ M_j share_j, over all masks of independent flips."""
    total = sp.Integer(0)
    for mask in product((0, 1), repeat=len(shares)):
        flips = sum(mask)
        weight = rate**flips * (1 - rate) ** (len(shares) - flips)
        total += weight * function(sp.Add(*(m * share for m, share in zip(mask, shares, strict=True))))
    return total


def profile_width_ratio(rate: sp.Expr, x: Numbers, weights: AbsoluteMoments = GAUSSIAN) -> sp.Expr:
    return _at_width(rate, _mean_over_masks(_kappa, rate, _shares(x)), _fourth(x), weights)


def profile_width_slope(rate: sp.Expr, x: Numbers, weights: AbsoluteMoments = GAUSSIAN) -> sp.Expr:
    return width.profile_slope(rate, weights) * _fourth(x)


def profile_width_expansion(rate: sp.Expr, x: Numbers, weights: AbsoluteMoments = GAUSSIAN) -> sp.Expr:
    return theorem_3.transverse_ratio(rate, weights.b) * (1 + profile_width_slope(rate, x, weights))


def finite_rows_radial_fraction(perturbation: Pair, rows: sp.Integer) -> sp.Expr:
    radial = energies.radial(*perturbation) + realignment(*perturbation) / rows
    return radial / energies.energy(*perturbation)


def finite_rows_ratio(rate: sp.Expr, rows: sp.Integer, weights: AbsoluteMoments = GAUSSIAN) -> sp.Expr:
    pairs = _pairs(rate, weights.b)
    flip, shift = (energies.transverse(*pair) - realignment(*pair) / rows for pair in pairs)
    return flip / shift


def _split(values: Numbers, pool: Sequence[bool]) -> tuple[list, list]:
    chosen = list(zip(values, pool, strict=True))
    return [value for value, inside in chosen if inside], [value for value, inside in chosen if not inside]


def pool_leverage(alpha_squared: Numbers, column_norm_squared: Numbers, pool: Sequence[bool]) -> sp.Expr:
    """Mean of α_j²‖W_·j‖² over the pool, over that outside: the law of small errors."""
    damages = [a * norm for a, norm in zip(alpha_squared, column_norm_squared, strict=True)]
    inside, outside = _split(damages, pool)
    return sp.Add(*inside) / len(inside) / (sp.Add(*outside) / len(outside))


def profile_pool_leverage(rate: sp.Expr, x: Numbers, pool: Sequence[bool]) -> sp.Expr:
    """E(1 − J(1 − 2q)) per weight, q the share of the flips in the pool, over that outside."""
    inside, outside = (
        _mean_over_masks(lambda q: outliers.flip_energy(sp.sqrt(q)), rate, shares) / len(shares)
        for shares in _split(_shares(x), pool)
    )
    return inside / outside


def radial_fraction_expansion(perturbation: Pair) -> sp.Expr:
    c, v = perturbation
    return small_errors.radial_fraction_expansion(c - 1, v - c**2)


def block_ratio(rate: sp.Expr, weights: AbsoluteMoments = GAUSSIAN, gated: str = "no") -> sp.Expr:
    """A block gated by ReLU, or not."""

    def transverse(pair: Pair) -> sp.Expr:
        whole = Pair(sp.Integer(1), sp.Integer(1))
        if gated == "no":
            return energies.transverse(*pair)
        return blocks.gated_transverse(whole if gated == "up" else pair, whole if gated == "gate" else pair)

    flip, shift = map(transverse, _pairs(rate, weights.b))
    return flip / shift


def centred_ratio(rate: sp.Expr) -> sp.Expr:
    """The ratio of a ReLU block behind LayerNorm."""
    flip, shift = (blocks.centred_transverse(*pair) for pair in _pairs(rate))
    return flip / shift


FORMS: dict[str, Callable] = {
    "transverse_ratio": theorem_3.transverse_ratio,
    "paper_transverse_ratio": theorem_3.paper_transverse_ratio,
    "paper_transverse_ratio_as_printed": theorem_3.paper_transverse_ratio_as_printed,
    "paper_transverse_ratio_error": paper_transverse_ratio_error,
    "transverse_ratio_limit": theorem_3.transverse_ratio_limit,
    "transverse_ratio_root_coefficient": theorem_3.transverse_ratio_root_coefficient,
    "transverse_ratio_rate_coefficient": theorem_3.transverse_ratio_rate_coefficient,
    "transverse_ratio_expansion": theorem_3.transverse_ratio_expansion,
    "block_ratio": block_ratio,
    "radial_fraction": lambda perturbation: energies.radial_fraction(*perturbation),
    "radial_fraction_expansion": radial_fraction_expansion,
    "cosine_squared": lambda perturbation: energies.cosine_squared(*perturbation),
    "sign_cosine_squared": lambda b=GAUSSIAN.b: energies.cosine_squared(*sign_quantize(b)),
    "flip_matrix_radial_fraction": lambda rate, rows: proposition_1.flip_matrix_radial_fraction(rate, rows),
    "noise_matrix_radial_fraction": lambda rows: proposition_1.noise_matrix_radial_fraction(rows),
    "noise_to_flip_ratio": proposition_1.noise_to_flip_ratio,
    "flip_to_shift_ratio": proposition_1.flip_to_shift_ratio,
    "depth_ratios": depth_ratios,
    "chain_ratios": depth_ratios,
    "depth_floor": depth_limits.depth_floor,
    "residual_limit": residual_limit,
    "residual_first_ratio": depth_limits.residual_first_ratio,
    "finite_width_ratio": finite_width_ratio,
    "finite_width_slope": width.finite_width_slope,
    "finite_width_expansion": finite_width_expansion,
    "finite_width_depth_slope": finite_width_depth_slope,
    "finite_width_saturation": finite_width_saturation,
    "finite_width_saturation_expansion": finite_width_saturation_expansion,
    "profile_width_ratio": profile_width_ratio,
    "profile_width_slope": profile_width_slope,
    "profile_width_expansion": profile_width_expansion,
    "finite_rows_ratio": finite_rows_ratio,
    "finite_rows_radial_fraction": finite_rows_radial_fraction,
    "flip_amplification": outliers.flip_amplification,
    "flip_amplification_expansion": outliers.flip_amplification_expansion,
    "pool_leverage": pool_leverage,
    "profile_pool_leverage": profile_pool_leverage,
    "column_ratio": columns.column_ratio,
    "column_ratio_bound": columns.column_ratio_bound,
    "column_ratio_expansion": columns.column_ratio_expansion,
}

# Of density e^(−√2|w|)/√2.
LAPLACE = AbsoluteMoments(1 / sp.sqrt(2), 3 / sp.sqrt(2), sp.Integer(6))
OPTIONS: dict[tuple[str, str, object], Callable] = {
    ("depth_ratios", "residual", True): residual_ratios,
    ("chain_ratios", "chain", "residual"): residual_ratios,
    ("chain_ratios", "chain", "renormalised"): renormalised_ratios,
    ("block_ratio", "norm", "layer"): centred_ratio,
    **{
        ("block_ratio", "gated", where): partial(block_ratio, gated=where) for where in ("both", "gate", "up")
    },
    **{
        (name, "weights", "laplace"): partial(form, **{argument: value})
        for name, form in FORMS.items()
        for argument, value in (("b", LAPLACE.b), ("weights", LAPLACE))
        if argument in inspect.signature(form).parameters
    },
}
"""Forms of a law with an option: (law, argument, value)."""

WITHOUT_FORM = {
    "network_ratio": "it is put together from its layers, each of which has one",
    "finite_width_depth_ratios": "averages over flips of rows, and a first order in 1/n: nothing is exact",
}
"""Laws that have no expression here, and why."""
