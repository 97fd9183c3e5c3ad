"""Whose claim a row judges: every row of the paper quotes it, and shows the figure that it quotes."""

import math

import pytest
import sympy as sp

from signmag_jax.claims.claim import Claim, Missing
from signmag_jax.claims.published import half_unit, quotation
from signmag_jax.evidence import Estimate

# Rows that show the paper's own seeds, analysed again, or a mean over what they quote.
ANALYSED = ("abstract.", "leverage.", "proposition_1.", "exp_d.")


@pytest.fixture(scope="module")
def of_the_paper(declared):
    return [claim for claim in declared if claim.claimant == "paper"]


def test_every_row_of_the_paper_quotes_a_figure_and_its_section(of_the_paper):
    assert len(of_the_paper) > 40
    for claim in of_the_paper:
        for path in claim.quotes:
            quoted = quotation(path)
            assert quoted.section, path
            assert isinstance(quoted.figure, int | float | str), path


def test_a_row_of_the_paper_without_a_quotation_is_a_mistake():
    with pytest.raises(ValueError, match=r"'a.claim' of the paper quotes nothing"):
        Claim("a.claim", "paper", "test", "a statement.", {})
    for path in ("theorem_3_V1.measured.9", "no_table.rows.0", "source"):
        with pytest.raises(LookupError):
            quotation(path)


def test_the_published_number_is_the_quoted_one(of_the_paper):
    compared = 0
    for claim in of_the_paper:
        shown = claim.routes["published"]() if "published" in claim.routes else None
        if not isinstance(shown, Estimate) or claim.name.startswith(ANALYSED):
            continue
        figures_quoted = [number(quotation(path).figure) for path in claim.quotes]
        assert any(is_shown(figure, shown) for figure in figures_quoted), claim.name
        compared += 1
    assert compared > 30


def test_another_number_would_be_noticed():
    assert not is_shown(2.61, Estimate(2.639, 0.003, 20, "1", "test", {"printed_decimals": 3}))


def number(figure):
    """A quoted figure, or a formula without free symbols evaluated; None of other text."""
    if isinstance(figure, int | float):
        return float(figure)
    try:
        return float(sp.sympify(figure))
    except (sp.SympifyError, TypeError, SyntaxError):
        return None


def is_shown(figure, shown):
    return figure is not None and math.isclose(figure, shown.value, rel_tol=1e-12)


def test_no_number_of_the_paper_stands_under_measured(declared):
    """A page about one model shows the paper's model in the published column alone."""
    for claim in declared:
        if claim.name.startswith("abstract.") or claim.name == "columns.damage_correlation":
            assert set(claim.routes) == {"published"}, claim.name


def test_a_rounding_is_no_standard_error(declared):
    for claim in declared:
        shown = claim.routes["published"]() if "published" in claim.routes else None
        if (
            isinstance(shown, Missing)
            or shown is None
            or half_unit(shown) == 0
            or "error:" in shown.estimator
        ):
            continue
        assert shown.standard_error == 0, claim.name


def test_the_paper_is_not_charged_with_what_is_ours(declared):
    """Our recursion on trained matrices, our law of pools, our hypothesis on a width: nobody claims them."""
    open_rows = {claim.name for claim in declared if claim.claimant == "open"}
    for name in (
        "response.pool_law",
        "trained.flips_over_shifts.p=0.01",
        "theorem_3.measured.width=512.p=0.02",
        *(
            f"exp_b.{kind}.p={rate}.L={layer}"
            for kind, layer in (("trained", 1), ("trained", 6), ("permuted", 6))
            for rate in (0.01, 0.05)
        ),
    ):
        assert name in open_rows


def test_one_approximation_is_one_finding(declared):
    names = [claim.name for claim in declared if "theorem_3_finite_p_formula" in " ".join(claim.quotes)]
    assert names == ["theorem_3.formula"]
    note = next(claim.note for claim in declared if claim.name == "theorem_3.formula")
    assert all(size in note for size in ("+2.2%", "+5.2%", "+1.1%", "+5.6%"))


def test_the_seeds_of_the_depth_runs_are_counted(declared):
    rows = [claim for claim in declared if claim.name.startswith(("depth.plain.relu", "depth.residual.silu"))]
    assert len(rows) == 12
    for claim in rows:
        published = claim.routes["published"]()
        assert isinstance(published, Estimate)
        assert published.n == 20
