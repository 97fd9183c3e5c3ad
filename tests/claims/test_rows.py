"""The rows of the ledger: declared well, decided by evidence, and not by the theory's own word."""

from dataclasses import replace

import pytest
from small_runs import TINY, results_of

from signmag_jax import theory
from signmag_jax.claims import abstract, families
from signmag_jax.claims.claim import ROUTES
from signmag_jax.claims.families import pictures
from signmag_jax.claims.ledger import assemble, fill, read, save
from signmag_jax.claims.levels import LEVELS
from signmag_jax.evidence import Estimate
from signmag_jax.theory import proof


def by_name(rows):
    return {row["name"]: row for row in rows}


def test_rows_are_declared_completely(declared):
    """Before anything has run: no row waits for its evidence to know what it is about."""
    assert len(declared) > 60
    names = set(proof.names())
    for claim in declared:
        assert claim.statement.endswith("."), claim.name
        assert set(claim.proofs) <= names, claim.name
        assert {route for pair in claim.compare for route in pair} <= set(claim.routes), claim.name
        if claim.kind == "equality" and any("simulated" in pair for pair in claim.compare):
            assert claim.rival is not None, claim.name
            assert claim.rival_is, claim.name
        if claim.kind == "proof":
            assert claim.proofs, claim.name


def test_verdicts_of_a_small_run(rows):
    failing = [
        name for name, row in rows.items() if row["claimant"] == "ours" and row["verdict"] == "DISAGREES"
    ]
    assert failing == []
    expected = {
        "theorem_3.limit": "PROVED",
        "theorem_3.formula": "REPRODUCED",
        "theorem_3.expansion": "REPRODUCED",
        # 8.5 and 11.8 standard errors of 20 seeds, whose scatter may be skewed
        "theorem_3.measured.width=2048.p=0.01": "UNRESOLVED",
        "theorem_3.measured.width=2048.p=0.02": "UNRESOLVED",
        "theorem_4.post_relu_radial_fraction": "PROVED",
        "outliers.single_flip": "REPRODUCED",
        "outliers.single_flip.expansion": "REPRODUCED",
        "columns.energy_correlation": "IDENTITY",
        "abstract.leverage_10.rate=0.0001": "NOT COMPARABLE",
        "leverage.rate=0.005": "NOT RUN",
        "fact_1.row_cosine": "NOT RUN",
        "depth.no_compounding": "PROVED",
        "second_layer.transverse_share": "PROVED",
        "depth.floor": "PROVED",
        "depth.residual.limit.p=0.01": "PROVED",
        **{f"depth.first_layer.p={rate:g}": "REPRODUCED" for rate in (0.01, 0.05)},
        "depth.silu_is_linear.p=0.05": "REPRODUCED",
    }
    assert {name: rows[name]["verdict"] for name in expected} == expected


def test_what_theory_alone_decides(rows, claims, all_proved):
    """The rows hold the numbers that they are about, and their controls do not pass."""
    for name, order in (("theorem_3.formula", 0.5), ("theorem_3.expansion", 1.5)):
        assert rows[name]["predicted"]["value"] == pytest.approx(order, abs=1e-3)
    some = [
        claim for claim in claims if claim.name in ("theorem_3.formula", "outliers.single_flip.expansion")
    ]
    for claim in some:  # an approximation that promises more than it keeps
        (row,) = fill([replace(claim, order=claim.order + 0.5)], all_proved)
        assert row["verdict"] == "DISAGREES"
        assert f"stated: {claim.order + 0.5:g}" in row["reason"]
    first = rows["depth.first_layer.p=0.01"]
    assert first["predicted"]["value"] == pytest.approx(1.359154 * 2.66197, rel=1e-4)
    assert first["rival"]["value"] == pytest.approx(2.66195, abs=1e-5)
    linear = rows["depth.silu_is_linear.p=0.05"]
    moments = theory.matched_shift(0.05).moments()
    share = moments.c**2 / moments.v
    assert linear["predicted"]["value"] == pytest.approx((1 + 0.9**2) / (1 + share), rel=1e-12)
    assert linear["rival"]["value"] == pytest.approx(0.90452, abs=5e-5)
    assert rows["depth.floor"]["predicted"]["value"] == pytest.approx(1.9638, abs=5e-5)
    names = ("depth.residual.limit.p=0.01", "second_layer.transverse_share")
    some = [claim for claim in claims if claim.name in names]
    gone = by_name(fill(some, {**all_proved, "residual_limit": False, "second_layer": False}))
    for name in names:
        assert gone[name]["verdict"] == "DISAGREES"


def test_a_failed_proof_takes_its_rows_with_it(claims, all_proved):
    names = ("theorem_3.limit", "theorem_3.exact.p=0.05", "theorem_4.pre_relu_radial_fraction")
    some = [claim for claim in claims if claim.name in names]
    rows = by_name(fill(some, {**all_proved, "theorem_3": False}))
    assert rows["theorem_3.limit"]["verdict"] == "DISAGREES"
    assert rows["theorem_3.exact.p=0.05"]["verdict"] == "DISAGREES"
    assert rows["theorem_4.pre_relu_radial_fraction"]["verdict"] == "PROVED"


