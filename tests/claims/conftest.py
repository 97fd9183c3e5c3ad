"""One small run of every simulation of the ledger, and the rows as they are declared without any."""

import pytest
from small_runs import TINY, results_of

from signmag_jax.claims import families
from signmag_jax.claims.ledger import fill
from signmag_jax.theory import proof


@pytest.fixture(scope="session")
def all_proved():
    return dict.fromkeys(proof.names(), True)


@pytest.fixture(scope="session")
def declared():
    return families.rows(TINY, results_of(TINY, {}))


# In whose rows no arc-cosine kernel stands beside the simulation, or another simulated row has the same law.
LEFT_OUT = {
    *("depth.plain.silu.512", "depth.residual.silu.512", "single_flip.2048"),
    *("depth.plain.silu_at_unit_scale.256", "depth.plain.silu_at_unit_scale.512"),
    *("theorem_4.row_cosine.1024", "theorem_4.row_cosine.2048", "theorem_4.row_cosine.4096"),
    *("ternary_best.256", "ternary_best.512"),
}
VARIANTS_LEFT_OUT = {"silu", "ternary_bitnet"}


@pytest.fixture(scope="session")
def results():
    every = families.experiments(TINY)
    assert {each.name for each in every} > LEFT_OUT
    kept = [each for each in every if each.name not in LEFT_OUT and each.variant not in VARIANTS_LEFT_OUT]
    return results_of(TINY, {each: each.run(11, None) for each in kept})


@pytest.fixture(scope="session")
def claims(results):
    return families.rows(TINY, results)


@pytest.fixture(scope="session")
def rows(claims, all_proved):
    """The rows by name, filled once; not to be changed."""
    return {row["name"]: row for row in fill(claims, all_proved)}
