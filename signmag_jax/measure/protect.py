"""Protect a few weights from an error of the others, and measure what that saves beside other choices."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from signmag_jax.evidence import ConfidenceInterval, Estimate, bootstrap, invalid
from signmag_jax.evidence.compiling import jit
from signmag_jax.models import LanguageModel, Llama, ModelConfig, fetch

from . import cut, inputs, spikes
from .against import Against, Spared
from .budget import WEIGHTS, Budget, budgets_of
from .criteria import COST, LABELS, RANDOM, Inputs, by_unit, compared, inputs_of, scores
from .curvature import Weights
from .granularity import Scale
from .inputs import Windows
from .metrics import check_draws, compare_states
from .place import Place
from .pools import ALL, Pools
from .protected import METRICS, UNITS, Alone, Mask, Metric, Protected, ProtectionReport
from .protection import HurtMatrix, ProtectedColumn, ProtectedWeight
from .setup import Setup, prepare
from .singles import largest
from .slopes import separated
from .sweep import Row
from .token_fisher import token_fisher

BUDGETS = ("0.1%", "0.5%", "2%")
DRAWS = 2
LISTED = 200
"""Single weights that a mask lists with their scores."""
ALONE = 3
"""Matrices that are perturbed alone."""
STORED = ("nll", *METRICS)
Kept = dict[str, Bool[Array, "layers _ _"]]


def protect(
    model: LanguageModel,
    calibration: Windows,
    evaluation: Windows,
    *,
    against: str = "ternary",
    budget: Sequence[str] = BUDGETS,
    unit: str = WEIGHTS,
    scale: str | int | None = None,
    compare: Sequence[str] | None = None,
    draws: int = DRAWS,
    batch: int | None = None,
    layers: Sequence[int] | None = None,
    matrices: Sequence[str] | None = None,
    seed: int = 0,
    resume: str | Path | None = None,
    source: Mapping[str, Any] | None = None,
) -> ProtectionReport:
    """Choose the weights whose error costs most, keep them as they are, and measure what that saves.

    The calibration windows choose: the predicted cost of a weight is `½ G_ii (w' − w)²`, G the Gauss–Newton
    matrix of the clean model's loss (one backward pass), or what its error alone costs in the whole model
    where that was tried and is more. The evaluation windows score: everything perturbed, our choice protected, and
    as many weights by other criteria. Kept weights count in a quantiser's scale like all others.

    Args:
      model: from `models.load`.
      calibration: windows that choose, without text in common with the others; at least 2.
      evaluation: windows that score, at least 8.
      against: the error of the weights: ternary, sign, bitnet, q2 to q8 or flips:RATE.
      budget: what may be protected: parts of the weights such as 0.5%, or bits per weight such as 0.2b (a
        kept weight takes 16 bits, and a single one 32 more for its place).
      unit: what is protected: single weights, or only whole columns or whole matrices.
      scale: what shares one scale of a quantiser: tensor, row, or a number of neighbours in a row; by default
        tensor, and 32 for q2 to q8.
      compare: criteria beside ours; by default all: random, size, llm_int8, awq, imatrix, imatrix_weights and
        imatrix_error.
      draws: random choices, and draws of flips, which all criteria share.
      batch: number of windows that are computed at a time; by default all.
      layers: numbers of the layers whose weights are perturbed, from 0; by default all.
      matrices: names of the matrices that are perturbed, such as up_proj; by default all.
      seed: root seed of everything random.
      resume: folder of records; an interrupted run goes on where it stopped, with an identical result.
      source: added to the provenance.

    Raises:
      InvalidInput: for windows that are too few or overlap, an unknown error, unit or criterion, budgets that
        are none, draws below 2, or a clean loss that is not finite.
    """
    error, known, rivals = checked(against, budget, unit, scale, compare, draws)
    own = {
        "experiment": "protect",
        "against": error.name,
        "scale": str(error.scale),
        "budget": [each.share for each in known],
        "unit": unit,
        "compare": list(rivals),
        "draws": draws,
    }
    setup = prepare(
        model,
        calibration,
        evaluation,
        own,
        batch=batch,
        layers=layers,
        matrices=matrices,
        seed=seed,
        resume=resume,
        source=source,
    )
    choice = _Choice(setup, error, known, unit)
    trial = _Trial(setup, error, choice)
    rows = _measured(trial, choice, rivals, draws)
    return _report(setup, error, choice, trial, rows, rivals)


def checked(
    against: str,
    budget: Sequence[str],
    unit: str = WEIGHTS,
    scale: Scale | None = None,
    compare: Sequence[str] | None = None,
    draws: int = DRAWS,
) -> tuple[Against, tuple[Budget, ...], tuple[str, ...]]:
    """The error, the budgets and the criteria beside ours.

    Raises:
      InvalidInput: as `protect`, as far as no model is needed to tell.
    """
    error = Against.of(against, scale)
    texts = (budget,) if isinstance(budget, str) else tuple(budget)
    known = budgets_of(texts, unit)
    rivals = compared(error)[1:]
    asked = rivals if compare is None else tuple((compare,) if isinstance(compare, str) else compare)
    strange = [name for name in asked if name not in rivals]
    if strange or len(set(asked)) < len(asked):
        raise invalid(f"distinct criteria in {rivals}", strange or asked, "name some of them")
    check_draws(draws, 2)
    return error, known, asked


class _Choice:
    """What is protected, by criterion, budget and draw; scores exist for one criterion at a time."""

    def __init__(self, setup: Setup, against: Against, budgets: tuple[Budget, ...], unit: str) -> None:
        self.setup, self.against, self.budgets, self.unit = setup, against, budgets, unit
        shapes = setup.model.config.shapes()
        self.shapes = {name: (shapes[name][0], shapes[name][1]) for name in setup.matrices}
        self.total = len(setup.layers) * sum(rows * columns for rows, columns in self.shapes.values())
        self.counts = [each.weights(self.total) for each in budgets]
        self.cut_by = functools.lru_cache(maxsize=1)(self._cut_by)
        self.kept = functools.lru_cache(maxsize=1)(self._kept)

    @functools.cached_property
    def inputs(self) -> Inputs:
        """Activations on the calibration windows."""
        return inputs_of(self.setup.model, self.setup.calibration, self.setup.matrices)

    @functools.cached_property
    def costs(self) -> Weights:
        """The predicted cost of every weight's error, and what was tried where that is more."""
        return spikes.with_tried(self._predicted, self.tried)

    @functools.cached_property
    def _predicted(self) -> Weights:
        setup = self.setup
        found = token_fisher(setup.model, setup.calibration, setup.matrices, setup.seed)
        blocks = setup.model.params["blocks"]
        return {name: _cost(found.pop(name), self.against.change(blocks[name])) for name in setup.matrices}

    @functools.cached_property
    def tried(self) -> dict[Place, float]:
        """Single weights that were tried in the whole model, as a record: not to be tried again."""

        def choose() -> list[Any]:
            found = spikes.tried(
                self.setup.model,
                self.setup.calibration,
                self.against,
                self._predicted,
                self.inputs.square,
                self.setup.layers,
            )
            return [[*map(int, place), cost] for place, cost in found.items()]

        return {Place(*map(int, place)): float(cost) for *place, cost in self.setup.once(choose)}

    @functools.cached_property
    def ours(self) -> tuple[cut.Cut, ...]:
        """Our cuts, one for each budget."""
        table = by_unit(self.costs, self.unit)
        return cut.cuts(table, self.setup.layers, self.counts, whole=self.unit != WEIGHTS)

    def _cut_by(self, criterion: str, draw: int) -> tuple[Weights, tuple[cut.Cut, ...]]:
        setup = self.setup
        if criterion == COST:
            return by_unit(self.costs, self.unit), self.ours
        table = scores(criterion, setup.model, self.against, self.inputs, setup.seed, draw)
        # As many as ours: whole columns or matrices may be fewer than the budget.
        return table, cut.cuts(table, setup.layers, [each.count for each in self.ours])

    def _kept(self, criterion: str, draw: int, budget: int) -> Kept:
        table, cuts = self.cut_by(criterion, draw)
        return cut.kept(table, cuts[budget], self.setup.layers)

    def all_or_none(self, value: bool) -> Kept:
        """Masks of all weights, or of none in the layers that take part."""
        layers = jnp.asarray(~np.isin(np.arange(self.setup.model.config.layers), self.setup.layers)) | value
        return {
            name: jnp.broadcast_to(layers[:, None, None], (len(layers), *shape))
            for name, shape in self.shapes.items()
        }


