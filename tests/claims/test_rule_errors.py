"""The error rates of the whole rule, at the ledger's own sample sizes; the slow tests print them."""

import json
import math
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from small_runs import results_of

from signmag_jax.claims import families, tails
from signmag_jax.claims import verdict as rule
from signmag_jax.claims.claim import Claim
from signmag_jax.claims.ledger import sampled_comparisons
from signmag_jax.claims.levels import LEVELS
from signmag_jax.evidence import Estimate

# Samples behind the comparisons of the default level (the fewer of two), and how many have so many.
SIZES = {
    5: 3,
    8: 2,
    12: 16,
    15: 1,
    16: 1,
    20: 33,
    32: 12,
    48: 11,
    64: 14,
    96: 9,
    128: 7,
    144: 5,
    192: 1,
    256: 4,
    288: 1,
    1024: 1,
}
# Whose error is the deviation of one sample of the paper, which is larger than that of their mean.
OF_DEVIATIONS = 5
CRITICAL = tails.threshold(sum(SIZES.values()) + OF_DEVIATIONS)
ALLOWED = 0.02
# Draws and their mean.
EVIDENCE = {
    "normal": (lambda rng, shape: rng.normal(size=shape), 0.0),
    "exponential": (lambda rng, shape: rng.exponential(size=shape), 1.0),
    "log-normal": (lambda rng, shape: rng.lognormal(size=shape), math.exp(0.5)),
}


def estimate(value, error, n):
    return Estimate(value, error, n, "1", "test")


def limit(n):
    """Standard errors beyond which n samples disagree with an exact number."""
    one = rule.compare(("predicted", "measured"), estimate(0, 0, 0), estimate(0, 1, n), None, CRITICAL)
    assert one.limit is not None
    return one.limit


def resolving(n):
    """The largest standard error of n samples by which the rule tells a rival at 1 from 0."""
    one = rule.compare(("predicted", "measured"), estimate(0, 0, 0), estimate(0, 1, n), 1.0, CRITICAL)
    assert one.resolving is not None
    return one.resolving


def student(n):
    """The same by Student's tails alone."""
    return tails.student(CRITICAL, [estimate(0, 1, n)])


def false_alarms(kind, families, bound, seed=0):
    """How many families of true comparisons hold at least one that is beyond its bound."""
    draw, mean = EVIDENCE[kind]
    rng, alarmed = np.random.default_rng(seed), np.zeros(families, bool)
    for n, count in SIZES.items():
        for _ in range(count):
            samples = draw(rng, (families, n)) - mean
            errors = samples.std(axis=1, ddof=1) / math.sqrt(n)
            alarmed |= np.abs(samples.mean(axis=1)) > bound(n) * errors
    return alarmed.sum()


def excess(alarms, families):
    """Families with alarms beyond what is allowed, in standard errors of their count."""
    return (alarms - ALLOWED * families) / math.sqrt(families * ALLOWED * (1 - ALLOWED))


@pytest.mark.parametrize("kind", EVIDENCE)
def test_false_disagreements_are_rare(kind):
    assert excess(false_alarms(kind, 400, limit), 400) < 3


def test_students_thresholds_alone_would_not_do():
    """Control: what keeps the level on normal errors loses it on skewed ones."""

    assert excess(false_alarms("normal", 400, student), 400) < 3
    for kind in ("exponential", "log-normal"):
        assert excess(false_alarms(kind, 400, student), 400) > 5


@pytest.mark.slow
def test_the_error_rates_of_the_rule(capsys):
    families = 10_000
    rates = {
        kind: [false_alarms(kind, families, bound, seed=1) / families for bound in (limit, student)]
        for kind in EVIDENCE
    }
    with capsys.disabled():
        print(f"\nfalse DISAGREES in {families} families of {sum(SIZES.values())} true comparisons:")
        for kind, (rate, alone) in rates.items():
            print(f"  {kind:12} {rate:.2%}, by Student's thresholds alone {alone:.0%}")
        for n in (16, 64):
            print(f"  {n} samples exclude a rival {1 / resolving(n):.1f} standard errors away")
    assert all(rate <= ALLOWED for rate, _ in rates.values())


