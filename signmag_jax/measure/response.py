"""Linear response: what sign flips cost per unit rate, from derivatives, for every set of weights at once."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from signmag_jax.evidence import invalid, keys
from signmag_jax.evidence.counts import counting
from signmag_jax.evidence.ratio import paired_ratio
from signmag_jax.models import MATRICES, SITE_OF, LanguageModel, Prefixes, fetch

from . import curvature, inputs, recorded, slopes, sweep
from .activations import OUTLIER_FRACTION, Alpha, Columns, alpha, membership
from .chosen import check_profile
from .control import controlled
from .curvature import WindowLoss
from .drawn_damage import damage_checks
from .inputs import Windows
from .leverage import leverage
from .place import Place, flipped
from .pools import ALL, OUTLIER, REST
from .predicted import LinearResponse
from .screening import input_scales
from .setup import Options, Setup, nested, prepare
from .singles import shortlist as shortlisted
from .slopes import UNIT, Cells, Slopes
from .stretch import Movable
from .suspects import FISHER, NAMED, SHORTLISTS, Suspect, check_shortlist, suspects

PROBES = 3
SINGLES = 12
POOLS = (OUTLIER, REST, ALL)
NEWTON = {"signs": curvature.fisher_probe, "products": curvature.gauss_newton_probe}
"""How the Gauss–Newton diagonal is probed: random signs of the logits pulled back, or of the weights."""

INTERACTION = (
    UNIT.replace("unit flip rate", "squared flip rate"),
    "one Hessian product along the pool minus the probed diagonal",
)
"""Unit and estimator of an interaction."""

GRADIENT_PASSES, RESIDUAL_PASSES, DIRECTION_PASSES = 3, 7, 4
NEWTON_PASSES = {"signs": 4, "products": 5}
"""Cost of a probe in forward passes, by its matrix products; a backward pass computes attention again."""


@counting
def linear_response(
    model: LanguageModel,
    calibration: Windows,
    evaluation: Windows,
    *,
    probes: int = PROBES,
    singles: int | Sequence[Place] = SINGLES,
    shortlist: str = SHORTLISTS[0],
    newton: str = "signs",
    fraction: float = OUTLIER_FRACTION,
    rates: Sequence[float] = (),
    profile: Alpha | None = None,
    **options: Unpack[Options],
) -> LinearResponse:
    """Slope of the loss in the flip rate of every pool, layer, matrix and column, by exact derivatives.

    `E ΔNLL = p · Σ_{i∈S} [L(w with i flipped) − L(w)] + O(p²)`, and `[…] ≈ −2 g_i w_i + 2 H_ii w_i²`

    for all but a few weights. One gradient gives the first part. Probes give the second, of all sets at once:
    H is the Gauss–Newton matrix, whose diagonal is a mean of squares, and a residual, by Hutchinson's
    `E[(ξ∘w) ∘ (H − G)(ξ∘w)]` with random signs ξ. The weights that cost most, chosen on the calibration
    windows alone, are flipped one by one, and their exact cost replaces the bracket.

    Args:
      model: from `models.load`.
      calibration: windows that choose the outlier columns and the single weights (at least 2).
      evaluation: other windows, on which everything is scored.
      probes: number of random probes of the second derivative in each window, at least 2.
      singles: number of weights to flip one by one, or in Python which.
      shortlist: how they are chosen: "suspects" (several criteria, then flips on 128 calibration tokens), or
        "fisher", `2 G_ii w_i²` alone, which a few windows may mislead.
      newton: what the Gauss–Newton diagonal is probed with: "signs" of the logits (one backward pass) or
        "products" with `Jᵀ H_out J`.
      fraction: part of the columns of each layer's input that are outliers.
      rates: flip rates at which the damage is measured as well, by `leverage` and its control variate, and
        compared with the prediction; this takes at least 8 evaluation windows.
      profile: `alpha` of these calibration windows, if already computed.
      options: as in `Options`.

    Returns:
      Slopes with their first- and second-order parts, standard errors over probes and windows (crossed), and
      whether they are resolved; the leverage of outlier columns; the next order in the rate.

    Raises:
      InvalidInput: for too few or overlapping windows, fewer than two probes, unknown layers, matrices or
        singles, or derivatives that are not finite.
    """
    inputs.check_probes(probes)
    check_shortlist(shortlist)
    if newton not in NEWTON:
        raise invalid(f"newton in {tuple(NEWTON)}", newton, "name one of them")
    chosen = inputs.selected(model.config, options.get("layers"), options.get("matrices"))
    asked = (
        singles
        if isinstance(singles, int)
        else [list(checked_place(model, each, chosen)) for each in singles]
    )
    own = {"experiment": "linear response", "probes": probes, "singles": asked, "newton": newton}
    own |= {"fraction": fraction, "shortlist": shortlist, "along": list(POOLS)}
    # Derivatives are exact on a single window; damage has an interval over windows only.
    fewest = inputs.MINIMUM_WINDOWS if rates else 1
    setup = prepare(model, calibration, evaluation, own, batch=1, fewest=fewest, **options)
    check_profile(profile, setup.configuration["calibration_sha256"])
    columns, places, looked_at = _selection(setup, fraction, profile, asked, shortlist)
    run = _Run(setup, probes, NEWTON[newton], columns, places, looked_at)
    rows = setup.sweep(run.tasks(), 1, run.entries())
    for row in rows:
        inputs.check_finite(row[None], "derivatives of the loss")
    response = run.result(rows)
    if not rates:
        return response
    damage = leverage(
        model,
        calibration,
        evaluation,
        rates=rates,
        fraction=fraction,
        profile=profile,
        **nested(options, "leverage"),
    )
    sharper = controlled(model, evaluation, damage, response)
    return dataclasses.replace(response, checks=tuple(damage_checks(response, sharper)))


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
    setup: Setup, fraction: float, profile: Alpha | None, asked: int | list[list[int]], how: str
) -> tuple[Columns, tuple[Place, ...], tuple[Suspect, ...]]:
    """Outlier columns, single weights, and those among which they were chosen by their flips: once."""
    model, calibration = setup.model, setup.calibration

    def choose() -> dict[str, Any]:
        known = alpha(model, calibration) if profile is None else profile
        columns = known.outliers(fraction)
        singles, tried = asked, []
        if isinstance(asked, int):
            where, count = (setup.layers, setup.matrices), max(asked, NAMED[FISHER])
            listed = shortlisted(model, calibration, count, *where, setup.seed) if asked else []
            places = [place for place, _ in listed]
            if asked and how == SHORTLISTS[0]:
                scales = input_scales(known, setup.matrices)
                tried = suspects(model, calibration, scales, *where, places)
                places = [each.place for each in tried]
            singles = [list(place) for place in places[:asked]]
        return {
            "columns": {site: rows.tolist() for site, rows in columns.items()},
            "singles": singles,
            "suspects": [each.to_record() for each in tried],
        }

    def reader(stored: Any) -> tuple[Columns, tuple[Place, ...], tuple[Suspect, ...]]:
        config, most = model.config, asked if isinstance(asked, int) else len(asked)
        tried = Suspect.of_records(stored["suspects"], config)
        singles = recorded.places(stored["singles"], config, most)
        return recorded.columns(stored["columns"], config), singles, tried

    return setup.once(choose, reader)


@dataclass(frozen=True, eq=False)
class _Run:
    """The evaluations of one linear response, and what their rows mean."""

    setup: Setup
    probes: int
    newton: Callable[..., curvature.ByColumn]
    columns: Columns
    singles: tuple[Place, ...]
    suspects: tuple[Suspect, ...]

    def tasks(self) -> list[Callable[[], sweep.Row]]:
        """For each window: slopes, probes of both parts of H, along all of each pool; then flips, if any."""
        tasks: list[Callable[[], sweep.Row]] = []
        root = keys.fold(keys.root(self.setup.seed), "linear response")
        for index, window in enumerate(self.setup.evaluation):
            loss = WindowLoss.of(self.setup.model, window)
            tasks.append(functools.partial(self._by_column, curvature.slopes, loss))
            for purpose, probe in (("gauss-newton", self.newton), ("residual", curvature.residual_probe)):
                # By what it is for and by window: a run with more probes repeats those of a shorter one.
                key = functools.partial(keys.fold, root, purpose, index)
                tasks += [functools.partial(self._by_column, probe, loss, key(p)) for p in range(self.probes)]
            tasks.append(functools.partial(self._bent, loss))
            if self.singles:
                tasks.append(functools.partial(self._flips, window))
        return tasks

    def entries(self) -> list[int]:
        """How many numbers each task gives."""
        columns = len(self.setup.layers) * sum(map(self._width, self.setup.matrices))
        flips = [1 + len(self.singles)] if self.singles else []
        window = [*([columns] * (1 + 2 * self.probes)), len(POOLS), *flips]
        return window * len(self.setup.evaluation)

    @functools.cached_property
    def _movable(self) -> Movable:
        return Movable.of(self.setup.model, self.setup.matrices, self.setup.layers, self.singles)

    def _by_column(
        self, program: Callable[..., curvature.ByColumn], loss: WindowLoss, *key: Any
    ) -> sweep.Row:
        """Slopes or a probe: all columns of all layers that take part, matrix after matrix."""
        # Layers that take no part hold zeros, which need no record.
        table, layers = fetch(program(loss, self._movable, *key)), list(self.setup.layers)
        return np.concatenate([table[name][layers].ravel() for name in self.setup.matrices])

    def _bent(self, loss: WindowLoss) -> sweep.Row:
        """`wᵀHw` along all weights of each pool at once."""
        dtype = self._movable.layers.dtype
        columns = {
            name: jnp.asarray(np.stack([self._mask(name, pool) for pool in POOLS]), dtype)
            for name in self.setup.matrices
        }
        return fetch(curvature.bent(loss, self._movable, columns))

    def _flips(self, window: Int[np.ndarray, " window"]) -> sweep.Row:
        """The clean loss, then the loss with each single weight flipped."""
        prefixes = Prefixes(self.setup.model, window[None])
        # By the program of the flips, so that what it rounds is in both losses.
        clean = prefixes.nll(flipped([]), 0).mean()
        alone = (prefixes.nll(flipped([place]), place.layer).mean() for place in self.singles)
        return np.asarray([clean, *alone])

    def _mask(self, name: str, pool: str) -> Bool[np.ndarray, "layers _"]:
        """Columns of a matrix that belong to a pool, in every layer of the model."""
        outlier = membership(self.columns[SITE_OF[name]], self._width(name))
        return {OUTLIER: outlier, REST: ~outlier, ALL: np.ones_like(outlier)}[pool]

    def _width(self, name: str) -> int:
        return self.setup.model.config.shapes()[name][1]

    def _by_matrix(self, rows: Sequence[Any]) -> dict[str, Float[np.ndarray, "some layers _"]]:
        """Rows of `_by_column`, cut into their matrices again."""
        names, layers, table = self.setup.matrices, len(self.setup.layers), np.stack(rows)
        ends = np.cumsum([layers * self._width(name) for name in names])[:-1]
        pieces = zip(names, np.split(table, ends, axis=1), strict=True)
        return {name: piece.reshape(len(table), layers, self._width(name)) for name, piece in pieces}

    def result(self, rows: Sequence[Any]) -> LinearResponse:
        """Rows in the order of `tasks`, as slopes."""
        windows, probes = len(self.setup.evaluation), self.probes
        # By kind: kinds in order, and for each kind the windows.
        kinds = [rows[i :: len(rows) // windows] for i in range(len(rows) // windows)]

        def probed(start: int) -> dict[str, Any]:
            flat = self._by_matrix([row for kind in kinds[start : start + probes] for row in kind])
            return {name: 2 * t.reshape(probes, windows, *t.shape[1:]) for name, t in flat.items()}

        # From the derivatives g∘w and w∘Hw to the cost of a flip, −2 g w + 2 H_ii w².
        first = {name: -2 * table for name, table in self._by_matrix(kinds[0]).items()}
        costs = np.zeros((0, windows))
        if self.singles:
            costs = np.stack([row[1:] - row[0] for row in kinds[-1]], axis=1)
        known = {name: np.zeros_like(table) for name, table in first.items()}
        for place, cost in zip(self.singles, costs, strict=True):
            known[place.name][:, self.setup.layers.index(place.layer), place.column] += cost
        outputs = {name: self.setup.model.config.shapes()[name][0] for name in self.setup.matrices}
        cells = Cells(first, probed(1), probed(1 + probes), known, outputs)
        bent: dict[str, Any] = dict(zip(POOLS, np.stack(kinds[1 + 2 * probes], axis=1), strict=True))
        return self._judged(cells, bent, costs)

    def _judged(
        self,
        cells: Cells,
        bent: dict[str, Float[np.ndarray, " windows"]],
        costs: Float[np.ndarray, "singles windows"],
    ) -> LinearResponse:
        layers, names = list(self.setup.layers), self.setup.matrices

        def pool_sum(pool: str) -> slopes.Sum:
            return lambda name, table: (table * self._mask(name, pool)[layers]).sum(axis=(-2, -1))

        def only(name: str, axes: Any) -> slopes.Sum:
            return lambda other, table: table.sum(axis=axes) if other == name else 0.0

        pools = {pool: Slopes.of(cells, pool_sum(pool)) for pool in POOLS}
        samples = {pool: slopes.table_of(cells, pool_sum(pool)) for pool in POOLS}
        # What the probed diagonal leaves of one product along the pool: 2 wᵀHw − Σ 2 H_ii w².
        pairs = {pool: 2 * row[None] - slopes.second_of(cells, pool_sum(pool)) for pool, row in bent.items()}
        return LinearResponse(
            pools=pools,
            layers=Slopes.of(cells, lambda _, table: table.sum(axis=-1)),
            matrices={name: Slopes.of(cells, only(name, (-2, -1))) for name in names},
            each={name: Slopes.of(cells, only(name, -1)) for name in names},
            columns={name: Slopes.of(cells, only(name, ())) for name in names},
            leverage=paired_ratio(*(samples[arm] / int(pools[arm].weights) for arm in (OUTLIER, REST))),
            interaction={pool: slopes.mean(table, *INTERACTION) for pool, table in pairs.items()},
            singles=self.singles,
            samples=samples,
            pairs=pairs,
            costs=costs,
            known={pool: slopes.added(pool_sum(pool), cells.singles) for pool in POOLS},
            outliers=self.columns,
            taking_part=self.setup.layers,
            provenance=self.setup.origin(),
            suspects=self.suspects,
        )
