"""What the tests of the proofs share."""

import pytest

from signmag_jax.theory.proof import Library


@pytest.fixture(scope="session")
def library():
    """Every proof, run once when it is first asked for."""
    return Library()
