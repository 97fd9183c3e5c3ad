"""Which claims moved between two ledgers, and by how many standard errors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from signmag_jax.evidence import Estimate

from .claim import ROUTES


def diff(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Rows whose verdict or evidence differs, rows that only one ledger has, and the count of equal rows."""
    old = {row["name"]: row for row in before["rows"]}
    new = {row["name"]: row for row in after["rows"]}
    shared = [name for name in old if name in new]
    changes = [change for name in shared if (change := _change(old[name], new[name]))]
    return {
        "changed": changes,
        "only_in_first": [name for name in old if name not in new],
        "only_in_second": [name for name in new if name not in old],
        "unchanged": len(shared) - len(changes),
    }


def _change(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any] | None:
    moves = {route: move for route in ROUTES if (move := _move(old[route], new[route]))}
    if not moves and old["verdict"] == new["verdict"]:
        return None
    return {"name": old["name"], "verdict": [old["verdict"], new["verdict"]], "moved": moves}


def _move(old: Any, new: Any) -> dict[str, Any] | None:
    if _number(old) is None or _number(new) is None:
        same = _standing(old) == _standing(new)
        return None if same else {"from": _standing(old), "to": _standing(new)}
    first, second = Estimate.from_json(_number(old)), Estimate.from_json(_number(new))
    if first.value == second.value and first.standard_error == second.standard_error:
        return None
    distance = float(second.distance(first))
    return {
        "from": first.value,
        "to": second.value,
        # Two exact numbers that differ are no finite number of standard errors apart.
        "standard_errors": distance if math.isfinite(distance) else None,
    }


def _number(plain: Any) -> Any:
    """The scalar estimate of a cell, also where it is flagged UNRESOLVED; None where there is none."""
    if plain is not None and "status" in plain:
        plain = plain["estimate"]
    return plain if plain is not None and not isinstance(plain["value"], list) else None


def _standing(plain: Any) -> Any:
    if plain is None:
        return None
    return plain["status"] if "status" in plain else plain["value"]
