"""The law of leverage step by step: from outputs that all matter alike to the whole response of the loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from signmag_jax import measure
from signmag_jax.claims.claim import Claim, Evidence
from signmag_jax.claims.levels import Level
from signmag_jax.claims.measured import Measured
from signmag_jax.claims.pieces import Results
from signmag_jax.claims.supply import error_of, of_interval, of_ratio, value_of
from signmag_jax.measure.column_costs import EXACT, FACTORISED, OUTPUTS_ALIKE, TOKENWISE

from .alignment import PROFILE
from .leverage import RESPONSE
from .response import unjudged as told

SENSITIVITY = Measured(
    "sensitivity",
    lambda run, **options: measure.sensitivity(*run.windows, profile=run.needed(PROFILE), **options),
    # One: its scatter is in the errors over windows, and a second would cost as much again.
    options=lambda level: {"draws": 1},
    amount=lambda level: level.probes,
    what="the sensitivities of outputs",
    profiled=True,
)
MASSIVE = "down_proj"
QUARTER = 1.25
FEW = "it leaves out what tokens have in common, and so few windows do not tell it from a law a quarter off"
NOTE = (
    "Both are second-order costs of a weight, outlier pool over rest, on the same windows, from one backward "
    "pass in each; the error is that of their difference. Logarithms are compared."
)


def rows(level: Level, results: Results) -> Iterator[Claim]:
    """Each law beside the exact Gauss–Newton diagonal, and that beside the whole response."""
    yield _law(
        OUTPUTS_ALIKE,
        results,
        statement="Inputs alone, α²‖w‖², give the leverage of the Gauss–Newton diagonal.",
        source="pools of columns, carried over to a trained model",
        rival=(lambda: 1.0, "every sign costs the same"),
        note="It lacks how much the loss depends on each output, and that this goes with the input.",
    )
    yield _law(
        FACTORISED,
        results,
        statement="Inputs and gradients, as if they were independent, give it: E[x_j²]·E[g_i²].",
        source="Martens and Grosse 2015 (arXiv:1503.05671), K-FAC",
        rival=_alone(results),
        note="Means are over a window's tokens. The few tokens of massive activations carry little gradient.",
    )
    yield _law(
        TOKENWISE,
        results,
        statement="Inputs and gradients token by token give it: Σ_t x_tj² g_ti².",
        source="sensitivities of outputs at each token",
        rival=(
            lambda: QUARTER * value_of(results.evidence(SENSITIVITY, _leverage(EXACT)), 1.0)(),
            "a quarter off, by what tokens have in common",
        ),
        unjudged="" if level.runs("full") else FEW,
        note="It lacks what different tokens have in common, and says nothing of how much that is. A common "
        "change of all keys leaves attention nearly as it is, so that in k_proj the terms of different "
        "tokens cancel.",
    )
    yield _law(
        TOKENWISE,
        results,
        matrix=MASSIVE,
        statement=f"Before {MASSIVE}, where activations are massive, the token-wise law holds.",
        source="sensitivities of outputs at each token",
        rival=(
            value_of(results.evidence(SENSITIVITY, _leverage(FACTORISED, MASSIVE)), 1.0),
            "inputs and gradients independent",
        ),
    )
    yield Claim(
        name="response.law.gauss_newton",
        claimant="open",
        source="Gauss–Newton approximation of the Hessian",
        statement="The Gauss–Newton diagonal gives the leverage of the whole response.",
        routes={
            "predicted": results.supply(SENSITIVITY, _leverage(EXACT)),
            "measured": results.supply(RESPONSE, lambda run: of_ratio(run.leverage, run.provenance)),
        },
        compare=(("predicted", "measured"),),
        rival=_alone(results)[0],
        rival_is=_alone(results)[1],
        logarithmic=True,
        runs_from="full",
        note="The whole response has first order, the rest of the Hessian and the exact costs of single "
        "weights as well. Errors over the same windows are taken as independent: too large. Logarithms are "
        "compared.",
    )


def _law(
    law: str,
    results: Results,
    *,
    statement: str,
    source: str,
    rival: tuple[Callable[[], float], str],
    matrix: str | None = None,
    note: str = "",
    unjudged: str = "",
) -> Claim:
    """One law beside the exact diagonal; with a reason against a verdict, both numbers without one."""
    step = results.evidence(SENSITIVITY, _step(law, matrix))
    return Claim(
        name=f"response.law.{law}" + (f".{matrix}" if matrix else ""),
        claimant="open",
        source=source,
        statement=statement,
        routes={
            "predicted": results.supply(SENSITIVITY, _leverage(law, matrix)),
            "measured": results.supply(
                SENSITIVITY, lambda run: told(_leverage(EXACT, matrix)(run), unjudged)
            ),
        },
        compare=() if unjudged else (("predicted", "measured"),),
        rival=rival[0],
        rival_is=rival[1],
        paired=error_of(step),
        logarithmic=True,
        runs_from="default",
        note=f"{note} {NOTE}".strip(),
    )


def _alone(results: Results) -> tuple[Callable[[], float], str]:
    """The law of inputs alone as a rival."""
    return value_of(results.evidence(SENSITIVITY, _leverage(OUTPUTS_ALIKE)), 1.0), "the α²‖w‖² law"


def _leverage(law: str, matrix: str | None = None) -> Callable[[measure.Sensitivity], Evidence]:
    return lambda run: of_ratio(run.leverage_of(law, matrix), run.provenance)


def _step(law: str, matrix: str | None) -> Callable[[measure.Sensitivity], Evidence]:
    return lambda run: of_interval(run.step(law, EXACT, matrix), "a cost that is zero", run.provenance)
