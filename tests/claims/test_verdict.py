"""The decision rule: every verdict can be reached, and none by evidence that does not carry it."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signmag_jax.claims import tails
from signmag_jax.claims import verdict as rule
from signmag_jax.claims.claim import Claim, Missing
from signmag_jax.claims.ledger import fill
from signmag_jax.evidence import Estimate

CRITICAL = tails.threshold(50)


def number(value: float, error: float = 0.0) -> Estimate:
    return Estimate(value, error, 0 if error == 0 else 64, "1", "test")


def judge(
    evidence, *, rival=None, compare=(("predicted", "simulated"),), kind="equality", proofs=(), proved=None
):
    claim = Claim(
        name="a.claim",
        claimant="ours",
        source="test",
        statement="a statement",
        routes={route: (lambda e=e: e) for route, e in evidence.items()},
        compare=compare,
        rival=None if rival is None else (lambda: rival),
        rival_is="a rival",
        kind=kind,
        proofs=proofs,
        note="a note",
    )
    return rule.decide(claim, evidence, proved or {}, CRITICAL)


def test_agreement_with_a_narrow_interval_is_reproduced():
    verdict = judge({"predicted": number(2.668), "simulated": number(2.669, 0.002)}, rival=2.61)
    assert verdict.word == rule.REPRODUCED
    assert verdict.comparisons[0].distance == pytest.approx(-0.5)


def test_agreement_with_a_wide_interval_is_unresolved():
    # 0.058 apart: an error of 0.02 would have accepted the rival as well.
    verdict = judge({"predicted": number(2.668), "simulated": number(2.669, 0.02)}, rival=2.61)
    assert verdict.word == rule.UNRESOLVED
    assert "a rival" in verdict.reason


@pytest.mark.parametrize(
    ("value", "error", "word"),
    [
        (0.9, 0.1, rule.REPRODUCED),
        (0.9, 0.5, rule.UNRESOLVED),
        (-0.9, 0.5, rule.UNRESOLVED),
        (-0.9, 0.1, rule.DISAGREES),
        (0.9, 0.0, rule.REPRODUCED),
        (-0.9, 0.0, rule.DISAGREES),
        (0.0, 0.0, rule.UNRESOLVED),
    ],
)
def test_a_number_that_must_exceed_another(value, error, word):
    both = {"measured": number(value, error), "predicted": number(0.0)}
    verdict = judge(both, kind="above", compare=(("measured", "predicted"),))
    assert verdict.word == word
    # few samples widen the threshold, here as everywhere
    few = {**both, "measured": Estimate(value, error, 3, "1", "test")}
    assert (
        judge(few, kind="above", compare=(("measured", "predicted"),)).word == rule.UNRESOLVED or error == 0
    )
    gone = {**both, "measured": Missing("NOT RUN", "not asked for")}
    assert judge(gone, kind="above", compare=(("measured", "predicted"),)).word == rule.NOT_RUN


def test_numbers_of_the_same_samples_are_told_apart_by_the_error_of_their_difference():
    both = {"predicted": number(1.0, 0.5), "measured": number(1.4, 0.5)}
    claim = Claim(
        "a.claim",
        "ours",
        "test",
        "a statement",
        {route: (lambda e=e: e) for route, e in both.items()},
        compare=(("predicted", "measured"),),
        rival=lambda: 0.0,
        rival_is="a rival",
    )
    assert rule.decide(claim, both, {}, CRITICAL).word == rule.UNRESOLVED
    sharp = rule.decide(replace(claim, paired=lambda: 0.04), both, {}, CRITICAL)
    assert sharp.word == rule.DISAGREES
    assert sharp.comparisons[0].distance == pytest.approx(-10)
    # 7 standard errors are too many for normal errors and not for skewed ones
    blunt = rule.decide(replace(claim, paired=lambda: 0.4 / 7), both, {}, CRITICAL)
    assert (blunt.word, blunt.reason[:40]) == (rule.UNRESOLVED, "predicted lies -7.0 standard errors from")
    near = {**both, "measured": number(1.01, 0.5)}
    assert rule.decide(replace(claim, paired=lambda: 0.05), near, {}, CRITICAL).word == rule.REPRODUCED
    # over few common samples the threshold is Student's, at the fewer of the two
    few = {**both, "measured": Estimate(1.4, 0.5, 4, "1", "test")}
    verdict = rule.decide(replace(claim, paired=lambda: 0.05), few, {}, CRITICAL)
    (comparison,) = verdict.comparisons
    assert comparison.threshold == pytest.approx(
        tails.student(CRITICAL, [Estimate(0.0, 0.1, 4, "1", "test"), number(0.0)])
    )


@pytest.mark.parametrize(("measured", "distance"), [(2.0, math.log(2) / 0.05), (-2.0, -3 / 0.1)])
def test_logarithms_are_compared_where_there_are_any(measured, distance):
    both = {"predicted": number(1.0), "measured": number(measured, 0.1)}
    supplies = {route: (lambda one=one: one) for route, one in both.items()}
    pair = (("measured", "predicted"),)
    claim = Claim("a", "ours", "test", "it holds.", supplies, compare=pair, logarithmic=True)
    (comparison,) = rule.decide(claim, both, {}, CRITICAL).comparisons
    assert comparison.distance == pytest.approx(distance)


def test_the_rival_itself_disagrees_with_its_size():
    verdict = judge({"predicted": number(2.61), "simulated": number(2.668, 0.002)}, rival=2.668)
    assert verdict.word == rule.DISAGREES
    assert "-29.0 standard errors" in verdict.reason


@given(st.floats(0.1, 10), st.floats(1e-6, 1.0), st.floats(-3, 3))
def test_a_verdict_never_says_reproduced_where_the_rival_would_have_passed(value, error, offset):
    rival = value + 4 * error  # within the threshold of about 3.7 plus any offset
    evidence = {"predicted": number(value), "simulated": number(value + offset * error, error)}
    assert judge(evidence, rival=rival).word == rule.UNRESOLVED


@given(st.integers(1, 10_000))
def test_threshold_keeps_the_family_level(count):
    single = math.erfc(tails.threshold(count) / math.sqrt(2))
    assert single * count == pytest.approx(tails.FAMILY_LEVEL, rel=1e-9)


def test_false_alarms_over_a_true_family_stay_below_the_level():
    draws = np.random.default_rng(5).normal(size=(20_000, 50))
    alarms = (np.abs(draws) > CRITICAL).any(axis=1)
    error = math.sqrt(tails.FAMILY_LEVEL / alarms.size)
    assert alarms.mean() < tails.FAMILY_LEVEL + 4 * error
    # Control: the single-comparison threshold raises an alarm in most families.
    assert (np.abs(draws) > tails.threshold(1)).any(axis=1).mean() > 0.3


def test_exact_numbers_agree_or_disagree_without_an_error():
    pair = (("published", "predicted"),)
    same = judge({"published": number(2.75), "predicted": number(2.75 * (1 + 1e-14))}, compare=pair)
    assert same.word == rule.REPRODUCED
    other = judge({"published": number(0.4244), "predicted": number(0.1686)}, compare=pair)
    assert other.word == rule.DISAGREES
    assert "exact" in other.reason


def test_a_proof_row_needs_its_proof():
    evidence = {"predicted": number(2.0), "published": number(2.0)}
    pair = (("published", "predicted"),)
    common = {"kind": "proof", "proofs": ("theorem",), "compare": pair}
    assert judge(evidence, **common, proved={"theorem": True}).word == rule.PROVED
    assert judge(evidence, **common, proved={"theorem": False}).word == rule.DISAGREES
    assert judge(evidence, **common).word == rule.NOT_RUN
    wrong = {**evidence, "predicted": number(2.1)}
    assert judge(wrong, **common, proved={"theorem": True}).word == rule.DISAGREES


def test_missing_evidence_is_named():
    gone = Missing("NOT RUN", "the model could not be loaded")
    verdict = judge({"predicted": number(1.0), "simulated": gone})
    assert (verdict.word, verdict.reason) == (rule.NOT_RUN, "the model could not be loaded")
    vague = Missing("UNRESOLVED", "one draw carries 80% of the mean", number(3.0, 2.0))
    assert judge({"predicted": number(1.0), "simulated": vague}).word == rule.UNRESOLVED


def test_another_models_figure_is_never_reproduced():
    evidence = {"published": number(10.0), "measured": number(10.0, 0.1)}
    verdict = judge(evidence, kind="other", compare=())
    assert verdict.word == rule.NOT_COMPARABLE
    gone = {**evidence, "measured": Missing("NOT RUN", "no model")}
    assert judge(gone, kind="other", compare=()).word == rule.NOT_RUN


def test_an_identity_is_called_one():
    assert judge({"published": number(1.0)}, kind="identity", compare=()).word == rule.IDENTITY


def test_few_samples_have_students_tails():
    # 4.2 standard errors from 4 networks are no disagreement; from 4,000 they are.
    few = Estimate(2.0 + 4.2 * 0.01, 0.01, 4, "1", "test")
    many = Estimate(2.0 + 4.2 * 0.01, 0.01, 4000, "1", "test")
    assert judge({"predicted": number(2.0), "simulated": few}, rival=1.0).word != rule.DISAGREES
    assert judge({"predicted": number(2.0), "simulated": many}, rival=1.0).word == rule.DISAGREES


def test_the_threshold_in_the_reason_is_the_one_that_was_applied():
    few = Estimate(2.0 + 4.8 * 0.01, 0.01, 12, "1", "test")
    verdict = judge({"predicted": number(2.0), "simulated": few}, rival=1.0)
    assert verdict.word == rule.REPRODUCED
    (comparison,) = verdict.comparisons
    assert comparison.threshold == tails.student(CRITICAL, [few, number(2.0)]) > 4.8 > CRITICAL
    assert verdict.reason == f"within 4.8 standard errors (threshold {comparison.threshold:.1f})"
    # Of several comparisons the one nearest to its own threshold is named.
    exact = Estimate(2.0 + 3.5 * 0.01, 0.01, 100_000, "1", "test")
    both = {"published": number(2.0), "simulated": few, "measured": exact}
    pairs = (("published", "simulated"), ("published", "measured"))
    assert judge(both, rival=1.0, compare=pairs).reason.startswith("within 3.5")
    assert "exact numbers" in judge({"predicted": number(1.0), "simulated": number(1.0)}).reason


@given(st.integers(2, 200), st.floats(0.3, 3.0))
def test_the_resolving_error_is_that_of_the_threshold_that_was_applied(n, size):
    """What the row declares and what the rule does are one number, at every number of samples."""
    at_infinity = rule.resolving_standard_error(2.0, 1.9, tails.telling(CRITICAL, []))
    found = Estimate(2.0, size * at_infinity, n, "1", "test")
    verdict = judge({"predicted": number(2.0), "simulated": found}, rival=1.9)
    (comparison,) = verdict.comparisons
    beyond = tails.telling(comparison.limit, [found])
    assert comparison.resolving == pytest.approx(0.1 / beyond)
    assert comparison.resolving < at_infinity
    narrow = found.standard_error <= comparison.resolving
    assert verdict.word == (rule.REPRODUCED if narrow else rule.UNRESOLVED)


def test_the_row_shows_the_resolving_error_that_decided():
    """Eight samples at the error that would do for many: UNRESOLVED, and the row says what was missing."""
    at_infinity = rule.resolving_standard_error(2.0, 1.9, tails.telling(tails.threshold(2), []))
    few = Estimate(2.0, 0.9 * at_infinity, 8, "1", "test")
    claim = Claim(
        name="few",
        claimant="ours",
        source="test",
        statement="a statement.",
        routes={
            "predicted": lambda: number(2.0),
            "simulated": lambda: few,
            "measured": lambda: number(2.0, 1e-3),
        },
        compare=(("predicted", "simulated"), ("predicted", "measured")),
        rival=lambda: 1.9,
        rival_is="a rival",
    )
    (row,) = fill([claim], {})
    assert row["verdict"] == rule.UNRESOLVED
    assert row["resolving_standard_error"] < few.standard_error < at_infinity
    limits = [one["resolving_standard_error"] for one in row["comparisons"]]
    assert row["resolving_standard_error"] == min(limits) == limits[0]
    # Without evidence the declared one is that of many samples, which no number of them can better.
    absent = replace(
        claim, routes={**claim.routes, "simulated": lambda: Missing("NOT RUN", "not part of this run")}
    )
    (declared,) = fill([absent], {})
    assert declared["resolving_standard_error"] == pytest.approx(at_infinity)
