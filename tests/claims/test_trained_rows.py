"""Rows on a trained model: each finds its evidence, and is turned by evidence that is wrong."""

import dataclasses
import functools

import numpy as np
import pytest

from signmag_jax import claims, measure, models
from signmag_jax.claims import deciding, measurements, response, rotated, single_columns, trained_chains
from signmag_jax.claims.claim import Missing
from signmag_jax.claims.ledger import fill
from signmag_jax.claims.levels import Level
from signmag_jax.claims.measured import Measured
from signmag_jax.claims.model_run import ModelRun
from signmag_jax.evidence import Estimate

RATE = 0.05
ALL = Level("small", (64,), (2,), 2, 2, 2, 0, 16, 8, 4, (RATE,), (3,), 2, 2, 2, 6, 2, 3, 3, 2)
NOTHING = dataclasses.replace(
    ALL, chain_draws=0, flipped_columns=0, probes=0, singles=0, verified=0, rotation_draws=0
)
PARTS = {
    "linear response": lambda measured: response.rows(ALL, measured),
    "deciding weights": deciding.rows,
    "Exp B": trained_chains.rows,
    "Exp F and G": single_columns.rows,
    "rotated model": rotated.rows,
}


def number(value, error):
    return Estimate(value, error, 1000, "1", "test", {"from": "test"})


@pytest.fixture(scope="module")
def run(hub_folder):
    model = models.load(hub_folder)
    tokens = np.random.default_rng(4).integers(0, 90, (12, 16)).astype(np.int32)
    profile = measure.alpha(model, tokens[:4])
    return ModelRun(model, tokens[:4], tokens[4:], ALL, 0, None, {"text": "none"}, profile)


@pytest.fixture(scope="module")
def everything(run):
    return measurements.measure_all(*run.windows, ALL, 0, None, run.source)


@pytest.mark.slow  # a program for each measurement: a minute of compiling
@pytest.mark.parametrize("part", PARTS)
def test_every_row_finds_its_evidence(everything, part):
    rows = fill(list(PARTS[part](everything)), {})
    for row in rows:
        for route in ("predicted", "measured"):
            cell = row[route]
            if cell is not None and "value" in cell:
                assert cell["provenance"], row["name"]
            elif cell is not None:
                assert cell["status"] == "UNRESOLVED", row["name"]
    # The chain of Exp B needs matrices of width 128.
    assert part == "Exp B" or any("value" in (row["predicted"] or {}) for row in rows)
    vector = everything.results["quantization.vector_cosine"]
    assert vector.estimator.endswith("crossed bootstrap")


@pytest.mark.parametrize("part", PARTS)
def test_a_level_that_leaves_a_part_out_says_so(run, part, monkeypatch):
    """And computes nothing of it."""
    for name in ("linear_response", "deciding_weights", "trained_chain", "flip_energies", "rotation"):
        monkeypatch.setattr(measure, name, lambda *_, name=name, **__: pytest.fail(name))
    run = dataclasses.replace(run, level=NOTHING)
    results = dict(response.measured(run, Missing("UNRESOLVED", "none")))
    for module in (deciding, trained_chains, single_columns, rotated):
        results |= module.measured(run)
    for row in PARTS[part](Measured("a model", results)):
        measured = row.routes["measured"]()
        assert measured.status == "NOT RUN"
        assert measured.reason.removeprefix("the small level leaves ").removeprefix("the ") == f"{part} out"


def test_a_level_without_draws_leaves_exp_d_out(run):
    level = dataclasses.replace(ALL, pool_draws=0)
    found = measurements._outlier_flips(dataclasses.replace(run, level=level))
    assert set(found) == {"exp_d.flips", "exp_d.matched"}
    assert {(row.status, row.reason) for row in found.values()} == {
        ("NOT RUN", "the small level leaves Exp D out")
    }


def test_a_model_too_small_leaves_its_rows_unresolved(run):
    small = dataclasses.replace(run, level=dataclasses.replace(NOTHING, flipped_columns=500))
    found = single_columns.measured(small)
    assert set(found) == set(single_columns.NAMES)
    for evidence in found.values():
        assert evidence.status == "UNRESOLVED"
        assert "received 500" in evidence.reason
    narrow = trained_chains.measured(dataclasses.replace(run, level=ALL))
    assert {evidence.status for evidence in narrow.values()} == {"UNRESOLVED"}
    assert "from width 128 on" in narrow["exp_b.law.0.01.1"].reason


@pytest.mark.slow  # compiles the derivatives
def test_derivatives_stand_without_flips_to_compare_them_with(run):
    absent = response.measured(run, Missing("UNRESOLVED", "too small"))
    assert set(absent) == set(response.names(ALL))
    assert absent[f"response.leverage.{RATE}.measured"].reason == "too small"
    assert absent["response.share_of_singles"].reason != "too small"


def row_of(rows, results, name):
    measured = Measured("a model", results)
    (claim,) = [claim for claim in rows(measured) if claim.name == name]
    return fill([claim], {})[0]


@pytest.mark.parametrize(
    ("factor", "error", "word"), [(1, 0.001, "REPRODUCED"), (2, 0.001, "DISAGREES"), (1, 0.1, "UNRESOLVED")]
)
def test_damage_is_judged_against_half_of_the_second_order(factor, error, word):
    name = f"response.outlier.{RATE}"
    results = {
        f"{name}.predicted": number(factor * 0.05, error),
        f"{name}.measured": number(0.05, error),
        f"{name}.halved": number(0.02, error),
    }
    row = row_of(lambda m: response.rows(ALL, m), results, f"response.outlier.rate={RATE}")
    assert row["verdict"] == word
    assert row["rival"]["value"] == 0.02


