"""What the calibration windows choose, once for all draws: outlier columns and heavy weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from signmag_jax.evidence import invalid

from . import recorded
from .activations import Alpha, Columns, alpha
from .pools import ARMS, Pools
from .ranking import Ranking
from .screening import rankings
from .setup import Setup


def check_profile(profile: Alpha | None, calibration_sha256: str) -> None:
    """Refuse an `alpha` of other windows than those that choose the columns."""
    if profile is not None and profile.provenance["tokens_sha256"] != calibration_sha256:
        raise invalid(
            "profile measured on the calibration windows",
            profile.provenance["tokens_sha256"],
            "pass `alpha(model, calibration)`, or no profile",
        )


def stored_columns(setup: Setup, fraction: float, profile: Alpha | None = None) -> Columns:
    """The outlier columns."""

    def choose() -> dict[str, Any]:
        known = alpha(setup.model, setup.calibration) if profile is None else profile
        return plain_columns(known.outliers(fraction))

    return setup.once(choose, lambda stored: recorded.columns(stored, setup.model.config))


def columns_and_heavy(
    setup: Setup, fraction: float, profile: Alpha | None, columns: Columns | None, heavy: int
) -> tuple[Columns, dict[str, Ranking]]:
    """The outlier columns, unless they are given, and so many heavy weights of both pools together."""

    def choose() -> dict[str, Any]:
        known = profile
        # Columns of another definition, and nothing heavy: then nobody asks for activations.
        if known is None and (columns is None or heavy):
            known = alpha(setup.model, setup.calibration)
        chosen = known.outliers(fraction) if columns is None and known is not None else columns
        assert chosen is not None
        ranked = {}
        if heavy and known is not None:
            pools = Pools.of(setup.model, chosen, setup.layers, setup.matrices)
            ranked = rankings(setup.model, setup.calibration, known, pools, heavy, setup.seed)
        return {
            "columns": plain_columns(chosen),
            "heavy": {arm: one.to_record() for arm, one in ranked.items()},
        }

    def reader(stored: Any) -> tuple[Columns, dict[str, Ranking]]:
        config, heavy = setup.model.config, recorded.named(stored["heavy"], ARMS)
        ranked = {arm: Ranking.of_record(record, config) for arm, record in heavy.items()}
        return recorded.columns(stored["columns"], config), ranked

    return setup.once(choose, reader)


def plain_columns(columns: Columns) -> dict[str, Any]:
    """Columns by site as lists, for a record or a digest."""
    return {site: np.asarray(chosen).tolist() for site, chosen in columns.items()}
