"""Bits where they matter: a width for every matrix by predicted damage, within a size, and what it costs."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from signmag_jax.evidence import Estimate, InvalidInput, invalid, keys
from signmag_jax.evidence.compiling import jit
from signmag_jax.evidence.counts import counting
from signmag_jax.evidence.precision import at_least_float32
from signmag_jax.models import LanguageModel, Llama, ModelConfig, fetch, window_nll

from . import curvature, inputs, slopes
from .curvature import WindowLoss
from .inputs import Windows
from .knapsack import Packing, pack
from .metrics import check_draws, window_means
from .planned import MeasuredWidths, Plan, PlannedMatrix
from .protected import METRICS
from .setup import Options, Setup, prepare
from .sweep import Row
from .trial import DIVERGENCE, LOSS, STORED, averages, interval
from .trials import Cell, with_trials
from .widths import TERNARY, WIDTHS, check_widths, fewest_bits, rounded, stored_bits

BITS = 4.5
DRAWS = 2
DERIVATIVE_PASSES = 6
"""Cost of a window's two backward passes, in forward passes."""
TRIALS, TRIAL_WINDOWS = 12, 2
"""Matrices that are quantised alone, and the calibration windows on which they are."""
AGREED = 2.0
"""Standard errors within which `g·δ` may be chance."""
Aim = Literal["kl", "nll"]
AIMS = ("kl", "nll")
Target = tuple[int, str]


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
    items = _Items.of(setup, known)
    # Of the decimal that was typed: as floats, 2.8 × 360 is less than 1008.
    budget = math.floor(Fraction(str(bits)) * items.weights)
    # Where a row is too short for its codes' bytes, no width may be the narrowest of all matrices; but beside
    # the plan stands one width everywhere.
    if budget < min(items.uniform):
        raise _too_few(bits, min(items.uniform) / items.weights)
    orders = _derivatives(setup, items)
    packing, tried = _packed(setup, items, orders, aim, budget)
    return _report(setup, items, orders, packing, tried, bits, budget, draws)


def _agreed(
    first: Float[np.ndarray, "windows items widths"], second: Float[np.ndarray, "windows items widths"]
) -> Float[np.ndarray, "items widths"]:
    """`g·δ` without what may be chance: all of it up to 2 standard errors, and less of what is larger.

    Its variance over windows is taken as proportional to `δᵀGδ`, as that of independent tokens is, by a
    factor that all matrices and widths share: few windows tell none of them apart.
    """
    mean, spread = first.mean(axis=0), second.mean(axis=0)
    own = first.var(axis=0, ddof=1) / len(first)
    seen = spread > 0
    # The median: a few heavy matrices would set a mean.
    factor = np.median(own[seen] / spread[seen]) if seen.any() else 0.0
    size = np.where(mean == 0, 1.0, mean**2)
    return mean * np.maximum(0.0, 1 - AGREED**2 * factor * spread / size)


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


@dataclass(frozen=True)
class _Items:
    """What is to be given a width.

    Args:
      widths: the options, from the narrowest.
      targets: layer and name of each matrix.
      shapes: outputs and inputs of each.
      sizes: bits of each at every width.
    """

    widths: tuple[str, ...]
    targets: tuple[Target, ...]
    shapes: tuple[tuple[int, int], ...]
    sizes: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, setup: Setup, widths: tuple[str, ...]) -> _Items:
        """The matrices that take part, name by name."""
        known = setup.model.config.shapes()
        targets = tuple((layer, name) for name in setup.matrices for layer in setup.layers)
        shapes = tuple((known[name][0], known[name][1]) for _, name in targets)
        sizes = tuple(tuple(stored_bits(width, shape) for width in widths) for shape in shapes)
        return cls(widths, targets, shapes, sizes)

    @property
    def weights(self) -> int:
        """How many there are in all."""
        return sum(rows * columns for rows, columns in self.shapes)

    @property
    def uniform(self) -> list[int]:
        """Bits of each width everywhere."""
        return [sum(each) for each in zip(*self.sizes, strict=True)]

    def size(self, options: Sequence[int]) -> int:
        """Bits of a choice."""
        return sum(each[option] for each, option in zip(self.sizes, options, strict=True))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Rounded:
    """The weight transform that gives each matrix its width.

    Args:
      widths: the options.
      tables: by matrix and layer, 0 for a matrix as it is, else 1 + the number of its width. As data: one
        program serves every plan.
    """

    widths: tuple[str, ...] = field(metadata={"static": True})
    tables: dict[str, Int[Array, " layers"]]

    def __call__(self, weight: Array, layer: Array, name: str) -> Array:
        """The transformed weight, as `models.token_nll` asks for it."""
        if name not in self.tables:
            return weight
        branches = [lambda w: w, *(functools.partial(rounded, width) for width in self.widths)]
        return jax.lax.switch(self.tables[name][layer], branches, weight)


def _rounded(setup: Setup, items: _Items, options: Mapping[int, int]) -> Rounded:
    """The transform for some items' options; the other items stay as they are."""
    tables = {name: np.zeros(setup.model.config.layers, np.int32) for name in setup.matrices}
    for item, option in options.items():
        layer, name = items.targets[item]
        tables[name][layer] = 1 + option
    return Rounded(items.widths, {name: jnp.asarray(table) for name, table in tables.items()})


