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


# Each family once; its other widths, variants and chains are simulated in the slow tests.
SOME = (
    *("single_flip.64", "column_pool", "block.64", "block.128", "paper_block", "v0", "proposition_1"),
    *("theorem_4.row_cosine.512", "theorem_4.256", "theorem_4.512"),
    *("depth.plain.relu.256", "depth.plain.relu.512", "depth.wide"),
)
SOME_VARIANTS = ("", "sign", "relu")


@pytest.fixture(scope="session", params=["some", pytest.param("every", marks=pytest.mark.slow)])
def results(request):
    found = families.experiments(TINY)
    if request.param == "some":
        found = [each for each in found if each.name in SOME and each.variant in SOME_VARIANTS]
        assert {each.name for each in found} == set(SOME)
    return results_of(TINY, {each: each.run(11, None) for each in found})


@pytest.fixture(scope="session")
def claims(results):
    return families.rows(TINY, results)


@pytest.fixture(scope="session")
def rows(claims, all_proved):
    """The rows by name, filled once; not to be changed."""
    return {row["name"]: row for row in fill(claims, all_proved)}
