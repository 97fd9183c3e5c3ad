"""A claim as it is declared before anything runs: its routes, its rival, what must agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from signmag_jax.evidence import Estimate

Route = Literal["published", "predicted", "simulated", "measured"]
ROUTES: tuple[Route, ...] = ("published", "predicted", "simulated", "measured")
Kind = Literal["equality", "above", "proof", "identity", "other"]
Claimant = Literal["paper", "ours", "open"]


@dataclass(frozen=True)
class Missing:
    """A route without a number: what stands in its place, and why."""

    status: Literal["NOT RUN", "UNRESOLVED"]
    reason: str
    estimate: Estimate | None = None


Evidence = Estimate | Missing
Supply = Callable[[], Evidence]


@dataclass(frozen=True)
class Claim:
    """One row of the ledger, declared before it runs.

    Args:
      name: unique, dotted: "theorem_3.exact.p=0.01".
      claimant: whose claim it is. A claim of "ours" that fails makes `signmag reproduce` exit with 1;
        "open" is a question about the model at hand, which nobody has answered for all models.
      source: theorem, equation or section.
      statement: the claim in one sentence.
      unit: unit of every route.
      routes: for each route the function that supplies its evidence when the ledger is filled.
      compare: pairs of routes that must agree for the claim to hold.
      rival: the nearest wrong answer, a value the evidence must be able to exclude.
      rival_is: what the rival value means.
      paired: the standard error of the difference, where both numbers are of the same samples; by default
        their errors are independent.
      kind: "equality" (the pairs must agree), "above" (the first of a pair must exceed the second, which
        the evidence must be able to exclude), "proof" (the named proofs must pass as well), "identity"
        (true by construction), "other" (the published figure belongs to another model, text or protocol).
      proofs: names of derivations that the row rests on.
      note: what a reader must know to judge the row.
    """

    name: str
    claimant: Claimant
    source: str
    statement: str
    routes: dict[Route, Supply]
    unit: str = "1"
    compare: tuple[tuple[Route, Route], ...] = ()
    rival: Callable[[], float] | None = None
    rival_is: str = ""
    paired: Callable[[], float] | None = None
    kind: Kind = "equality"
    proofs: tuple[str, ...] = ()
    note: str = ""


def simulated_law(
    name: str,
    statement: str,
    predicted: Supply,
    simulated: Supply,
    rival: tuple[Callable[[], float], str],
    *,
    source: str,
    proofs: tuple[str, ...] = (),
    note: str = "",
) -> Claim:
    """The commonest row, a law of ours beside the simulation that could contradict it.

    Args: as in `Claim`; `rival` holds the value and what it means.
    """
    return Claim(
        name=name,
        claimant="ours",
        source=source,
        statement=statement,
        routes={"predicted": predicted, "simulated": simulated},
        compare=(("predicted", "simulated"),),
        rival=rival[0],
        rival_is=rival[1],
        proofs=proofs,
        note=note,
    )


def other_model(
    name: str, source: str, statement: str, routes: dict[Route, Supply], model: str, note: str = ""
) -> Claim:
    """A row whose published figure is of another model than the measured `model`."""
    remark = (
        f"Published: TinyLlama-1.1B on WikiText-2. Measured: {model}. Both are shown, neither is the other's "
        "test."
    )
    return Claim(name, "paper", source, statement, routes, kind="other", note=f"{note} {remark}".strip())