def _derivatives(setup: Setup, items: _Items) -> Float[np.ndarray, "orders windows items widths"]:
    """`g·δ` and `½ Σ G_ii δ_i²` of every matrix at every width, window by window."""
    root = keys.fold(keys.root(setup.seed), "plan")

    def task(index: int) -> Row:
        loss = WindowLoss.of(setup.model, setup.calibration[index])
        slope, spread = _backward(loss, setup.matrices, keys.fold(root, index))
        layers = np.asarray(setup.layers)
        tables = []
        for name in setup.matrices:
            weight = setup.model.params["blocks"][name]
            costs = _of_errors(items.widths, weight, slope.pop(name), spread.pop(name))
            tables.append(fetch(costs)[layers])
        return np.concatenate(tables).astype(np.float64).ravel()

    tasks = [functools.partial(task, index) for index in range(len(setup.calibration))]
    table = np.stack(setup.sweep(tasks)).reshape(len(tasks), len(items.targets), len(items.widths), 2)
    inputs.check_finite(table, "derivatives of the loss")
    return np.moveaxis(table, -1, 0)


@functools.partial(jit, static_argnums=1)
def _backward(loss: WindowLoss, names: tuple[str, ...], key: PRNGKeyArray) -> tuple[Any, Any]:
    """The gradient, and a random vector whose square has the Gauss–Newton diagonal as its mean."""
    return jax.grad(loss)(loss.weights(names)), curvature.fisher(loss, names, key)


@functools.partial(jit, static_argnums=0)
def _of_errors(
    widths: tuple[str, ...],
    weights: Float[Array, "layers outputs inputs"],
    slope: Float[Array, "layers outputs inputs"],
    spread: Float[Array, "layers outputs inputs"],
) -> Float[Array, "layers widths 2"]:
    wide = at_least_float32(weights.dtype)

    # Layer by layer: the errors at all widths of a whole stack would be several models.
    def one(piece: tuple[Array, Array, Array]) -> Array:
        weight, g, r = piece
        errors = [(rounded(width, weight) - weight).astype(wide) for width in widths]
        parts = [(jnp.sum(g.astype(wide) * e), jnp.sum((r.astype(wide) * e) ** 2) / 2) for e in errors]
        return jnp.stack([jnp.stack(pair) for pair in parts])

    return jax.lax.map(one, (weights, slope, spread))


def _packed(
    setup: Setup,
    items: _Items,
    orders: Float[np.ndarray, "orders calibration items widths"],
    aim: Aim,
    budget: int,
) -> tuple[Packing, dict[Cell, Row]]:
    """The cheapest widths, and ΔNLL of those that were tried: in turn the costliest that is not yet."""
    slope, spread = orders[0, :TRIAL_WINDOWS].mean(axis=0), orders[1].mean(axis=0)
    agreed = _agreed(*orders) if aim == "nll" else 0.0
    windows, start = setup.calibration[:TRIAL_WINDOWS], len(setup.calibration)

    def losses(options: Mapping[int, int]) -> Row:
        return window_nll(setup.model, windows, _rounded(setup, items, options), len(windows)).mean(axis=1)

    clean = setup.sweep([functools.partial(losses, {})], first=start)[0]
    inputs.check_finite(clean)
    tried: dict[Cell, Row] = {}
    while True:
        # What the windows' own first order does not say.
        beyond = {at: float(rises.mean() - slope[at]) for at, rises in tried.items()}
        costs = agreed + with_trials(spread, beyond)
        packing = pack(items.sizes, costs.tolist(), budget)
        left = [at for at in enumerate(packing.options) if at not in tried]
        if not left or len(tried) == TRIALS:
            return packing, tried
        # Of equal costs the first item, so that a resumed run tries the same.
        item, option = max(left, key=lambda at: (costs[at], -at[0]))
        task = functools.partial(losses, {item: option})
        tried[item, option] = setup.sweep([task], first=start + 1 + len(tried))[0] - clean


def _mixtures(items: _Items, budget: int, draws: int, seed: int) -> tuple[str, list[tuple[int, ...]]]:
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
    setup: Setup, items: _Items, choices: Sequence[Sequence[int]], first: int
) -> Float[np.ndarray, "choices metrics windows"]:
    """Window means of `STORED`; the first choice is that of the model as it is."""
    states = functools.partial(_states, setup.model.config, setup.model.params)

    @functools.cache
    def clean() -> list[Array]:
        """Computed when first needed, by the same program."""
        return [states(tokens, _rounded(setup, items, {})) for tokens in setup.batches]

    def task(options: Sequence[int]) -> Row:
        transform = _rounded(setup, items, dict(enumerate(options)))
        return window_means(setup, clean(), lambda tokens: states(tokens, transform), STORED)

    tasks: list[Callable[[], Row]] = [functools.partial(task, options) for options in choices]
    return np.stack(setup.sweep(tasks, first=first)).reshape(len(tasks), len(STORED), -1)


@functools.partial(jit, static_argnums=0)
def _states(
    config: ModelConfig, params: dict[str, Any], tokens: Int[Array, "batch window"], transform: Rounded
) -> Float[Array, "batch window hidden"]:
    return Llama.of_parameters(config, params).run(tokens, transform)[0]


def _report(
    setup: Setup,
    items: _Items,
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
