"""Bits where they matter: a width for every matrix by predicted damage, within a size, and what it costs."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any, Unpack

import numpy as np
from jaxtyping import Array, Float, Int

from signmag_jax.evidence import Estimate, InvalidInput, invalid
from signmag_jax.evidence.compiling import jit
from signmag_jax.evidence.counts import counting
from signmag_jax.models import LanguageModel, Llama, ModelConfig

from . import inputs, slopes
from .inputs import Windows
from .knapsack import Packing
from .metrics import check_draws, window_means
from .plan_costs import AIMS, TRIALS, Aim, derivatives, packed
from .plan_items import Items, Rounded, rounding
from .planned import MeasuredWidths, Plan, PlannedMatrix
from .protected import METRICS
from .setup import Options, Setup, prepare
from .sweep import Row
from .trial import DIVERGENCE, LOSS, STORED, averages, interval
from .trials import Cell
from .widths import TERNARY, WIDTHS, check_widths, fewest_bits

# 4 bits, and a scale of 16 for each group of 32.
BITS = 4.5
DRAWS = 2


@counting
def plan(
    model: LanguageModel,
    calibration: Windows,
    evaluation: Windows,
    *,
    bits: float = BITS,
    widths: Sequence[str] = tuple(WIDTHS),
    aim: Aim = "kl",
    draws: int = DRAWS,
    batch: int | None = None,
    **options: Unpack[Options],
) -> Plan:
    """Give every matrix a width by the damage predicted of it, within a size, and measure what that costs.

    The predicted cost of a matrix at a width is `½ δᵀGδ`, δ the error that its quantiser makes and G the
    diagonal of the Gauss–Newton matrix (one backward pass a window): the KL divergence to second order. The
    loss on a text has `g·δ` besides, of either sign; what windows agree on carries over to more of the same
    text, at the price of a larger divergence. The costliest choices are tried alone, and what a trial finds
    far above its prediction replaces it. The widths are then the cheapest within the budget. Beside the plan
    stands one width everywhere, of the same size.

    Args:
      model: from `models.load`.
      calibration: windows that choose, without text in common with the others; at least 2.
      evaluation: windows that score, at least 8.
      bits: bits a weight of all matrices together, scales included: 16 for each group of 32.
      widths: some of ternary (a byte for five weights) and 2 to 8 (bits a weight).
      aim: what is to be small: the KL divergence, or the loss (nll) on texts like the calibration text.
      draws: random mixtures of the two widths around that size, where no single width has it.
      batch: number of windows that are computed at a time; by default all.
      options: as in `Options`.

    Raises:
      InvalidInput: for bits below those of the narrowest width, unknown widths, draws below 1, windows that
        are too few or overlap, or a loss that is not finite.
    """
    known = check_plan(bits, widths, draws)
    if aim not in AIMS:
        raise invalid(f"aim in {AIMS}", aim, "name one of them")
    own = {"experiment": "plan", "bits": bits, "widths": list(known), "aim": aim, "draws": draws}
    setup = prepare(model, calibration, evaluation, own, batch=batch, **options)
    items = Items.of(setup, known)
    # Of the decimal that was typed: as floats, 2.8 × 360 is less than 1008.
    budget = math.floor(Fraction(str(bits)) * items.weights)
    # Where a row is too short for its codes' bytes, no width may be the narrowest of all matrices; but beside
    # the plan stands one width everywhere.
    if budget < min(items.uniform):
        raise _too_few(bits, min(items.uniform) / items.weights)
    orders = derivatives(setup, items)
    packing, tried = packed(setup, items, orders, aim, budget)
    return _report(setup, items, orders, packing, tried, bits, budget, draws)


def check_plan(bits: float, widths: Sequence[str] = tuple(WIDTHS), draws: int = DRAWS) -> tuple[str, ...]:
    """The widths in order, as far as no model is needed to judge.

    Raises:
      InvalidInput: as `plan`.
    """
    if not 0 < bits <= 16:
        raise invalid("0 < bits <= 16", bits, "pass bits a weight, such as 4.5")
    check_draws(draws)
    known = check_widths((widths,) if isinstance(widths, str) else widths)
    if bits < (least := min(map(fewest_bits, known))):
        raise _too_few(bits, least)
    return known


def _too_few(bits: float, least: float) -> InvalidInput:
    smallest = math.ceil(1e4 * least) / 1e4
    return invalid(f"bits >= {smallest:g}", bits, "no narrower widths exist, or allow more of them")


def _mixtures(items: Items, budget: int, draws: int, seed: int) -> tuple[str, list[tuple[int, ...]]]:
    """One width everywhere, or two neighbouring ones at random, of at most that size."""
    count, totals = len(items.targets), items.uniform
    base = max(option for option, total in enumerate(totals) if total <= budget)
    named = [f"{width}{'' if width == TERNARY else ' bits'}" for width in items.widths]
    if base + 1 == len(totals) or totals[base] == budget:
        return f"{named[base]} everywhere", [(base,) * count]
    # At random, not by cost: what a size buys without knowing which matrices matter.
    drawn = []
    for draw in range(draws):
        options, room = [base] * count, budget - totals[base]
        for item in np.random.default_rng((seed, draw)).permutation(count):
            more = items.sizes[item][base + 1] - items.sizes[item][base]
            if more <= room:
                options[item], room = base + 1, room - more
        drawn.append(tuple(options))
    text = f"{named[base + 1]} in matrices drawn at random, {named[base]} in the others ({draws} draws)"
    return text, drawn


def _evaluated(
    setup: Setup, items: Items, choices: Sequence[Sequence[int]], first: int
) -> Float[np.ndarray, "choices metrics windows"]:
    """Window means of `STORED`; the first choice is that of the model as it is."""
    states = functools.partial(_states, setup.model.config, setup.model.params)

    @functools.cache
    def clean() -> list[Array]:
        """Computed when first needed, by the same program."""
        return [states(tokens, rounding(setup, items, {})) for tokens in setup.batches]

    def task(options: Sequence[int]) -> Row:
        transform = rounding(setup, items, dict(enumerate(options)))
        return window_means(setup, clean(), lambda tokens: states(tokens, transform), STORED)

    tasks: list[Callable[[], Row]] = [functools.partial(task, options) for options in choices]
    rows = setup.sweep(tasks, first, len(STORED) * len(setup.evaluation))
    return np.stack(rows).reshape(len(tasks), len(STORED), -1)


@functools.partial(jit, static_argnums=0)
def _states(
    config: ModelConfig, params: dict[str, Any], tokens: Int[Array, "batch window"], transform: Rounded
) -> Float[Array, "batch window hidden"]:
    return Llama.of_parameters(config, params).run(tokens, transform)[0]


def _report(
    setup: Setup,
    items: Items,
    orders: Float[np.ndarray, "orders calibration items widths"],
    packing: Packing,
    tried: Mapping[Cell, Row],
    bits: float,
    budget: int,
    draws: int,
) -> Plan:
    what, mixtures = _mixtures(items, budget, draws, setup.seed)
    # Behind the windows and all trials that there may be.
    first = len(setup.calibration) + 1 + TRIALS
    rows = _evaluated(setup, items, [(), packing.options, *mixtures], first)
    inputs.check_finite(rows[0].T)
    picked = orders[:, :, np.arange(len(packing.options)), list(packing.options)]
    slope, cost = (
        slopes.mean(each.sum(axis=-1)[None], "nat/token", f"{name}, over windows")
        for each, name in zip(picked, ("gradient", "Gauss–Newton diagonal"), strict=True)
    )
    error = slopes.standard_error(picked[1][None])
    matrices = tuple(
        PlannedMatrix(
            layer,
            name,
            items.shapes[item],
            items.widths[option],
            items.sizes[item][option],
            float(picked[1, :, item].mean()),
            float(error[item]),
            *_trial(tried.get((item, option))),
        )
        for item, ((layer, name), option) in enumerate(zip(items.targets, packing.options, strict=True))
    )
    tables = {"plan": rows[1:2], "uniform": rows[2:]}
    sizes = {"plan": float(packing.size), "uniform": float(np.mean([items.size(each) for each in mixtures]))}
    words = {"plan": "a width for each matrix", "uniform": what}
    sides = [MeasuredWidths(words[side], sizes[side], averages(table)) for side, table in tables.items()]
    samples = {
        metric: {side: table[:, STORED.index(metric)] for side, table in tables.items()} for metric in METRICS
    }
    return Plan(
        bits,
        items.weights,
        budget,
        packing.size,
        matrices,
        cost,
        slope,
        packing.cost,
        packing.bound,
        packing.exact,
        sides[0],
        sides[1],
        interval(rows[2:, LOSS] - rows[1:2, LOSS]),
        interval(rows[2:, DIVERGENCE] - rows[1:2, DIVERGENCE]),
        Estimate.of_samples(rows[0, 0], unit="nat/token", estimator="mean over windows"),
        samples,
        setup.origin(),
    )


def _trial(rises: Row | None) -> tuple[float | None, int]:
    """The mean ΔNLL of a trial, None where it is not finite, and how many windows have none."""
    if rises is None:
        return None, 0
    broken = int((~np.isfinite(rises)).sum())
    return None if broken else float(rises.mean()), broken
