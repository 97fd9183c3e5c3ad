"""How many weights may be protected: a part of all of them, or bits per weight."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from signmag_jax.evidence import invalid

WEIGHTS, COLUMNS, MATRICES = UNITS = ("weights", "columns", "matrices")
"""What is protected: single weights, or only whole columns or matrices."""
BITS_OF = {WEIGHTS: 16 + 32, COLUMNS: 16, MATRICES: 16}
"""Bits of a protected weight: for its value, and for its place, which columns and matrices need not state."""
FORM = "a part of the weights such as 0.5%, or bits per weight such as 0.2b"


@dataclass(frozen=True)
class Budget:
    """A budget as it was typed.

    Args:
      text: as it was typed, in small letters.
      share: part of the weights, in (0, 1].
    """

    text: str
    share: float

    @classmethod
    def of(cls, text: str, unit: str = WEIGHTS) -> Budget:
        """A budget from text: "0.5%" or "0.005" of the weights, or "0.2b" bits per weight.

        Raises:
          InvalidInput: for anything else, and for none or more than all of the weights.
        """
        typed = str(text).strip().lower()
        match = re.fullmatch(r"(\d+\.?\d*|\.\d+)(e-?\d+)?(%|b|)", typed)
        if match is None:
            raise invalid(f"budget is {FORM}", text, "pass for instance --budget 0.5%")
        number = float(match[1] + (match[2] or ""))
        share = number / {"b": BITS_OF[unit], "%": 100, "": 1}[match[3]]
        if not 0 < share <= 1:
            raise invalid("budget above 0 and at most 100% of the weights", text, f"pass {FORM}")
        return cls(typed, share)

    @property
    def in_bits(self) -> bool:
        """Whether bits are limited, or a share of the weights."""
        return self.text.endswith("b")

    def exchanged(self, weights: int, unit: str, other: str) -> int:
        """How many weights of another unit are worth so many: the same number, or the same bits."""
        return weights * BITS_OF[unit] // BITS_OF[other] if self.in_bits else weights

    def weights(self, total: int) -> int:
        """How many of `total` weights it pays for.

        Raises:
          InvalidInput: if it pays for none.
        """
        # Bits are a limit; a share is a share.
        exact = self.share * total
        count = math.floor(exact) if self.in_bits else round(exact)
        if count < 1:
            raise invalid(f"budget of at least 1 of {total} weights", self.text, "raise it")
        return count


def budgets_of(texts: tuple[str, ...], unit: str = WEIGHTS) -> tuple[Budget, ...]:
    """Distinct budgets, ascending.

    Raises:
      InvalidInput: for an unknown unit, no budget, one that is none, one named twice, or bits beside parts.
    """
    if unit not in UNITS:
        raise invalid(f"unit in {UNITS}", unit, "choose what is protected")
    known = sorted((Budget.of(text, unit) for text in texts), key=lambda each: each.share)
    if not known or len({each.share for each in known}) < len(known):
        raise invalid("distinct budgets, at least one", texts, f"pass {FORM}")
    if len({each.in_bits for each in known}) > 1:
        # In bits other criteria protect as many bits, in parts as many weights: no curve joins the two.
        raise invalid("budgets all in parts of the weights, or all in bits", texts, "run one kind at a time")
    return tuple(known)
