"""The laws of leverage as rows: a law holds on evidence for it, is turned by evidence against it."""

import numpy as np
import pytest
from small_runs import results_of

from signmag_jax import measure
from signmag_jax.claims.claim import Missing
from signmag_jax.claims.families import leverage, sensitivity
from signmag_jax.claims.ledger import fill
from signmag_jax.claims.levels import LEVELS
from signmag_jax.measure.column_costs import LAWS

FULL = LEVELS["full"]
MATRICES = ("k_proj", "down_proj")
ALIKE = {"outputs_alike": 13.0, "factorised": 80.0, "tokenwise": 30.0, "gauss_newton": 30.0}


def found(leverages, error=0.02):
    """A sensitivity whose windows scatter by a common factor and by `error` of their own; equal pools."""
    rng = np.random.default_rng(0)
    costs = np.ones((4, 2, 1, 32, 2, 1)) * np.exp(rng.normal(size=32))[:, None, None]
    costs *= np.exp(error * rng.normal(size=costs.shape))
    costs[:, 0] *= np.array([leverages[law] for law in LAWS])[:, None, None, None, None]
    weights = np.full((2, 2, 1), 10)
    return measure.Sensitivity(costs, weights, {}, {}, None, {}, MATRICES, (0,), {"from": "test"})


def filled(leverages, level=FULL, **known):
    results = results_of(level, {sensitivity.SENSITIVITY: found(leverages), **known})
    rows = fill(list(sensitivity.rows(level, results)), {})
    return {row["name"].removeprefix("response.law."): row for row in rows}


def verdicts(leverages, **known):
    return {name: row["verdict"] for name, row in filled(leverages, **known).items()}


def test_each_law_is_judged_by_its_own_leverage():
    words = verdicts(ALIKE)
    assert words["outputs_alike"] == words["factorised"] == "DISAGREES"
    assert words["tokenwise"] == words["tokenwise.down_proj"] == "REPRODUCED"
    assert words["gauss_newton"] == "NOT RUN"  # nothing is known of the whole response


@pytest.mark.parametrize("law", ["outputs_alike", "factorised", "tokenwise"])
def test_wrong_evidence_turns_the_row(law):
    right = {**ALIKE, law: 30.0}
    assert verdicts({**right, "outputs_alike": 13.0 if law != "outputs_alike" else 30.0})[law] == "REPRODUCED"
    assert verdicts({**right, law: 50.0})[law] == "DISAGREES"


def test_the_tokenwise_law_is_told_from_one_a_quarter_off_or_not_judged():
    assert verdicts({**ALIKE, "tokenwise": 37.5})["tokenwise"] == "DISAGREES"
    row = filled(ALIKE, LEVELS["default"])["tokenwise"]
    assert (row["verdict"], row["comparisons"]) == ("UNRESOLVED", [])
    assert "a quarter off" in row["reason"]
    for shown in (row["predicted"], row["measured"]["estimate"]):
        assert shown["value"] == pytest.approx(30.0, rel=0.1)


def test_a_level_without_derivatives_leaves_all_of_it_out():
    absent = Missing("NOT RUN", "the quick level leaves the sensitivities of outputs out")
    results = results_of(FULL, {sensitivity.SENSITIVITY: absent, leverage.RESPONSE: absent})
    rows = fill(list(sensitivity.rows(FULL, results)), {})
    assert {row["verdict"] for row in rows} == {"NOT RUN"}
    assert not sensitivity.SENSITIVITY.amount(LEVELS["quick"])
