"""A model whose residual stream is rotated: outliers are gone, and with them the damage?"""

from __future__ import annotations

from collections.abc import Iterator

from signmag_jax import measure
from signmag_jax.claims.claim import Claim, Evidence, Missing
from signmag_jax.claims.levels import Level
from signmag_jax.claims.measured import Measured
from signmag_jax.claims.pieces import Results
from signmag_jax.claims.supply import exact, of_ratio
from signmag_jax.evidence import ratio_of_means
from signmag_jax.measure.rotation import RATE

from .leverage import missed_singles

ROTATION = Measured(
    "rotation",
    lambda run, **options: measure.rotation(*run.windows, **options),
    options=lambda level: {"draws": level.rotation_draws},
    amount=lambda level: level.rotation_draws,
    what="the rotated model",
)


def rows(level: Level, results: Results) -> Iterator[Claim]:
    """Spreading the outliers over all columns, against the cost of flips anywhere."""
    yield Claim(
        name="rotation.flips",
        claimant="open",
        source="rotation against outliers: Ashkboos et al. 2024, arXiv:2404.00456, for quantisation",
        statement="Without outlier columns errors anywhere cost less: flips of 1% of the signs that read the "
        "stream cost the trained model more than its rotated copy.",
        routes={
            "predicted": exact(lambda: 1.0, name="equal cost"),
            "measured": results.supply(ROTATION, _trained_over_rotated),
        },
        compare=(("measured", "predicted"),),
        kind="above",
        rival=lambda: 2.0,
        rival_is="twice the cost, which is to be seen",
        runs_from="full",
        missed=lambda: missed_singles(results, RATE, _damage_of_the_copy(results)),
        note="The copy has the same function. Training puts small weights on large inputs; a rotation undoes "
        "that, so that leverage falls and the total damage need not.",
    )


def _damage_of_the_copy(results: Results) -> float:
    rotation = results[ROTATION]
    damage = None if isinstance(rotation, Missing) else rotation.flips["rotated"].values["delta_nll"]
    return 0.0 if damage is None else float(damage.estimate.value)


def _trained_over_rotated(rotation: measure.Rotation) -> Evidence:
    """ΔNLL of flips in all matrices that read the stream, of the trained model over its rotated copy."""
    trained, turned = (rotation.flips[which].samples["delta_nll"] for which in ("trained", "rotated"))
    if trained is None or turned is None:
        return Missing("UNRESOLVED", "a draw gave no finite loss")
    return of_ratio(ratio_of_means(trained, turned), rotation.provenance)
