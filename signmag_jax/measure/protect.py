"""Protect a few weights from an error of the others, and measure what that saves beside other choices."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Literal, Unpack

import numpy as np
from jaxtyping import Float

from signmag_jax.evidence import Estimate, invalid
from signmag_jax.evidence.counts import counting
from signmag_jax.models import LanguageModel

from . import inputs
from .against import Against
from .alone import alone, hurt
from .budget import WEIGHTS, Budget, budgets_of
from .choice import Choice, KeptWeights
from .criteria import COST, LABELS, RANDOM, compared
from .granularity import Scale
from .inputs import Windows
from .masks import mask_of
from .metrics import check_draws
from .protected import EVERYTHING, METRICS, Protected, ProtectionReport
from .setup import Options, prepare
from .sweep import Row
from .trial import LOSS, STORED, Trial, averages, interval

BUDGETS = ("0.1%", "0.5%", "2%")
DRAWS = 2
CLEAN = "clean"
Unit = Literal["weights", "columns", "matrices"]


@counting
def protect(
    model: LanguageModel,
    calibration: Windows,
    evaluation: Windows,
    *,
    against: str = "ternary",
    budget: Sequence[str] = BUDGETS,
    unit: Unit = WEIGHTS,
    scale: str | int | None = None,
    compare: Sequence[str] | None = None,
    draws: int = DRAWS,
    batch: int | None = None,
    **options: Unpack[Options],
) -> ProtectionReport:
    """Choose the weights whose error costs most, keep them as they are, and measure what that saves.

    The calibration windows choose: the predicted cost of a weight is `½ G_ii (w' − w)²`, G the Gauss–Newton
    matrix of the clean model's loss (one backward pass), or what its error alone costs in the whole model
    where that was tried and is more. The evaluation windows score: everything perturbed, our choice
    protected, and as many weights by other criteria, or of a budget in bits as many as take the same bits.
    Kept weights count in a quantiser's scale like others.

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
      options: as in `Options`.

    Raises:
      InvalidInput: for windows that are too few or overlap, an unknown error, unit or criterion, budgets that
        are none or pay for no whole column or matrix, draws below 2, or a clean loss that is not finite.
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
    setup = prepare(model, calibration, evaluation, own, batch=batch, **options)
    choice = Choice(setup, error, known, unit)
    trial = Trial(setup, error, choice)
    tasks = _tasks(trial, choice, rivals, draws)
    # Record 0 holds the weights that were tried.
    rows = setup.sweep([task for _, task in tasks], 1, len(STORED) * len(setup.evaluation))
    tables = _tables([key for key, _ in tasks], rows)
    inputs.check_finite(tables[CLEAN, 0][0].T)
    return _report(choice, trial, tables, rivals, first=1 + len(tasks))


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


Key = tuple[str, int]
"""Criterion and number of the budget; `CLEAN` and `EVERYTHING` with 0 besides."""
Tables = dict[Key, Float[np.ndarray, "_ _ _"]]
"""Measured draws × metrics × windows, by key."""


def _tasks(
    trial: Trial, choice: Choice, rivals: tuple[str, ...], draws: int
) -> list[tuple[Key, Callable[[], Row]]]:
    """What is measured, so ordered that scores and masks are made once."""
    flipped = range(draws if trial.draws is not None else 1)
    tasks: list[tuple[Key, Callable[[], Row]]] = []

    def add(key: Key, kept: Callable[[], KeptWeights], draw: int) -> None:
        tasks.append((key, functools.partial(trial.row, kept, draw)))

    add((CLEAN, 0), lambda: choice.all_or_none(True), 0)
    for draw in flipped:
        add((EVERYTHING, 0), lambda: choice.all_or_none(False), draw)
    for criterion in (COST, *rivals):
        random = criterion == RANDOM
        for draw in range(draws) if random else flipped:
            for budget in range(len(choice.budgets)):
                kept = functools.partial(choice.kept, criterion, draw if random else 0, budget)
                # A random choice meets the draw of flips of its own number, so that all are paired.
                add((criterion, budget), kept, draw % len(flipped))
    return tasks


def _tables(keys: Sequence[Key], rows: Sequence[Row]) -> Tables:
    tables: dict[Key, list[Row]] = {}
    for key, row in zip(keys, rows, strict=True):
        tables.setdefault(key, []).append(row.reshape(len(STORED), -1))
    return {key: np.stack(draws) for key, draws in tables.items()}


def _choices(choice: Choice, tables: Tables, rivals: tuple[str, ...]) -> tuple[Protected, ...]:
    choices = []
    for index, budget in enumerate(choice.budgets):
        ours = tables[COST, index]
        for criterion in (COST, *rivals):
            table, weights = tables[criterion, index], choice.weights(criterion)[index]
            # Paired: both met the same draws on the same windows.
            excess = None if criterion == COST else interval(table[:, LOSS] - ours[:, LOSS])
            choices.append(Protected(criterion, budget.text, budget.share, weights, averages(table), excess))
    return tuple(choices)


def _report(
    choice: Choice, trial: Trial, tables: Tables, rivals: tuple[str, ...], first: int
) -> ProtectionReport:
    against, origin = choice.against, choice.setup.origin()
    apart = alone(choice, trial, len(tables[EVERYTHING, 0]), first)
    matrices = tuple(map(hurt, apart))
    clean = Estimate.of_samples(tables[CLEAN, 0][0, 0], unit="nat/token", estimator="mean over windows")
    shown = {key: table for key, table in tables.items() if key[0] != CLEAN}
    samples = {
        metric: {_named(key, choice.budgets): table[:, STORED.index(metric)] for key, table in shown.items()}
        for metric in METRICS
    }
    return ProtectionReport(
        against.name,
        str(against.scale),
        clean,
        averages(tables[EVERYTHING, 0]),
        _choices(choice, tables, rivals),
        apart,
        choice.suspects,
        tuple(mask_of(choice, index, matrices, origin) for index in range(len(choice.budgets))),
        samples,
        origin,
    )


def _named(key: Key, budgets: Sequence[Budget]) -> str:
    criterion, index = key
    return criterion if criterion == EVERYTHING else f"{budgets[index].text}, {LABELS[criterion]}"
