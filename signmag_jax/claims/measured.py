"""The measured column of the ledger: evidence by name, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .claim import Evidence, Missing


@dataclass(frozen=True)
class Measured:
    """Results by the names that the rows ask for, and the series of the pictures.

    Args:
      model: name of the model.
      results: evidence by name.
      alpha: by site, median and largest α of each layer; None without a model.
      columns: by site, log10 of α²‖w‖² over its mean, layers × columns; None without a model.
    """

    model: str
    results: Mapping[str, Evidence]
    alpha: dict[str, Any] | None = None
    columns: dict[str, Any] | None = None


class _Absent(dict[str, Evidence]):
    """Every name answers with the same reason."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason

    def get(self, name: str, default: Any = None) -> Evidence:
        return Missing("NOT RUN", self.reason)


def not_run(reason: str) -> Measured:
    """No model: each row says why, and nothing stands in for it."""
    return Measured("no model", _Absent(reason))
