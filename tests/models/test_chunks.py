"""How many rows exist together: what a CPU's caches reward; elsewhere as many as a bound on memory allows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signmag_jax.evidence.compiling import compiling_for
from signmag_jax.models.chunks import AT_ONCE, rows_at_once


@pytest.mark.parametrize("target", ["gpu", "tpu"])
@given(rows=st.integers(1, 1024), numbers=st.integers(1, 2**34))
def test_an_accelerator_fills_its_bound(target, rows, numbers):
    with compiling_for("cpu"):
        assert rows_at_once(rows, numbers) == rows
    with compiling_for(target):
        together = rows_at_once(rows, numbers)
    assert together % rows == 0
    assert together == rows or together * numbers <= AT_ONCE
    assert (together + rows) * numbers > AT_ONCE
