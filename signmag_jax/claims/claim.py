"""A claim as it is declared before anything runs: its routes, its rival, what must agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from signmag_jax.evidence import Estimate

from .levels import LevelName

Route = Literal["published", "predicted", "simulated", "measured"]
ROUTES: tuple[Route, ...] = ("published", "predicted", "simulated", "measured")
Kind = Literal["equality", "above", "order", "proof", "identity", "other"]
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
class Exact:
    """A supply of a number that has no sampling error, and is known to have none before it is evaluated."""

    supply: Callable[[], Estimate]

    def __call__(self) -> Estimate:
        return self.supply()


@dataclass(frozen=True)
class Claim:
    """One row of the ledger, declared before it runs.

    Args:
      name: unique, dotted: "theorem_3.exact.p=0.01".
      claimant: whose claim it is. A claim of the "paper" quotes it; one of "ours" that fails makes
        `signmag reproduce` exit with 1; "open" is a question that nobody claims to have answered: about the
        model at hand, or about what the paper's figures are.
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
        the evidence must be able to exclude), "order" (what an approximation leaves out is of an order no
        lower than `order`; the predicted route tells it), "proof" (the named proofs must pass as well),
        "identity" (true by construction), "other" (the published figure belongs to another model, text or
        protocol).
      proofs: names of derivations that the row rests on.
      note: what a reader must know to judge the row.
      quotes: paths into `published.json` of the figures and formulas that the paper claims.
      runs_from: the lowest level whose samples exclude the rival with a probability of 80%.
      missed: what rare heavy draws could add to the difference, if the evidence missed them all; infinite
        where that is not known. None: the evidence holds no such draws.
      logarithmic: whether logarithms are compared, of positive numbers whose error grows with them.
      order: stated order of what an approximation leaves out.
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
    quotes: tuple[str, ...] = ()
    runs_from: LevelName = "quick"
    missed: Callable[[], float] | None = None
    logarithmic: bool = False
    order: float = 0.0

    def __post_init__(self) -> None:
        if self.claimant == "paper" and not self.quotes:
            raise ValueError(f"claim {self.name!r} of the paper quotes nothing of it")

    @property
    def sampled(self) -> int:
        """How many of its comparisons have a sampling error, and share the family-wise level."""
        return sum(not all(isinstance(self.routes[route], Exact) for route in pair) for pair in self.compare)

    def not_run(self, reason: str) -> Claim:
        """This row with nothing sampled and nothing compared, and the reason for that."""
        absent = Missing("NOT RUN", reason)
        routes = {
            route: supply if route == "published" or isinstance(supply, Exact) else (lambda: absent)
            for route, supply in self.routes.items()
        }
        return replace(self, routes=routes, compare=(), rival=None)


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
    runs_from: LevelName = "quick",
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
        runs_from=runs_from,
    )


def stated_order(
    name: str,
    statement: str,
    predicted: Exact,
    *,
    order: float,
    unit: str,
    source: str,
    proofs: tuple[str, ...],
) -> Claim:
    """An expansion of ours, judged as the paper's formula is: by the order that it states.

    Args: as of `Claim`; `predicted` is the order of what is left out.
    """
    return Claim(
        name=name,
        claimant="ours",
        source=source,
        statement=statement,
        unit=unit,
        routes={"predicted": predicted},
        kind="order",
        order=order,
        proofs=proofs,
        note="Judged by the tolerance that the paper's formula gets: the order that is stated.",
    )


def other_model(
    name: str,
    source: str,
    statement: str,
    routes: dict[Route, Supply],
    model: str,
    note: str = "",
    *,
    quotes: tuple[str, ...],
) -> Claim:
    """A row whose published figure is of another model than the measured `model`."""
    remark = (
        f"Published: TinyLlama-1.1B on WikiText-2. Measured: {model}. Both are shown, neither is the other's "
        "test."
    )
    note = f"{note} {remark}".strip()
    return Claim(name, "paper", source, statement, routes, kind="other", note=note, quotes=quotes)