TOUCHED = (
    *("theorem_3.exact", "theorem_3.measured", "theorem_3.radial_fraction.flip", "theorem_3.two_layers"),
    *("finite_width", "theorem_4.post", "depth.plain.exact", "depth.plain.relu", "kernel.arccos", "v0"),
)
TOUCHED_ALSO = ("ternary.radial", "depth.residual.exact", "depth.v2", "depth.v3")
"""Where every simulation runs."""


def test_a_wrong_kernel_turns_every_row_that_it_touches(rows, claims, all_proved, request):
    compared = [
        claim
        for claim in claims
        if any("predicted" in pair for pair in claim.compare) and rows[claim.name]["verdict"] != "NOT RUN"
    ]
    before = {claim.name: rows[claim.name] for claim in compared}
    request.getfixturevalue("wrong_kernel")
    after = by_name(fill(compared, all_proved))

    def moved(name):
        old, new = before[name]["predicted"], after[name]["predicted"]
        if old is None or "value" not in old:
            return False
        return abs(new["value"] - old["value"]) > 1e-6 * abs(old["value"])

    touched = sorted(name for name in before if moved(name))
    for family in (*TOUCHED, *(TOUCHED_ALSO if "depth.v2.L=1" in before else ())):
        assert any(name.startswith(family) for name in touched), family
    # The limit at vanishing rates is that of the linear part alone: no kernel enters it.
    assert "theorem_3.limit" not in touched
    # One row's error is its scatter about the law itself, and grows where that is wrong.
    expected = dict.fromkeys(touched, "DISAGREES") | {"theorem_3.two_layers": "UNRESOLVED"}
    assert {name: after[name]["verdict"] for name in touched} == expected
    untouched = [name for name in before if not moved(name)]
    assert all(before[name]["verdict"] == after[name]["verdict"] for name in untouched)


def test_what_a_run_writes_is_read_again(results, rows, tmp_path):
    """Every row and every picture that needs no model, against the shipped schema."""
    series = pictures.series(TINY, results)
    missing = {name for name, each in series.items() if each is None}
    assert missing == {"alpha", "column_slopes", "damage", "leverage"}
    origin = {"versions": {}, "device": {}, "threads": 2, "seed": 0, "text": {}, "model": {"name": "none"}}
    ledger = assemble(
        list(rows.values()),
        level=TINY.to_json(),
        comparisons=9,
        pictures=series,
        provenance=origin,
    )
    save(ledger, tmp_path)
    assert read(tmp_path)["figures"] == series


def test_every_estimate_says_where_it_comes_from(rows):
    for row in rows.values():
        for route in ROUTES:
            cell = row[route]
            if cell is not None and "value" in cell:
                assert cell["estimator"] != "unnamed", row["name"]
                assert cell["provenance"], row["name"]


def test_a_published_figure_that_is_not_compared_says_how_far_it_lies(rows, claims, all_proved):
    """Every published figure outside the simulated interval: its distance in the row, and a reason."""
    far = []
    for name, row in rows.items():
        published, simulated = row["published"], row["simulated"]
        if any(cell is None or "value" not in cell for cell in (published, simulated)):
            continue
        distance = Estimate.from_json(published).distance(Estimate.from_json(simulated))
        declared = {"published", "simulated"} in [set(one["between"]) for one in row["comparisons"]]
        if "not compared" in row["reason"]:
            assert not declared, name
            assert f"{distance:+.1f} standard errors" in row["reason"]
            far.append(name)
        if abs(distance) > 12 or row["verdict"] == "DISAGREES":
            assert "standard errors from" in row["reason"] or "exact" in row["reason"], name
            assert row["note"], name
    claim = next(one for one in claims if one.name == "theorem_3.radial_fraction.shift.p=0.01")
    sharp = replace(
        claim, routes={**claim.routes, "simulated": lambda: Estimate(0.6435, 1e-4, 64, "1", "test")}
    )
    (row,) = fill([sharp], all_proved)
    assert row["verdict"] == "REPRODUCED"
    assert (
        "not compared, as the note says: published lies -16.8 standard errors from simulated" in row["reason"]
    )


@pytest.mark.parametrize("name", LEVELS)
def test_every_claim_of_the_abstract_has_its_row(name):
    names = {claim.name for claim in families.rows(LEVELS[name], results_of(LEVELS[name], {}))}
    parts = {name.partition(".")[0] for name in names}
    asked = [sentence.row for sentence in (*abstract.ABSTRACT, *abstract.BESIDE)]
    assert {row for row in asked if row is not None} <= names
    assert parts == {part for family in abstract.FAMILIES.values() for part in family}
    assert set(abstract.WHY) <= parts