@pytest.mark.parametrize(
    ("module", "name", "evidence", "wrong"),
    [
        (
            deciding,
            "deciding.second_order",
            {"deciding.second_order": (1.46, 0.0), "deciding.flip": (1.5, 0.1)},
            (2.35, 0.1),
        ),
        (deciding, "deciding.rank_correlation", {"deciding.rank_correlation": (0.8, 0.1)}, (-0.8, 0.1)),
        (rotated, "rotation.flips", {"rotation.flips": (1.9, 0.1)}, (0.2, 0.1)),
        (single_columns, "exp_g.slope", {"exp_g.slope": (1.02, 0.04)}, (0.5, 0.04)),
        (single_columns, "exp_f.output.slope", {"exp_f.output": (0.99, 0.02)}, (0.5, 0.02)),
        (
            trained_chains,
            "exp_b.gaussian.p=0.01.L=1",
            {"exp_b.law.0.01.1": (3.6, 0.0), "exp_b.gaussian.0.01.1": (3.59, 0.02)},
            (2.64, 0.02),
        ),
    ],
)
def test_rows_hold_on_evidence_for_them_and_not_on_evidence_against(module, name, evidence, wrong):
    results = {key: number(*pair) for key, pair in evidence.items()}
    assert row_of(module.rows, results, name)["verdict"] == "REPRODUCED"
    results[list(evidence)[-1]] = number(*wrong)
    assert row_of(module.rows, results, name)["verdict"] == "DISAGREES"


def test_few_weights_in_perfect_order_are_no_proof(run):
    """A bootstrap of three ranks in order has no scatter: the error is what ranks without relation have."""
    ranked = measure.deciding_weights(*run.windows, verified=3, shortlisted=3, seed=1)
    perfect = dataclasses.replace(ranked.rank_correlation["fisher"], estimate=number(1.0, 0.0))
    found = dataclasses.replace(ranked, rank_correlation={"fisher": perfect})
    assert deciding._against_none(found).standard_error == pytest.approx(1 / np.sqrt(2))
    assert deciding._against_none(found).n == 0
    flipped = ranked.weights[0]
    gap = flipped.flip.value - flipped.first.value - flipped.second.value
    assert flipped.beyond.value == pytest.approx(gap, rel=1e-4)
    assert flipped.both.value == pytest.approx(flipped.first.value + flipped.second.value, rel=1e-6)
    none = dataclasses.replace(ranked, rank_correlation={"fisher": None})
    assert deciding._against_none(none).reason == "all ranks are equal"


def test_a_model_whose_loss_is_constant_has_no_deciding_weights(run):
    head = run.model.params["head"] * 0
    silent = dataclasses.replace(run, model=run.model.replace(params=run.model.params | {"head": head}))
    found = deciding.measured(silent)
    assert {evidence.status for evidence in found.values()} == {"UNRESOLVED"}


def test_a_rate_at_which_a_third_order_counts_is_not_judged():
    """The number stands beside the reason; a smaller rate of the same response is judged."""

    response_of = functools.partial(bare_response, slope=10.0)
    assert response.beyond(response_of(20.0, 0.0, 0), "rest", 0.1) == ""
    assert "25% of the first" in response.beyond(response_of(20.0, 0.0, 0), "rest", 0.2)
    # a sum that cancels is not small where its error is large
    assert "25% of the first" in response.beyond(response_of(0.0, 20.0, 0), "rest", 0.1)
    assert "known cost" in response.beyond(response_of(0.0, 0.0, 3), "rest", 0.05)
    assert response.beyond(response_of(0.0, 0.0, 3), "outlier", 0.05) == ""
    pair = response._pair("x", number(1, 0.1), number(1, 0.1), "why")
    assert pair["x.measured"].reason == "why"
    assert pair["x.measured"].estimate.standard_error == 0.1


def bare_response(pairs, error, known, slope):
    class Response(measure.LinearResponse):
        def is_outlier(self, place):
            return False

    found = object.__new__(Response)
    slopes = object.__new__(measure.Slopes)
    object.__setattr__(slopes, "slope", number(slope, 0.1))
    for name, value in (
        ("interaction", dict.fromkeys(("outlier", "rest"), number(pairs, error))),
        ("pools", dict.fromkeys(("outlier", "rest"), slopes)),
        ("singles", tuple(measure.Place(0, 0, 0, i) for i in range(known))),
    ):
        object.__setattr__(found, name, value)
    return found


def test_the_cost_of_a_level_counts_every_part():
    plain = claims.cost(NOTHING)["forward_passes_of_2048_tokens"]
    tokens = 8 * 16 / 2048
    for change, passes in (
        ({"probes": 2, "singles": 3}, (3 + 2 * 12 + 12 + 4 + 3) * tokens + 4 * 4 * 16 / 2048),
        ({"verified": 3}, (1 + 3 * 5) * tokens + 4 * 4 * 16 / 2048),
        ({"flipped_columns": 6}, (1 + 24 / 30 + 8) * tokens + 2 * 4 * 16 / 2048),
        ({"rotation_draws": 2}, 10 * tokens + 4 * 4 * 16 / 2048),
    ):
        with_it = claims.cost(dataclasses.replace(NOTHING, **change))["forward_passes_of_2048_tokens"]
        assert with_it - plain == pytest.approx(passes, abs=0.11)