@jit
def _cost(fisher: Array, change: Array) -> Float[Array, "layers outputs inputs"]:
    return fisher.astype(jnp.float32) * change.astype(jnp.float32) ** 2 / 2


class _Trial:
    """The perturbed model beside the clean one, whatever is kept, by one program."""

    def __init__(self, setup: Setup, against: Against, choice: _Choice) -> None:
        self.setup, self.against, self.choice = setup, against, choice
        pools = Pools.everything(setup.model, setup.layers, setup.matrices)
        self.draws = against.draws(pools, setup.seed)
        self.flips = functools.lru_cache(maxsize=1)(self._flips)
        tokens, batch = setup.evaluation, setup.batch
        self.batches = [jnp.asarray(tokens[i : i + batch]) for i in range(0, len(tokens), batch)]

    def _flips(self, draw: int) -> Any:
        return None if self.draws is None else self.draws.transform(self.draws.plan(ALL, draw))

    @functools.cached_property
    def clean(self) -> list[Array]:
        """States with everything kept: the same program, so that nothing kept apart makes no difference."""
        return [self._states(tokens, self.choice.all_or_none(True), 0) for tokens in self.batches]

    def _states(self, tokens: Int[Array, "batch window"], kept: Kept, draw: int) -> Array:
        error, model = self.against, self.setup.model
        spared = Spared(self.setup.matrices, error.quantizer, error.scale, self.flips(draw), kept)
        return _run(model.config, model.params, tokens, spared)

    def row(self, kept: Callable[[], Kept], draw: int) -> Row:
        """Window means of `STORED`, one metric after the other."""
        model, rows, masks = self.setup.model, [], kept()
        head = model.params["embed" if model.config.tied else "head"]
        for tokens, ours in zip(self.batches, self.clean, strict=True):
            table = fetch(_compare(ours, self._states(tokens, masks, draw), tokens, head))
            rows.append([table[name].astype(np.float64).mean(axis=1) for name in STORED])
        return np.concatenate(rows, axis=1).ravel()


