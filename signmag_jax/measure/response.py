"""Linear response: what sign flips cost per unit rate, from derivatives, for every set of weights at once."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from signmag_jax.evidence import Estimate, invalid, keys
from signmag_jax.evidence.ratio import paired_ratio
from signmag_jax.models import MATRICES, SITE_OF, LanguageModel

from . import curvature, inputs, slopes, sweep
from .activations import OUTLIER_FRACTION, Alpha, Columns, alpha, membership
from .control import controlled
from .inputs import Windows
from .leverage import check_profile, leverage
from .pools import ALL, OUTLIER, REST
from .predicted import LinearResponse
from .setup import Setup, prepare
from .singles import Place, kept_fixed, loss_with, shortlist
from .slopes import UNIT, Cells, Slopes
from .stretch import Movable

PROBES = 3
SINGLES = 12
POOLS = (OUTLIER, REST, ALL)
NEWTON = {"signs": curvature.fisher_probe, "products": curvature.gauss_newton_probe}
"""How the Gauss–Newton diagonal is probed: random signs of the logits pulled back, or of the weights."""

GRADIENT_PASSES, RESIDUAL_PASSES, DIRECTION_PASSES = 3, 8, 4
NEWTON_PASSES = {"signs": 4, "products": 6}
"""In forward passes, by the products of matrices in each; attention is computed again for a backward pass."""


def linear_response(
    model: LanguageModel,
    calibration: Windows,
    evaluation: Windows,
    *,
    probes: int = PROBES,
    singles: int | Sequence[Place] = SINGLES,
    newton: str = "signs",
    fraction: float = OUTLIER_FRACTION,
    layers: Sequence[int] | None = None,
    matrices: Sequence[str] | None = None,
    rates: Sequence[float] = (),
    seed: int = 0,
    profile: Alpha | None = None,
    resume: str | Path | None = None,
    source: Mapping[str, Any] | None = None,
) -> LinearResponse:
    """Slope of the loss in the flip rate of every pool, layer, matrix and column, by exact derivatives.

    `E ΔNLL = p · Σ_{i∈S} [L(w with i flipped) − L(w)] + O(p²)`, and `[…] ≈ −2 g_i w_i + 2 H_ii w_i²`

    for all but a few weights. One gradient gives the first part. Probes give the second, of all sets at once:
    H is the Gauss–Newton matrix, whose diagonal is a mean of squares, and a residual, by Hutchinson's
    `E[(ξ∘w) ∘ (H − G)(ξ∘w)]` with random signs ξ. The weights of largest second-order cost, chosen on
    the calibration windows alone, are flipped one by one, and their exact cost replaces the bracket.

    Args:
      model: from `models.load`.
      calibration: windows that choose the outlier columns and the single weights (at least 2).
      evaluation: other windows, on which everything is scored.
      probes: independent probes in each window, at least 2.
      singles: how many weights to flip one by one, or which.
      newton: "signs" (of the logits, one backward pass) or "products" (`Jᵀ H_out J`, weights' signs).
      fraction: part of the columns of each layer's input that are outliers.
      layers: numbers of the layers that take part; by default all.
      matrices: names of the matrices that take part; by default all.
      rates: flip rates at which the damage is measured as well, by `leverage` and its control variate, and
        compared with the prediction; this takes at least 8 evaluation windows.
      seed: root seed.
      profile: `alpha` of these calibration windows, if already computed.
      resume: folder of records; an interrupted run goes on where it stopped, with an identical result.
      source: added to the provenance.

    Returns:
      Slopes with their first- and second-order parts, standard errors over probes and windows (crossed), and
      whether they are resolved; the leverage of outlier columns; the next order in the rate.

    Raises:
      InvalidInput: for too few or overlapping windows, fewer than two probes, unknown layers, matrices or
        singles, or derivatives that are not finite.
    """
    check_options(probes, newton)
    chosen = inputs.selected(model.config, layers, matrices)
    asked = (
        singles
        if isinstance(singles, int)
        else [list(checked_place(model, each, chosen)) for each in singles]
    )
    options = {"experiment": "linear response", "probes": probes, "singles": asked, "newton": newton}
    options |= {"fraction": fraction, "seed": seed}
    fewest = inputs.MINIMUM_WINDOWS if rates else 1
    setup = prepare(
        model,
        calibration,
        evaluation,
        options,
        *chosen,
        batch=1,
        fewest=fewest,
        resume=resume,
        source=source,
    )
    check_profile(profile, setup.configuration["calibration_sha256"])
    columns, places = _selection(setup, fraction, profile, asked, seed)
    run = _Run(model, setup.evaluation, probes, NEWTON[newton], columns, places, *chosen, seed)
    rows = setup.sweep(run.tasks(), first=1)
    for row in rows:
        inputs.check_finite(row[None], "derivatives of the loss")
    found = run.result(rows, setup.origin())
    if not rates:
        return found
    damage = leverage(
        model,
        calibration,
        evaluation,
        rates=rates,
        fraction=fraction,
        layers=layers,
        matrices=matrices,
        seed=seed,
        profile=profile,
        resume=None if resume is None else Path(resume) / "leverage",
        source=source,
    )
    return dataclasses.replace(found, checks=tuple(found.check(controlled(model, evaluation, damage, found))))


def check_options(probes: int, newton: str) -> None:
    if probes < 2:
        raise invalid("probes >= 2", probes, "one probe has no standard error")
    if newton not in NEWTON:
        raise invalid(f"newton in {tuple(NEWTON)}", newton, "name one of them")


def checked_place(model: LanguageModel, place: Place, chosen: tuple[Sequence[int], Sequence[str]]) -> Place:
    place = Place(*(int(part) for part in place))
    names = [name for name in chosen[1] if MATRICES.index(name) == place.matrix]
    if not names or place.layer not in chosen[0]:
        raise invalid("singles in the layers and matrices that take part", place, "leave it out")
    rows, inputs_ = model.config.shapes()[names[0]]
    if place.row not in range(rows) or place.column not in range(inputs_):
        raise invalid(
            f"singles within {names[0]}, {rows} × {inputs_}", place, "count rows and columns from 0"
        )
    return place


def _selection(
    setup: Setup, fraction: float, profile: Alpha | None, asked: int | list[list[int]], seed: int
) -> tuple[Columns, tuple[Place, ...]]:
    """Outlier columns and single weights, chosen once."""
    model, calibration = setup.model, setup.calibration

    def choose() -> dict[str, Any]:
        columns = (alpha(model, calibration) if profile is None else profile).outliers(fraction)
        singles = asked
        if isinstance(asked, int):
            found = shortlist(model, calibration, asked, setup.layers, setup.matrices, seed) if asked else []
            singles = [list(place) for place, _ in found]
        return {"columns": {site: rows.tolist() for site, rows in columns.items()}, "singles": singles}

    stored = setup.once(choose)
    columns = {site: np.asarray(rows) for site, rows in stored["columns"].items()}
    return columns, tuple(Place(*parts) for parts in stored["singles"])


@dataclass(frozen=True, eq=False)
class _Run:
    """The evaluations of one linear response, and what their rows mean."""

    model: LanguageModel
    evaluation: Windows
    probes: int
    newton: Any
    columns: Columns
    singles: tuple[Place, ...]
    layers: tuple[int, ...]
    names: tuple[str, ...]
    seed: int

    def tasks(self) -> list[Any]:
        """For each window: slopes, probes of both parts of H, three directions; then flips, if any."""
        found = []
        for index in range(len(self.evaluation)):
            found.append(functools.partial(self._slopes, index))
            for kind in (self.newton, curvature.residual_probe):
                found += [functools.partial(self._probe, kind, index, p) for p in range(self.probes)]
            found += [functools.partial(self._direction, index, pool) for pool in POOLS]
            if self.singles:
                found.append(functools.partial(self._flips, index))
        return found

    @functools.cached_property
    def _movable(self) -> Movable:
        taken = np.zeros(self.model.config.layers)
        taken[list(self.layers)] = 1
        fixed = kept_fixed(self.model.config, self.names, self.singles)
        return Movable(jnp.asarray(taken, self.model.params["embed"].dtype), fixed)

    def _window(self, index: int) -> Array:
        return jnp.asarray(self.evaluation[index : index + 1])

    def _slopes(self, index: int) -> sweep.Row:
        model = self.model
        found = curvature.slopes(model.config, self.names, model.params, self._window(index), self._movable)
        return self._flat(found)

    def _probe(self, kind: Any, index: int, probe: int) -> sweep.Row:
        model = self.model
        purpose = "residual" if kind is curvature.residual_probe else "gauss-newton"
        key = keys.fold(keys.root(self.seed), "linear response", purpose, index, probe)
        window = self._window(index)
        return self._flat(kind(model.config, self.names, model.params, window, self._movable, key))

    def _direction(self, index: int, pool: str) -> sweep.Row:
        """`wᵀHw` along all weights of a pool together."""
        model = self.model
        dtype = model.params["embed"].dtype
        columns = {name: jnp.asarray(self.mask(name, pool), dtype) for name in self.names}
        found = curvature.bent(
            model.config, self.names, model.params, self._window(index), self._movable, columns
        )
        return np.asarray(found)[None]

    def _flips(self, index: int) -> sweep.Row:
        """The clean loss, then the loss with each single weight flipped."""
        window = self.evaluation[index]
        clean = loss_with(self.model, window, self.singles[0], 0.0)
        return np.asarray([clean, *(loss_with(self.model, window, place, 1.0) for place in self.singles)])

    def _flat(self, found: curvature.ByColumn) -> sweep.Row:
        layers = list(self.layers)
        return np.concatenate([np.asarray(found[name])[layers].ravel() for name in self.names])

    def mask(self, name: str, pool: str) -> Bool[np.ndarray, "layers _"]:
        """Columns of a matrix that belong to a pool, in every layer of the model."""
        outlier = membership(self.columns[SITE_OF[name]], self.model.config.shapes()[name][1])
        return {OUTLIER: outlier, REST: ~outlier, ALL: np.ones_like(outlier)}[pool]

    def _by_matrix(self, rows: list[Any]) -> dict[str, Float[np.ndarray, "some layers _"]]:
        widths = [self.model.config.shapes()[name][1] for name in self.names]
        table = np.stack(rows)
        ends = np.cumsum([len(self.layers) * width for width in widths])[:-1]
        pieces = np.split(table, ends, axis=1)
        return {
            name: piece.reshape(len(table), len(self.layers), width)
            for name, piece, width in zip(self.names, pieces, widths, strict=True)
        }

    def result(self, rows: list[Any], origin: Mapping[str, Any]) -> LinearResponse:
        """Rows in the order of `tasks`, as slopes."""
        each = len(rows) // len(self.evaluation)
        by_window = [rows[start : start + each] for start in range(0, len(rows), each)]
        probes, windows = self.probes, len(self.evaluation)
        first = self._by_matrix([found[0] for found in by_window])

        def probed(start: int) -> dict[str, Any]:
            flat = self._by_matrix([found[start + p] for p in range(probes) for found in by_window])
            return {name: 2 * t.reshape(probes, windows, *t.shape[1:]) for name, t in flat.items()}

        costs = self._costs([found[-1] for found in by_window])
        cells = Cells(
            {name: -2 * table for name, table in first.items()},
            probed(1),
            probed(1 + probes),
            self._known(first, costs),
            {name: self.model.config.shapes()[name][0] for name in self.names},
        )
        bent = np.asarray(
            [[float(found[1 + 2 * probes + i][0]) for found in by_window] for i in range(len(POOLS))]
        )
        return self._judged(cells, bent, costs, origin)

    def _costs(self, losses: list[Any]) -> Float[np.ndarray, "singles windows"]:
        """ΔNLL of each single flip on each window."""
        if not self.singles:
            return np.zeros((0, len(losses)))
        return np.stack([row[1:] - row[0] for row in losses], axis=1)

    def _known(self, like: dict[str, Any], costs: Float[np.ndarray, "singles windows"]) -> dict[str, Any]:
        known = {name: np.zeros_like(table) for name, table in like.items()}
        for place, cost in zip(self.singles, costs, strict=True):
            known[place.name][:, self.layers.index(place.layer), place.column] += cost
        return known

    def _judged(
        self,
        cells: Cells,
        bent: Float[np.ndarray, "pools windows"],
        costs: Float[np.ndarray, "singles windows"],
        origin: Mapping[str, Any],
    ) -> LinearResponse:
        def pool_sum(pool: str) -> slopes.Sum:
            return lambda name, table: (table * self.mask(name, pool)[list(self.layers)]).sum(axis=(-2, -1))

        def only(name: str, axes: Any) -> slopes.Sum:
            return lambda other, table: table.sum(axis=axes) if other == name else 0.0

        pools = {pool: Slopes.of(cells, pool_sum(pool)) for pool in POOLS}
        samples = {pool: slopes.table_of(cells, pool_sum(pool)) for pool in POOLS}
        pairs, tables = {}, {}
        for pool, row in zip(POOLS, bent, strict=True):
            diagonal = slopes.second_of(cells, pool_sum(pool))
            table = tables[pool] = 2 * row[None] - diagonal
            pairs[pool] = Estimate(
                table.mean(),
                slopes.standard_error(table),
                len(row),
                UNIT.replace("unit flip rate", "squared flip rate"),
                "one Hessian product along the pool minus the probed diagonal",
            )
        sizes = {pool: int(pools[pool].weights) for pool in POOLS}
        return LinearResponse(
            pools,
            Slopes.of(cells, lambda _, table: table.sum(axis=-1)),
            {name: Slopes.of(cells, only(name, (-2, -1))) for name in self.names},
            {name: Slopes.of(cells, only(name, -1)) for name in self.names},
            {name: Slopes.of(cells, only(name, ())) for name in self.names},
            paired_ratio(samples[OUTLIER] / sizes[OUTLIER], samples[REST] / sizes[REST]),
            pairs,
            self.singles,
            samples,
            tables,
            costs,
            {pool: slopes.added(pool_sum(pool), cells.singles) for pool in POOLS},
            self.columns,
            self.layers,
            origin,
        )
