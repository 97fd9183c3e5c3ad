"""One small run of every simulation of the ledger, shared by the tests of its rows."""

import pytest

from signmag_jax.claims.ledger import fill
from signmag_jax.claims.levels import Level
from signmag_jax.claims.measured import not_run
from signmag_jax.claims.run import declare
from signmag_jax.claims.simulations import simulations
from signmag_jax.theory import proof

TINY = Level("tiny", (64, 128), (96, 64), 8, 16, 8, 0, 64, 8, 8, (0.005,), (2,), 2, 2)


@pytest.fixture(scope="session")
def tiny_simulation():
    return {
        name: value for _, run in simulations(TINY, seed=11, resume=None) for name, value in run().items()
    }


@pytest.fixture
def tiny_claims(tiny_simulation):
    return declare(TINY, tiny_simulation, not_run("no model in this test"))


@pytest.fixture(scope="session")
def tiny_rows(tiny_simulation, all_proved):
    """The rows by name, filled once; not to be changed."""
    filled = fill(declare(TINY, tiny_simulation, not_run("no model in this test")), all_proved)
    return {row["name"]: row for row in filled}


@pytest.fixture(scope="session")
def all_proved():
    return dict.fromkeys(proof.names(), True)


@pytest.fixture(scope="session")
def tiny_level():
    return TINY