@functools.partial(jit, static_argnums=0)
def _run(
    config: ModelConfig, params: dict[str, Any], tokens: Int[Array, "batch window"], spared: Spared
) -> Float[Array, "batch window hidden"]:
    return Llama.of_parameters(config, params).run(tokens, spared)[0]


_compare = jit(compare_states)

Key = tuple[str, int]
"""Criterion and number of the budget; ("clean", 0) and ("everything", 0) besides."""
Tables = dict[Key, Float[np.ndarray, "draws metrics windows"]]


def _measured(trial: _Trial, choice: _Choice, rivals: tuple[str, ...], draws: int) -> Tables:
    flipped = range(draws if trial.draws is not None else 1)
    tasks: list[tuple[Key, Callable[[], Row]]] = []

    def add(key: Key, kept: Callable[[], Kept], draw: int) -> None:
        tasks.append((key, functools.partial(trial.row, kept, draw)))

    add(("clean", 0), lambda: choice.all_or_none(True), 0)
    for draw in flipped:
        add(("everything", 0), lambda: choice.all_or_none(False), draw)
    for criterion in (COST, *rivals):
        # A draw of a random choice meets the same draw of flips as every other choice does.
        for draw in range(draws) if criterion == RANDOM else flipped:
            for budget in range(len(choice.budgets)):
                chosen = draw if criterion == RANDOM else 0
                kept = functools.partial(choice.kept, criterion, chosen, budget)
                add((criterion, budget), kept, draw if len(flipped) > 1 else 0)
    found = trial.setup.sweep([task for _, task in tasks], first=1)
    tables: dict[Key, list[Row]] = {}
    for (key, _), row in zip(tasks, found, strict=True):
        tables.setdefault(key, []).append(row.reshape(len(STORED), -1))
    inputs.check_finite(tables["clean", 0][0].T)
    trial.rows_so_far = 1 + len(tasks)
    return {key: np.stack(rows) for key, rows in tables.items()}


def _interval(table: Float[np.ndarray, "draws windows"], unit: str) -> ConfidenceInterval | None:
    return bootstrap.mean(table, unit=unit) if np.isfinite(table).all() else None


def _metrics(table: Float[np.ndarray, "draws metrics windows"]) -> Metric:
    return {name: _interval(table[:, STORED.index(name)], UNITS[name]) for name in METRICS}


def _report(
    setup: Setup,
    against: Against,
    choice: _Choice,
    trial: _Trial,
    tables: Tables,
    rivals: tuple[str, ...],
) -> ProtectionReport:
    origin = setup.origin()
    loss = STORED.index("delta_nll")
    choices = []
    for index, budget in enumerate(choice.budgets):
        for criterion in (COST, *rivals):
            table, ours = tables[criterion, index], tables[COST, index]
            excess = None if criterion == COST else _interval(table[:, loss] - ours[:, loss], "nat/token")
            count = choice.ours[index].count
            choices.append(Protected(criterion, budget.text, budget.share, count, _metrics(table), excess))
    alone = _alone(setup, against, choice, trial)
    hurt = tuple(_hurt(each) for each in alone)
    clean = Estimate.of_samples(tables["clean", 0][0, 0], unit="nat/token", estimator="mean over windows")
    samples = {
        name: {
            _named(key, choice.budgets): table[:, STORED.index(name)]
            for key, table in tables.items()
            if key[0] != "clean"
        }
        for name in METRICS
    }
    tried = sorted(choice.tried.items(), key=lambda each: -each[1])
    return ProtectionReport(
        against.name,
        str(against.scale),
        clean,
        _metrics(tables["everything", 0]),
        tuple(choices),
        alone,
        tuple(ProtectedWeight(p.layer, p.name, p.row, p.column, cost) for p, cost in tried),
        tuple(_mask(setup, against, choice, index, hurt, origin) for index in range(len(choice.budgets))),
        samples,
        origin,
    )


