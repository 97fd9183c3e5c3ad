"""Growth and rest of a shift as perturbations: what they do to one tensor."""

import jax
import numpy as np
import pytest

from signmag_jax.measure.error_response import ERRORS, is_deterministic
from signmag_jax.measure.shift_parts import GROWTH, REST, SHIFT, SHIFT_PARTS, ShiftPart
from signmag_jax.perturb import MagnitudeShift

SIZE = 0.2


def test_each_part_has_its_moments():
    """On a tensor wide enough for Gaussian moments; the rest's c is 1 whatever the weights."""
    w = np.random.default_rng(0).normal(size=(400, 400))
    for part in SHIFT_PARTS:
        changed = np.asarray(ShiftPart.of(part, SIZE).apply(jax.random.key(0), w))
        c, v = (w * changed).mean() / (w * w).mean(), (changed**2).mean() / (w * w).mean()
        law = ShiftPart.of(part, SIZE).moments()
        assert c == pytest.approx(float(law.c), abs=2e-3)
        assert v == pytest.approx(float(law.v), abs=2e-3)
    heavy = np.random.default_rng(1).laplace(size=(30, 40))
    rest = np.asarray(ShiftPart.of(REST, SIZE).apply(jax.random.key(0), heavy))
    assert (rest * heavy).sum() == pytest.approx((heavy**2).sum(), rel=1e-9)
    whole = np.asarray(MagnitudeShift(SIZE).apply(jax.random.key(0), heavy))
    assert np.array_equal(np.asarray(ShiftPart.of(SHIFT, SIZE).apply(jax.random.key(0), heavy)), whole)
    assert (whole * heavy).sum() > 1.1 * (heavy**2).sum()


def test_a_tensor_of_zeros_stays_and_parts_draw_nothing():
    for part in SHIFT_PARTS:
        one = ShiftPart.of(part, SIZE)
        assert not np.any(np.asarray(one.apply(jax.random.key(0), np.zeros((3, 4)))))
        assert is_deterministic(one)
    assert {GROWTH, REST} <= set(ERRORS)
