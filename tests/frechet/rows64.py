"""Rows of a few features in float64, gains and epsilons, for the tests of the normalisations."""

import jax
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

WIDTH = 7

numbers = st.floats(-3, 3, allow_subnormal=False)
vectors = arrays(np.float64, WIDTH, elements=numbers)
gains = arrays(np.float64, WIDTH, elements=st.floats(-2, 2))
epsilons = st.sampled_from([0.0, 1e-6, 0.3])


@pytest.fixture(autouse=True, scope="module")
def float64():
    """A module that imports this has tolerances of float64; it tests narrower inputs as such."""
    with jax.enable_x64(True):
        yield