def _named(key: Key, budgets: Sequence[Budget]) -> str:
    criterion, index = key
    return criterion if criterion == "everything" else f"{budgets[index].text}, {LABELS[criterion]}"


def _hurt(each: Alone) -> HurtMatrix:
    found = each.damage.estimate
    return HurtMatrix(each.layer, each.matrix, found.value, found.standard_error, bool(separated(found)))


def _alone(setup: Setup, against: Against, choice: _Choice, trial: _Trial) -> tuple[Alone, ...]:
    """The matrices of largest predicted cost, each perturbed alone, without and with protection."""
    each_costs = against.rate or 1.0  # that of a flip, for the flips that there are
    sums = {name: fetch(_by_layer(table)) * each_costs for name, table in choice.costs.items()}
    ranked = sorted(
        ((float(sums[name][layer]), layer, name) for name in sums for layer in setup.layers), reverse=True
    )[:ALONE]
    everything = choice.all_or_none(True)

    def only(layer: int, name: str, budget: int | None) -> Kept:
        inside = choice.all_or_none(False) if budget is None else choice.kept(COST, 0, budget)
        here = jnp.asarray(np.arange(setup.model.config.layers) == layer)[:, None, None]
        return {**everything, name: jnp.where(here, inside[name], everything[name])}

    tasks = [
        functools.partial(trial.row, functools.partial(only, layer, name, budget), 0)
        for budget in (None, *range(len(choice.budgets)))
        for _, layer, name in ranked
    ]
    loss = STORED.index("delta_nll")
    rows = [row.reshape(len(STORED), -1)[loss] for row in setup.sweep(tasks, first=trial.rows_so_far)]
    found = [_interval(row[None], "nat/token") for row in rows]
    alone = []
    for index, (predicted, layer, name) in enumerate(ranked):
        damage, *left = found[index :: len(ranked)]
        if damage is not None:
            texts = [each.text for each in choice.budgets]
            known = {text: one for text, one in zip(texts, left, strict=True) if one is not None}
            alone.append(Alone(layer, name, predicted, damage, known))
    return tuple(alone)


@jit
def _by_layer(costs: Float[Array, "layers outputs inputs"]) -> Float[Array, " layers"]:
    return jnp.sum(costs, axis=(1, 2))


def _mask(
    setup: Setup,
    against: Against,
    choice: _Choice,
    index: int,
    hurt: tuple[HurtMatrix, ...],
    origin: Mapping[str, Any],
) -> Mask:
    kept = choice.kept(COST, 0, index)
    places: dict[tuple[int, str], Int[np.ndarray, " places"]] = {}
    columns: list[ProtectedColumn] = []
    whole: list[tuple[int, str]] = []
    for layer in setup.layers:
        for name in setup.matrices:
            inside = np.asarray(fetch(kept[name][layer]))
            if not inside.any():
                continue
            places[layer, name] = np.flatnonzero(inside)
            if inside.all():
                whole.append((layer, name))
            elif (full := np.flatnonzero(inside.all(axis=0))).size:
                cost = np.asarray(fetch(choice.costs[name][layer]), np.float64)[:, full].sum(axis=0)
                columns += [
                    ProtectedColumn(layer, name, int(j), float(c)) for j, c in zip(full, cost, strict=True)
                ]
    budget, count = choice.budgets[index], choice.ours[index].count
    return Mask(
        against.name,
        str(against.scale),
        {
            "typed": budget.text,
            "share": budget.share,
            "unit": choice.unit,
            "weights": count,
            "of": choice.total,
        },
        tuple(sorted(columns, key=lambda one: -one.score)),
        _costliest(choice, count) if choice.unit == WEIGHTS else (),
        hurt,
        tuple(whole),
        places,
        choice.shapes,
        origin,
    )


def _costliest(choice: _Choice, count: int) -> tuple[ProtectedWeight, ...]:
    found = largest(choice.costs, min(LISTED, count))
    return tuple(ProtectedWeight(p.layer, p.name, p.row, p.column, cost) for p, cost in found)
