"""What a block's energies are made of, in ball arithmetic."""

from typing import NamedTuple

from flint import arb


class SecondMoments(NamedTuple):
    """E h², E h'², E hh', E h and E h'; the energies as textbooks form them, as differences."""

    own: arb
    other: arb
    cross: arb
    mean: arb
    other_mean: arb

    @property
    def energy(self) -> arb:
        """E(h' − h)²."""
        return self.own + self.other - 2 * self.cross

    @property
    def transverse(self) -> arb:
        """E h'² − (E hh')²/E h²."""
        # Not a power: that of a ball around exactly 0 is no number.
        return self.other - self.cross * self.cross / self.own

    @property
    def radial_fraction(self) -> arb:
        """(E h(h' − h))²/(E h² E(h' − h)²)."""
        return (self.cross - self.own) ** 2 / (self.own * self.energy)

    @property
    def cosine(self) -> arb:
        """E hh'/√(E h² E h'²)."""
        return self.cross / (self.own * self.other).sqrt()
