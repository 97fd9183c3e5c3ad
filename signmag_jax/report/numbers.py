"""How evidence is written into a cell of the ledger's table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from signmag_jax.evidence.numbers import with_error


def evidence(plain: Mapping[str, Any] | None) -> str:
    """One cell of the ledger: a number, why there is none, or nothing where the route does not apply.

    A printed figure without a sampling error stands as it was printed.
    """
    if plain is None:
        return "–"
    if "status" in plain:
        return plain["status"] if plain["estimate"] is None else f"{evidence(plain['estimate'])} ?"
    if isinstance(plain["value"], list):
        return f"[{len(plain['value'])} values]"
    decimals = plain.get("provenance", {}).get("printed_decimals")
    if plain["standard_error"] == 0 and decimals is not None:
        return f"{plain['value']:.{decimals}f}"
    return with_error(plain["value"], plain["standard_error"])
