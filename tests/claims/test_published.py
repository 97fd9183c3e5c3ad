"""Published figures: every error says how it arose, and none is another figure's."""

import pytest

from signmag_jax.claims.published import half_unit, printed
from signmag_jax.evidence import Estimate


@pytest.fixture(scope="module")
def published(declared):
    figures = {row.name: row.routes["published"]() for row in declared if "published" in row.routes}
    return {name: one for name, one in figures.items() if isinstance(one, Estimate)}


def test_an_error_that_no_samples_carry_says_how_it_arose(published):
    without = {name: one for name, one in published.items() if one.n < 2 and one.standard_error > 0}
    assert without
    for name, one in without.items():
        origin = one.estimator.partition("; error: ")[2]
        assert origin.startswith("the printed deviation"), name


def test_a_cosine_of_outputs_does_not_borrow_the_scatter_of_rows(published):
    row, vector = (published[f"fact_1.{which}_cosine"] for which in ("row", "vector"))
    assert row.n == 20
    assert row.standard_error > 0.01
    assert (vector.n, vector.standard_error) == (0, 0.0)
    assert half_unit(vector) == pytest.approx(5e-5)
    assert "scatter not printed" in vector.estimator


def test_an_error_without_an_origin_is_a_mistake_of_ours():
    with pytest.raises(ValueError, match="origin"):
        printed(1.0, decimals=2, standard_error=0.1, section="1", what="a figure")
