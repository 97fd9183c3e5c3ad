"""JSON from a file that somebody may have changed: finite numbers, and a schema."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

MESSAGE = 200
"""Characters shown of what the validator says, which may repeat much of a damaged file."""


def finite(literal: str) -> float:
    """A number from its text, for the parser of JSON.

    Raises:
      ValueError: for one that is infinite or none.
    """
    number = float(literal)
    if not math.isfinite(number):
        raise ValueError(f"{literal} is no finite number")
    return number


def broken(plain: Mapping[str, Any], schema: Mapping[str, Any]) -> str | None:
    """Where and how an object breaks a schema, or None where it satisfies it."""
    from jsonschema import Draft202012Validator  # slow to import, and only readers of a file need it
    from jsonschema.exceptions import best_match

    error = best_match(Draft202012Validator(schema).iter_errors(plain))
    return None if error is None else f"{error.json_path}: {error.message[:MESSAGE]}"
