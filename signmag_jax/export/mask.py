"""A mask from its file, and which whole matrices it stands for."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from signmag_jax.evidence import InvalidInput, invalid
from signmag_jax.models import MATRICES
from signmag_jax.models.imatrix import Matrix

from .decision import Decision

FILE_NAME = "mask.json"
MAKE = "give a mask of `signmag protect --out DIR` or `signmag measure quantization-report --mask FILE`"
THRESHOLD = 0.01
"""Nats per token from which a matrix is kept whole."""
MESSAGE = 200


@dataclass(frozen=True)
class Mask:
    """What a file of schema `signmag.protect/1` says.

    Args:
      against: the quantiser that it protects against, in words.
      costs: measured ΔNLL of each matrix quantised alone, in nats per token, where it is separated from zero.
      measured: how many matrices were measured.
      columns, weights: how many of them the mask protects in each matrix.
      files: sha256 of the model's files, by name.
    """

    against: str
    costs: Mapping[Matrix, float]
    measured: int
    columns: Mapping[Matrix, int]
    weights: Mapping[Matrix, int]
    files: Mapping[str, str]

    def decision(self, threshold: float = THRESHOLD, most: int | None = None) -> Decision:
        """The matrices of largest measured cost, kept whole.

        Args:
          threshold: nats per token that a matrix must cost, separated from zero by 3 standard errors.
          most: at most so many matrices, the most costly ones.

        Raises:
          InvalidInput: if no matrix is left, or for a threshold or a number out of range.
        """
        if not (math.isfinite(threshold) and threshold >= 0):
            raise invalid("threshold >= 0", threshold, "pass nats per token, such as 0.01")
        if most is not None and most < 1:
            raise invalid("most >= 1", most, "pass a number of matrices, or leave it out")
        costly = sorted(self.costs, key=lambda at: (-self.costs[at], at[0], MATRICES.index(at[1])))
        chosen = [at for at in costly if self.costs[at] >= threshold]
        if not chosen:
            some = f"the largest is {self.costs[costly[0]]:.2g}" if costly else "none is apart from zero"
            raise InvalidInput(
                f"no matrix of the mask costs {threshold:g} nat/token ({self.measured} measured; {some}): "
                "lower --threshold, or measure more matrices or windows"
            )
        kept = tuple(chosen[:most])
        rule = (
            f"Whole matrices that stay as they are: {len(kept)} of {self.measured} measured, those that "
            f"alone cost at least {threshold:g} nat/token under {self.against}, 3 standard errors from zero"
            + ("." if most is None else f", and at most {most}.")
        )
        return Decision(kept, (rule, self._covered(kept)))

    def _covered(self, kept: tuple[Matrix, ...]) -> str:
        """What whole matrices do for the mask's own columns and weights."""

        def part(counts: Mapping[Matrix, int], what: str) -> str:
            return f"{sum(counts.get(at, 0) for at in kept)} of its {sum(counts.values())} {what}"

        return (
            "These options name whole matrices; the mask's columns and single weights they cannot name. "
            f"The matrices hold {part(self.weights, 'single weights')} and {part(self.columns, 'columns')}; "
            "the others are quantised like the rest."
        )


def read_mask(path: Path) -> Mask:
    """Read a mask: a file, or a folder with mask.json in it.

    Raises:
      InvalidInput: if it is no mask of this schema.
    """
    return mask_of(read_json(path, FILE_NAME, MAKE), path)


def mask_of(plain: Mapping[str, Any], path: Path) -> Mask:
    """The mask that a JSON object is.

    Raises:
      InvalidInput: naming where it breaks the schema.
    """
    if broken := against_schema(plain, "mask.schema.json"):
        raise InvalidInput(f"{str(path)!r} is no mask ({broken}): {MAKE}")
    matrices = {(each["layer"], each["matrix"]): each for each in plain["matrices"]}
    costs = {at: float(each["delta_nll"]) for at, each in matrices.items() if each["resolved"]}
    counts: dict[str, dict[Matrix, int]] = {"columns": {}, "weights": {}}
    for kind, table in counts.items():
        for each in plain[kind]:
            at = (each["layer"], each["matrix"])
            table[at] = table.get(at, 0) + 1
    named = plain.get("against") or plain.get("quantizer", "the quantiser")
    against = f"{named} (scale: {plain['scale']})" if "scale" in plain else named
    # It stands in comments, of which a line's end would be the end.
    against = " ".join(against.split())[:MESSAGE]
    model = plain.get("provenance", {}).get("model", {})
    files = model.get("files", {}) if isinstance(model, dict) else {}
    return Mask(against, costs, len(matrices), counts["columns"], counts["weights"], files)


def read_json(path: Path, name: str, make: str) -> dict[str, Any]:
    """A JSON object from a file, or from the file `name` in a folder.

    Args:
      path: file or folder.
      name: of the file in a folder.
      make: how such a file is made, for the error.

    Raises:
      InvalidInput: if there is none, or it is no JSON object of finite numbers.
    """
    file = path / name if path.is_dir() else path
    if file.exists() and not file.is_file():  # /dev/zero never ends
        raise InvalidInput(f"{str(file)!r} is no file: {make}")
    try:
        plain = json.loads(file.read_text(encoding="utf-8"), parse_constant=_finite, parse_float=_finite)
    except FileNotFoundError:
        raise InvalidInput(f"no file {str(file)!r}: {make}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{str(file)!r} is not readable JSON ({error}): {make}") from None
    if not isinstance(plain, dict):
        raise InvalidInput(f"{str(file)!r} holds no JSON object: {make}")
    return plain


def _finite(literal: str) -> float:
    number = float(literal)
    if not math.isfinite(number):
        raise ValueError(f"{literal} is no finite number")
    return number


def against_schema(plain: Mapping[str, Any], name: str) -> str | None:
    """Where and how an object breaks one of this room's schemas, or None where it satisfies it."""
    from jsonschema import Draft202012Validator  # slow to import
    from jsonschema.exceptions import best_match

    error = best_match(Draft202012Validator(_schema(name)).iter_errors(plain))
    return None if error is None else f"{error.json_path}: {error.message[:MESSAGE]}"


@functools.cache
def _schema(name: str) -> dict[str, Any]:
    return json.loads(resources.files("signmag_jax.export").joinpath(name).read_text(encoding="utf-8"))
