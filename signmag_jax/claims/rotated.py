"""The row on a model whose residual stream is rotated: outliers are gone, and with them the damage?"""

from __future__ import annotations

from collections.abc import Iterator

from signmag_jax import measure
from signmag_jax.evidence import ratio_of_means

from .claim import Claim, Evidence, Missing
from .measured import Measured
from .model_run import ModelRun, evidence_of, unresolved
from .supply import exact, found, traced

NAME = "rotation.flips"


def measured(run: ModelRun) -> dict[str, Evidence]:
    """ΔNLL of flips in all matrices that read the stream, of the trained model over its rotated copy."""
    draws = run.level.rotation_draws
    if not draws:
        return run.left_out([NAME], "the rotated model")
    try:
        rotation = measure.rotation(*run.windows, draws=draws, **run.options("rotation"))
    except measure.Unmeasurable as error:
        return unresolved([NAME], error)
    trained, turned = (rotation.flips[which].samples["delta_nll"] for which in ("trained", "rotated"))
    if trained is None or turned is None:
        return {NAME: Missing("UNRESOLVED", "a draw gave no finite loss")}
    return {NAME: traced(evidence_of(ratio_of_means(trained, turned)), rotation.provenance)}


def rows(measured: Measured) -> Iterator[Claim]:
    """Spreading the outliers over all columns, against the cost of flips anywhere."""
    yield Claim(
        name=NAME,
        claimant="open",
        source="rotation against outliers: Ashkboos et al. 2024, arXiv:2404.00456, for quantisation",
        statement="Without outlier columns errors anywhere cost less: flips of 1% of the signs that read the "
        "stream cost the trained model more than its rotated copy.",
        routes={
            "predicted": exact(lambda: 1.0, name="equal cost"),
            "measured": found(measured.results, NAME),
        },
        compare=(("measured", "predicted"),),
        kind="above",
        note="The copy has the same function. Training puts small weights on large inputs; a rotation undoes "
        "that, so that leverage falls and the total damage need not.",
    )
