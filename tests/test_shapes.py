"""The suite's own check of shapes does refuse wrong ones."""

import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError

from signmag_jax.measure.strata import Strata, never_drawn, room_left
from signmag_jax.perturb.base import signs


def test_stated_shapes_are_checked():
    room_left(np.ones((6, 4)), np.ones(4), np.ones((1, 4)), 100)
    with pytest.raises(TypeCheckError, match="'clean'"):
        room_left(np.ones((6, 4)), np.ones(5), np.ones((1, 4)), 100)
    with pytest.raises(TypeCheckError, match="'w'"):
        signs(jnp.arange(3))
    with pytest.raises(TypeCheckError, match="'room'"):
        Strata(np.ones(4), np.ones((2, 3)), np.ones((1, 4)), 0.0, 0.1, 0.9)


def test_what_states_no_shape_is_left_alone():
    assert not hasattr(never_drawn, "__wrapped__")
    assert hasattr(room_left, "__wrapped__")