def judged(samples, truth, missed):
    claim = Claim(
        "a.claim",
        "open",
        "test",
        "a statement.",
        {},
        compare=(("predicted", "measured"),),
        rival=lambda: 2 * truth,
        rival_is="twice that",
        missed=missed,
    )
    evidence = {
        "predicted": estimate(truth, 0, 0),
        "measured": Estimate.of_samples(samples, estimator="test"),
    }
    return rule.decide(claim, evidence, {}, CRITICAL).word


@pytest.mark.parametrize("n", [3, 11, 16])
def test_rare_heavy_draws_that_may_have_been_missed_never_disagree(n):
    """One draw in ten costs 1,000 times what the others do; most samples hold few or none of them."""
    rng, part, heavy = np.random.default_rng(2), 0.1, 1000.0
    truth = 1 + part * heavy
    words = {"unknown": [], "known": [], "ignored": []}
    for _ in range(300):
        samples = rng.normal(1, 0.1, n) + heavy * (rng.random(n) < part)
        words["unknown"].append(judged(samples, truth, lambda: math.inf))
        words["known"].append(judged(samples, truth, lambda: part * heavy))
        words["ignored"].append(judged(samples, truth, None))
    for how in ("unknown", "known"):
        assert set(words[how]) <= {rule.UNRESOLVED}
    assert words["ignored"].count(rule.DISAGREES) > 30


@pytest.mark.parametrize("n", [8, 16, 32, 128])
def test_a_resolved_rival_is_excluded_four_times_in_five(n):
    """At the largest error that the rule calls resolved, samples of the rival disagree."""
    rng, families = np.random.default_rng(3), 4000
    samples = rng.normal(1, resolving(n) * math.sqrt(n), (families, n))
    distance = samples.mean(axis=1) / (samples.std(axis=1, ddof=1) / math.sqrt(n))
    excluded = (np.abs(distance) > limit(n)).mean()
    assert abs(excluded - tails.POWER) < 4 * math.sqrt(tails.POWER * (1 - tails.POWER) / families)


def test_the_comparisons_are_those_of_the_default_level():
    declared = families.rows(LEVELS["default"], results_of(LEVELS["default"], {}))
    assert sampled_comparisons(declared) == sum(SIZES.values()) + OF_DEVIATIONS


@pytest.fixture
def run():
    """The ledger of the run that SIGNMAG_LEDGER names."""
    if "SIGNMAG_LEDGER" not in os.environ:
        pytest.skip("needs a run: SIGNMAG_LEDGER=FOLDER")
    return json.loads((Path(os.environ["SIGNMAG_LEDGER"]) / "ledger.json").read_text())


def test_the_sizes_are_those_of_the_run(run):
    if run["level"]["name"] != "default":
        pytest.skip("the sizes are those of the default level")
    counts = Counter(
        min((row[route]["n"] for route in one["between"] if row[route]["n"] > 1), default=1)
        for row in run["rows"]
        for one in row["comparisons"]
        if one["limit"] is not None
    )
    assert counts == {1: OF_DEVIATIONS, **SIZES}


def test_every_row_that_the_run_judges_has_the_power(run):
    """No comparison against a rival is too wide."""
    assert too_wide(run["rows"]) == []


def too_wide(rows):
    """Rows that compare with an error that does not tell the rival apart."""
    return [
        row["name"]
        for row in rows
        if row["rival"] is not None and not all(one["resolved"] for one in row["comparisons"])
    ]


def test_a_row_without_power_is_noticed():
    row = {"name": "a", "rival": {"value": 1.0}, "comparisons": [{"resolved": True}, {"resolved": False}]}
    assert too_wide([row, row | {"rival": None}]) == ["a"]
