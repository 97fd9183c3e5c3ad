"""A plan from its file: a width for every matrix."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signmag_jax.evidence import InvalidInput
from signmag_jax.measure import Mask
from signmag_jax.measure.planned import Plan
from signmag_jax.measure.widths import stored_bits
from signmag_jax.models.imatrix import Matrix

from .decision import Decision, MatrixWidth
from .mask import MAKE_MASK, MASK_FILE, mask_of
from .reading import check, family_of, read_json

PLAN_FILE = "plan.json"
MAKE_PLAN = "give the folder of `signmag plan --out DIR`"


@dataclass(frozen=True)
class Widths:
    """What a file of schema `signmag.plan/1` says.

    Args:
      planned: width and shape of each matrix.
      provenance: of the plan; empty where the file does not say.
    """

    planned: Mapping[Matrix, MatrixWidth]
    provenance: Mapping[str, Any]

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """Outputs and inputs of each matrix, by name."""
        return {name: each.shape for (_, name), each in self.planned.items()}

    def decision(self, ternary: str = "") -> Decision:
        """The widths, and their size in words.

        Args:
          ternary: llama.cpp's type of ternary widths, as in `Decision`.
        """
        size = sum(stored_bits(each.width, each.shape) for each in self.planned.values())
        weights = sum(each.shape[0] * each.shape[1] for each in self.planned.values())
        note = (
            f"A width for each of {len(self.planned)} matrices, {size / weights:.3f} bits a weight with a "
            "scale of 16 bits for each group of 32. Each tool gets the nearest of its types."
        )
        family = family_of(self.provenance)
        return Decision((), (note,), self.planned, family, self.shapes, ternary)


def read_plan(path: Path) -> Widths:
    """Read a plan: a file, or a folder with plan.json in it.

    Raises:
      InvalidInput: if it is no plan of this schema.
    """
    return plan_of(read_json(path, PLAN_FILE, MAKE_PLAN), path)


def plan_of(plain: Mapping[str, Any], path: Path) -> Widths:
    """The plan that a JSON object is.

    Raises:
      InvalidInput: naming where it breaks the schema.
    """
    check(plain, path, "plan", MAKE_PLAN)
    table = {
        (one["layer"], one["matrix"]): MatrixWidth(one["width"], (one["shape"][0], one["shape"][1]))
        for one in plain["matrices"]
    }
    provenance = plain.get("provenance", {})
    widths = Widths(table, provenance)
    if len(table) < len(plain["matrices"]):
        raise InvalidInput(f"{str(path)!r} names a matrix twice: {MAKE_PLAN}")
    for (layer, name), one in table.items():
        if one.shape != widths.shapes[name]:
            other = f"in layer {layer} {one.shape}"
            raise InvalidInput(f"{str(path)!r} gives {name} two shapes, {other}: {MAKE_PLAN}")
    wanted = itertools.product(provenance.get("layers", ()), provenance.get("matrices", ()))
    if missing := [at for at in wanted if at not in table]:
        layer, name = missing[0]
        raise InvalidInput(f"{str(path)!r} lacks layer {layer} {name}, which it planned: {MAKE_PLAN}")
    return widths


def read(path: Path) -> Mask | Widths:
    """A mask or a plan, whichever a file is or a folder holds.

    Raises:
      InvalidInput: if it is neither, or a folder that holds both.
    """
    if path.is_dir() and (path / PLAN_FILE).exists():
        if masks := sorted(each.name for each in path.glob(f"{Path(MASK_FILE).stem}*.json")):
            several = ", ".join((PLAN_FILE, *masks))
            raise InvalidInput(f"{str(path)!r} holds several: give one, {several}")
        return read_plan(path)
    plain = read_json(path, MASK_FILE, f"{MAKE_MASK}, or {MAKE_PLAN.removeprefix('give ')}")
    return plan_of(plain, path) if plain.get("schema") == Plan.SCHEMA else mask_of(plain, path)
