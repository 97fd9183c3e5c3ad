"""GPTQModel: `QuantizeConfig(dynamic=...)`, regular expressions of modules that are left out or changed.

A pattern is matched from the start of a module's name: `-:` leaves it out, `+:` overrides its options.
"""

from __future__ import annotations

import re
from typing import Any

from signmag_jax.evidence.files import strict_json
from signmag_jax.measure.widths import GROUP
from signmag_jax.models.imatrix import Matrix

from .decision import BITS, Decision, module

FILE = "gptqmodel.json"
KNOWN = (2, 3, 4, 8)
"""Bits that it packs."""
BY_ROW = {"group_size": -1}
USE = (
    f"gptqmodel.QuantizeConfig(**json.load(open('{FILE}'))['config']); bits and group_size are of what no "
    "pattern names, and yours to change.",
    "It packs 2, 3, 4 or 8 bits: 5 becomes 4, and 6 and 7 become 8.",
)


def files(decision: Decision) -> dict[str, str]:
    """The options of `QuantizeConfig`."""
    dynamic: dict[str, Any] = {f"-:{pattern(at)}": {} for at in decision.whole}
    for at, one in decision.planned.items():
        dynamic[f"+:{pattern(at)}"] = {"bits": _bits(one.bits), **({} if one.group else BY_ROW)}
    # Of patterns the first that fits.
    dynamic |= {rf"+:^model\.layers\.\d+\..*\.{name}$": BY_ROW for name in decision.by_row}
    config = {"bits": BITS, "group_size": GROUP, "dynamic": dynamic}
    return {FILE: strict_json({"notes": [*decision.notes_of_groups, *USE], "config": config})}


def _bits(bits: int) -> int:
    """The nearest number of bits that it packs; of two, the larger."""
    return min(KNOWN, key=lambda known: (abs(known - bits), -known))


def pattern(matrix: Matrix) -> str:
    """The regular expression that matches one module and no other."""
    return f"^{re.escape(module(matrix))}$"
