"""No law leaves its own ball: an estimate that its enclosure contradicts is refused by name."""

import dataclasses
import math

import pytest

from signmag_jax import perturb, theory
from signmag_jax.evidence import Incomplete
from signmag_jax.theory.registry import find


@pytest.mark.parametrize("off", [1e-9, -1e-9, 1.0])
def test_a_value_off_its_ball_is_refused(off):
    law = find("transverse_ratio")
    wrong = dataclasses.replace(law, function=lambda rate: (1 + off) * law.function(rate))
    assert theory.estimate(law, rate=0.01).enclosure is not None
    with pytest.raises(Incomplete, match=r"transverse_ratio evaluates to .* rigorous enclosure is 2.668"):
        theory.estimate(wrong, rate=0.01)


def test_an_underflow_is_no_zero():
    found = theory.estimate("radial_fraction", perturbation=perturb.MagnitudeShift(1e-160))
    assert found.value == pytest.approx(2 / math.pi, rel=1e-14)
