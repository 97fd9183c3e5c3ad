"""The commonest row: a law of ours beside the simulation that could contradict it."""

from __future__ import annotations

from collections.abc import Callable

from .claim import Claim
from .supply import Supply


def simulated_law(
    name: str,
    statement: str,
    predicted: Supply,
    simulated: Supply,
    rival: tuple[Callable[[], float], str],
    *,
    source: str,
    unit: str = "1",
    proofs: tuple[str, ...] = (),
    note: str = "",
) -> Claim:
    """Prediction and simulation must agree; `rival` is the nearest wrong answer and what it means.

    Args: otherwise as in `Claim`.
    """
    return Claim(
        name=name,
        claimant="ours",
        source=source,
        statement=statement,
        unit=unit,
        routes={"predicted": predicted, "simulated": simulated},
        compare=(("predicted", "simulated"),),
        rival=rival[0],
        rival_is=rival[1],
        proofs=proofs,
        note=note,
    )
