"""A mask from its file, and which whole matrices it stands for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signmag_jax.evidence import InvalidInput, invalid
from signmag_jax.evidence.schemas import MESSAGE
from signmag_jax.models import MATRICES
from signmag_jax.models.imatrix import Matrix

from .decision import Decision
from .reading import check, family_of, files_of, read_json

MASK_FILE = "mask.json"
MAKE_MASK = "give a mask of `signmag protect --out DIR` or `signmag measure quantization-report --mask FILE`"
THRESHOLD = 0.01
"""Nats per token from which a matrix is kept whole."""


@dataclass(frozen=True)
class Mask:
    """What a file of schema `signmag.protect/1` says.

    Args:
      against: the quantiser that it protects against, in words.
      costs: measured ΔNLL of each matrix quantised alone, in nats per token, where it is separated from zero.
      measured: how many matrices were measured.
      whole: matrices that the mask protects wholly, whatever they cost.
      columns, weights: how many of them the mask protects in each matrix.
      files: sha256 of the model's files, by name.
      family: of the model; empty where the file does not say.
    """

    against: str
    costs: Mapping[Matrix, float]
    measured: int
    whole: tuple[Matrix, ...]
    columns: Mapping[Matrix, int]
    weights: Mapping[Matrix, int]
    files: Mapping[str, str]
    family: str = ""

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        """All that it names."""
        return (*self.whole, *self.costs)

    def decision(self, threshold: float = THRESHOLD, most: int | None = None) -> Decision:
        """The matrices that the mask protects wholly and those of largest measured cost, kept whole.

        Args:
          threshold: nats per token that a matrix must cost, separated from zero by 3 standard errors.
          most: at most so many matrices, the first of these.

        Raises:
          InvalidInput: if no matrix is left, or for a threshold or a number out of range.
        """
        if not (math.isfinite(threshold) and threshold >= 0):
            raise invalid("threshold >= 0", threshold, "pass nats per token, such as 0.01")
        if most is not None and most < 1:
            raise invalid("most >= 1", most, "pass a number of matrices, or leave it out")
        costly = sorted(self.costs, key=lambda at: (-self.costs[at], at[0], MATRICES.index(at[1])))
        chosen = [*self.whole, *(at for at in costly if self.costs[at] >= threshold and at not in self.whole)]
        if not chosen:
            some = f"the largest is {self.costs[costly[0]]:.2g}" if costly else "none is apart from zero"
            raise InvalidInput(
                f"no matrix of the mask costs {threshold:g} nat/token ({self.measured} measured; {some}): "
                "lower --threshold, or measure more matrices or windows"
            )
        kept = tuple(chosen[:most])
        named = len(set(kept) & set(self.whole))
        of_mask = f"{named} that the mask names, and those " if named else "those "
        rule = (
            f"Whole matrices that stay as they are: {len(kept)}, {of_mask}of {self.measured} measured that "
            f"alone cost at least {threshold:g} nat/token under {self.against}, 3 standard errors from zero"
            + ("." if most is None else f"; at most {most}.")
        )
        return Decision(kept, (rule, self._covered(kept)), family=self.family)

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
    return mask_of(read_json(path, MASK_FILE, MAKE_MASK), path)


def mask_of(plain: Mapping[str, Any], path: Path) -> Mask:
    """The mask that a JSON object is.

    Raises:
      InvalidInput: naming where it breaks the schema.
    """
    check(plain, path, "mask", MAKE_MASK)
    matrices = {(each["layer"], each["matrix"]): each for each in plain["matrices"]}
    costs = {at: float(each["delta_nll"]) for at, each in matrices.items() if each["resolved"]}
    counts: dict[str, dict[Matrix, int]] = {"columns": {}, "weights": {}}
    for kind, table in counts.items():
        for each in plain[kind]:
            at = (each["layer"], each["matrix"])
            table[at] = table.get(at, 0) + 1
    # All weights, where the mask lists them; otherwise those that it scores.
    if "kept" in plain:
        counts["weights"] = {(each["layer"], each["matrix"]): len(each["places"]) for each in plain["kept"]}
    whole = tuple((each["layer"], each["matrix"]) for each in plain.get("whole", ()))
    named = plain.get("against") or plain.get("quantizer", "the quantiser")
    against = f"{named} (scale: {plain['scale']})" if "scale" in plain else named
    # It stands in comments, of which a line's end would be the end.
    against = " ".join(against.split())[:MESSAGE]
    counted = counts["columns"], counts["weights"]
    return Mask(against, costs, len(matrices), whole, *counted, files_of(plain), family_of(plain))
