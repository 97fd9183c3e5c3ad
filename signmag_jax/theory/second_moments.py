"""Second moments of an activation on a Gaussian pair, in units in which nothing vanishes with the error."""

from typing import NamedTuple

from jaxtyping import Array


class SecondMoments(NamedTuple):
    """Second moments of h = φ(z), h' = φ(z'), δ = h' − h, none of them a difference of near equals.

    In units of the activation's size at the scale, and what belongs to δ in units of the error besides.

    Args:
      energy: E δ²/unit².
      alignment: E hδ/unit.
      transverse: (E δ² − (E hδ)²/E h²)/unit².
      signal: E h².
      perturbed: E h'².
      overlap: E hh'.
      mean: E h.
      mean_shift: E δ/unit.
    """

    energy: Array
    alignment: Array
    transverse: Array
    signal: Array
    perturbed: Array
    overlap: Array
    mean: Array
    mean_shift: Array
