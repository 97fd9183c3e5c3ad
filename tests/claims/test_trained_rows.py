"""Rows on a trained model: each finds its evidence, is turned by wrong evidence, or says what it lacks."""

import dataclasses
import json
from unittest.mock import Mock

import numpy as np
import pytest
from small_runs import results_of

from signmag_jax import claims, measure, models
from signmag_jax.claims import families
from signmag_jax.claims.claim import Missing
from signmag_jax.claims.families import (
    alignment,
    deciding,
    incoherent,
    kinds,
    leverage,
    own_ratio,
    pictures,
    response,
    rotated,
    single_columns,
    trained,
    trained_chains,
)
from signmag_jax.claims.ledger import fill
from signmag_jax.claims.levels import LEVELS, Level
from signmag_jax.claims.measured import Measured, ModelRun
from signmag_jax.evidence import Estimate, InvalidInput
from signmag_jax.measure.place import Place
from signmag_jax.models import MATRICES

RATE = 0.05
SIZES = (64,), (2,), 2, 2, 2, 0, 16, 8, 4, (RATE,), (3,), 2, 2, 2, 6, 2, 3, 3, 2
ALL = Level("small", *SIZES, kind_draws=2, matrix_draws=2)
NOTHING = dataclasses.replace(
    ALL,
    column_draws=0,
    pool_draws=0,
    chain_draws=0,
    flipped_columns=0,
    probes=0,
    singles=0,
    verified=0,
    rotation_draws=0,
    kind_draws=0,
    matrix_draws=0,
)
PARTS = {
    "linear response": (response, (leverage.RESPONSE, leverage.CHECKED)),
    "deciding weights": (deciding, (deciding.DECIDING,)),
    "each matrix by itself": (own_ratio, (own_ratio.EACH,)),
    "flips against shifts by kind of matrix": (kinds, (kinds.KINDS,)),
    "errors of random signs": (incoherent, (incoherent.INCOHERENT,)),
    "Exp B": (trained_chains, (trained_chains.CHAIN,)),
    "Exp D": (trained, (trained.EXP_D,)),
    "Exp F and G": (single_columns, (single_columns.ENERGIES, single_columns.LOSSES)),
    "rotated model": (rotated, (rotated.ROTATION,)),
}
POOL = np.array([[True, False, False, False], [False, True, False, False]])
ALPHA = np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.5, 0.2, 0.2]])


def number(value, error):
    return Estimate(value, error, 1000, "1", "test", {"from": "test"})


def at_level(run, **changes):
    """The same model and text at another level, the activations known."""
    level = dataclasses.replace(run.level, **changes)
    return dataclasses.replace(run, level=level, results={alignment.PROFILE: run.needed(alignment.PROFILE)})


def without_a_model(level=ALL, **known):
    return ModelRun(Mock(spec=models.LanguageModel), None, None, level, 0, None, {"text": "none"}, **known)


@pytest.fixture(scope="module")
def run(hub_folder):
    model = models.load(hub_folder)
    tokens = np.random.default_rng(4).integers(0, 90, (12, 16)).astype(np.int32)
    return ModelRun(model, tokens[:4], tokens[4:], ALL, 0, None, {"text": "none"})


@pytest.mark.slow  # a program for each measurement: a minute of compiling
def test_every_row_finds_its_evidence(run):
    measured = results_of(ALL, {each: run.result(each) for each in families.measurements()}, "a model")
    rows = {row["name"]: row for row in fill(families.rows(ALL, measured), {})}
    found = 0
    for name, row in rows.items():
        cell = row["measured"]
        if cell is None or row["predicted"] is None:
            continue
        if "value" in cell:
            assert cell["provenance"], name
            found += 1
        else:
            assert cell["status"] == "UNRESOLVED", name
    assert found >= 7
    # The chain of Exp B needs matrices of width 128.
    assert "from width 128 on" in rows["exp_b.trained.p=0.01.L=1"]["measured"]["reason"]
    assert rows["fact_1.vector_cosine"]["measured"]["estimator"].endswith("crossed bootstrap")


@pytest.mark.parametrize("part", PARTS)
def test_a_level_that_leaves_a_part_out_says_so(part):
    """And computes nothing of it: there is no model to compute with."""
    module, measurements = PARTS[part]
    run = without_a_model(NOTHING)
    results = results_of(NOTHING, {each: run.result(each) for each in measurements})
    rows = list(module.rows(NOTHING, results))
    left_out = 0
    for row in rows:
        evidence = row.routes.get("measured", lambda: None)()
        if isinstance(evidence, Missing) and "leaves" in evidence.reason:
            assert evidence.status == "NOT RUN"
            assert (
                evidence.reason.removeprefix("the small level leaves ").removeprefix("the ") == f"{part} out"
            )
            left_out += 1
    assert left_out == (2 if part == "Exp D" else len(rows))


@pytest.mark.parametrize(
    ("piece", "function"), [(kinds.KINDS, "all_columns"), (own_ratio.EACH, "trained_chain")]
)
def test_every_part_of_a_measurement_keeps_records_of_its_own(piece, function, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(measure, function, lambda *_, resume, **options: asked.append(resume))
    model = Mock(spec=models.LanguageModel, config=Mock(hidden=576, layers=30))
    windows = np.zeros((16, 64), np.int32)
    run = dataclasses.replace(
        without_a_model(LEVELS["full"]), model=model, evaluation=windows, resume=tmp_path
    )
    assert len(run.result(piece)) == len(set(asked)) > 1
    assert all(folder.parent.parent == tmp_path for folder in asked)


def test_draws_in_one_kind_of_matrix_miss_no_weights_of_another():
    singles = tuple(Place(MATRICES.index(name), 0, 0, 0) for name in ("q_proj", "down_proj"))
    known = Mock(singles=singles, costs=np.array([[1.0, 3.0], [5.0, 5.0]]))
    found = results_of(ALL, {leverage.RESPONSE: known})
    missed = [leverage.missed_singles(found, 0.1, 2.0, (kind,)) for kind in ("q_proj", "down_proj", "v_proj")]
    assert missed == pytest.approx([0.1, 0.25, 0.0])
    assert leverage.missed_singles(found, 0.1, 2.0) == pytest.approx(0.35)


def test_a_measurement_that_needs_another_has_no_result_for_the_same_reason():
    flips, slopes = (Missing("UNRESOLVED", f"no {what}") for what in ("flips", "slopes"))
    known = {leverage.LEVERAGE: flips, leverage.RESPONSE: Mock(spec=measure.LinearResponse)}
    assert without_a_model(results=known).result(leverage.CHECKED) is flips
    known = {leverage.LEVERAGE: flips, leverage.RESPONSE: slopes}
    assert without_a_model(results=known).result(leverage.CHECKED) is slopes


def test_a_model_without_a_number_is_unresolved_and_other_mistakes_end_the_run():
    def fails(error):
        def measured(run, **_):
            raise error

        return Measured("test", measured)

    found = without_a_model().result(fails(measure.Unmeasurable("too small")))
    assert found == Missing("UNRESOLVED", "too small")
    with pytest.raises(InvalidInput, match="another run"):
        without_a_model().result(fails(InvalidInput("folder 'x' holds the records of another run")))


def test_matrices_that_the_recursion_does_not_know_leave_their_rows_unresolved():
    """Of weights that are all of one size, or whose tails are too heavy for their width."""
    for moments, why in (((1.0, 1.0, 1.0), r"0 < E|w|/σ < 1"), ((0.5, 10.0, 400.0), "first order in 1/n")):
        chain = measure.TrainedChain({}, trained_chains.RATES, (0, 1), 128, (moments,) * 2, {})
        law = trained_chains.law_of(chain, "trained")
        assert law.status == "UNRESOLVED"
        assert why in law.reason
        assert trained_chains.law_of(chain, trained_chains.CONTROL).value.shape == (2, 2)


def test_a_model_too_small_leaves_its_rows_unresolved(run):
    many = at_level(run, flipped_columns=500, leverage_rates=(1e-4,))
    for measurement, why in (
        (single_columns.ENERGIES, "received 500"),
        (single_columns.LOSSES, "received 500"),
        (trained_chains.CHAIN, "from width 128 on"),
        (leverage.LEVERAGE, "rate × outlier pool >= 1 flip"),
    ):
        missing = many.result(measurement)
        assert missing.status == "UNRESOLVED"
        assert why in missing.reason


def test_rows_of_outlier_columns_stop_where_a_draw_flips_weights_of_known_cost():
    """Which rates have such a row follows from the level and not from what is measured."""
    full = LEVELS["full"]
    names = {row.name for row in response.rows(full, results_of(full, {}))}
    for rate in full.leverage_rates:
        assert (f"response.outlier.rate={rate:g}" in names) == (rate * full.singles <= leverage.RARE)


@pytest.mark.parametrize(
    ("factor", "error", "word"), [(1, 0.001, "REPRODUCED"), (2, 0.001, "DISAGREES"), (1, 0.1, "UNRESOLVED")]
)
def test_damage_is_judged_against_the_first_order_alone(factor, error, word):
    predicted = number(factor * 0.05, error)
    second = 0.06 / RATE * factor
    slopes = Mock(spec=measure.Slopes, second=number(second, 0.0), slope=number(10.0, 0.1))
    derivatives = bare_response(0.0, 0.0, 0, slopes)
    flipped = measure.Check(RATE, "outlier", predicted, number(0.05, error), error * 2**0.5, None)
    ratio = Mock(spec=measure.LeverageCheck, flips=5, reason="not the matter of this test")
    checked = leverage.Checked(
        derivatives,
        Mock(spec=measure.Leverage, provenance={"of": "flips"}),
        {RATE: ratio},
        {(RATE, "outlier"): flipped},
    )
    row = fill([response.damage(RATE, "outlier", results_of(ALL, {leverage.CHECKED: checked}))], {})[0]
    assert row["verdict"] == word
    assert row["rival"]["value"] == pytest.approx(predicted.value - 0.06 * factor)


@pytest.mark.parametrize(
    ("name", "evidence", "wrong"),
    [
        ("deciding.rank_correlation", {"measured": (0.8, 0.1)}, (-0.8, 0.1)),
        ("rotation.flips", {"measured": (1.9, 0.1)}, (0.2, 0.1)),
        ("exp_g.slope", {"measured": (1.02, 0.04)}, (0.5, 0.04)),
        ("exp_f.output.slope", {"measured": (0.99, 0.02)}, (0.5, 0.02)),
        ("fact_1.own_ratio.matrix=3", {"predicted": (3.12, 0.0), "measured": (3.13, 0.02)}, (3.63, 0.02)),
        (
            "trained.flips_over_rest.q_proj.p=0.01",
            {"predicted": (3.1, 0.0), "measured": (3.1, 0.05)},
            (1.0, 0.05),
        ),
        ("exp_b.gaussian.p=0.01.L=1", {"predicted": (3.6, 0.0), "measured": (3.59, 0.02)}, (2.64, 0.02)),
    ],
)
def test_rows_hold_on_evidence_for_them_and_not_on_evidence_against(declared, name, evidence, wrong):
    claim = next(claim for claim in declared if claim.name == name)

    def judged(missed=None, **given):
        supplies = {route: lambda pair=pair: number(*pair) for route, pair in given.items()}
        given = dataclasses.replace(claim, routes={**claim.routes, **supplies}, missed=missed)
        row = fill([given], {})[0]
        return row["verdict"], row["reason"].partition("; ")[2]

    assert judged(**evidence) == ("REPRODUCED", "")
    assert judged(**evidence | {"measured": wrong}) == ("DISAGREES", "")
    if claim.missed is not None:  # draws of which nobody knows what they missed
        told = "what rare heavy draws add that were missed is in no error, and not known"
        assert judged(claim.missed, **evidence | {"measured": wrong}) == ("UNRESOLVED", told)
        told = "rare heavy draws that were missed may add 0.5, which is in no error"
        assert judged(lambda: 0.5, **evidence) == ("REPRODUCED", told)


@pytest.mark.parametrize(("flip", "word"), [(1.5, "REPRODUCED"), (1.61, "UNRESOLVED"), (2.35, "DISAGREES")])
def test_the_cost_of_a_deciding_weight_is_judged_by_the_paired_error(flip, word):
    first = Mock(spec=measure.DecidingWeight, both=number(1.46, 0.5), flip=number(flip, 0.5))
    first.beyond, first.place = number(flip - 1.46, 0.05), measure.Place(0, 0, 0, 0)
    weights = Mock(spec=measure.DecidingWeights, weights=(first,) * 3, provenance={"a": 1})
    weights.rank_correlation = {"fisher": None}
    results = results_of(ALL, {deciding.DECIDING: weights})
    row, ranks = fill(list(deciding.rows(ALL, results)), {})
    assert row["verdict"] == word
    assert ranks["reason"] == "all ranks are equal"


def test_few_weights_in_perfect_order_are_no_proof():
    """A bootstrap of three ranks in order has no scatter: the error is what ranks without relation have."""
    perfect = Mock(estimate=number(1.0, 0.0))
    weights = Mock(spec=measure.DecidingWeights, weights=(None,) * 3, provenance={"a": 1})
    weights.rank_correlation = {"fisher": perfect}
    evidence = deciding.against_no_relation(weights)
    assert evidence.standard_error == pytest.approx(1 / np.sqrt(2))
    assert evidence.n == 0


def test_a_rate_at_which_a_third_order_counts_is_not_judged():
    """The number stands beside the reason; a smaller rate of the same response is judged."""
    slopes = Mock(spec=measure.Slopes, slope=number(10.0, 0.1))
    assert leverage.beyond(bare_response(20.0, 0.0, 0, slopes), "rest", 0.1) == ""
    assert "25% of the first" in leverage.beyond(bare_response(20.0, 0.0, 0, slopes), "rest", 0.2)
    # a sum that cancels is not small where its error is large
    assert "25% of the first" in leverage.beyond(bare_response(0.0, 20.0, 0, slopes), "rest", 0.1)
    assert "known cost" in leverage.beyond(bare_response(0.0, 0.0, 3, slopes), "rest", 0.05)
    assert leverage.beyond(bare_response(0.0, 0.0, 3, slopes), "outlier", 0.05) == ""
    shown = response.unjudged(number(1, 0.1), "why")
    assert (shown.reason, shown.estimate.standard_error) == ("why", 0.1)


def bare_response(pairs, error, known, slopes):
    """Derivatives of two equal pools, and weights of known cost outside the outlier columns."""
    arms = ("outlier", "rest")
    return Mock(
        spec=measure.LinearResponse,
        interaction=dict.fromkeys(arms, number(pairs, error)),
        pools=dict.fromkeys(arms, slopes),
        singles=tuple(measure.Place(0, 0, 0, i) for i in range(known)),
        is_outlier=lambda place: False,
        provenance={"of": "derivatives"},
    )


def energy(norm, alpha=ALPHA):
    return measure.ColumnEnergy(alpha, np.asarray(norm, float), POOL, 0.01 * alpha)


def law(*energies):
    return leverage.pool_law({str(i): each for i, each in enumerate(energies)}, 8, {"a": 1})


@pytest.mark.parametrize("scale", [1e-70, 1.0, 1e90])
def test_the_law_of_pools_has_no_scale(scale):
    norms = np.array([[1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0]])
    evidence = law(energy(norms * scale), energy(norms[::-1] * scale))
    cost = np.concatenate([ALPHA * norms, ALPHA * norms[::-1]])
    pool = np.concatenate([POOL, POOL])
    assert evidence.value == pytest.approx(cost[pool].mean() / cost[~pool].mean())
    assert 0 < evidence.standard_error < 0.1 * evidence.value


@pytest.mark.parametrize(("norm", "where"), [(~POOL, "2 outlier columns"), (POOL, "6 other columns")])
def test_a_pool_that_costs_nothing_is_unresolved(norm, where):
    missing = law(energy(norm))
    assert missing.status == "UNRESOLVED"
    assert where in missing.reason
    assert isinstance(law(energy(np.zeros((2, 4)))), Missing)


STREAM = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")


def slopes_of(value, error):
    return Mock(spec=measure.Slopes, gauss_newton=Estimate(value, error, 8, "1", "test"))


@pytest.mark.parametrize("readers", [STREAM, STREAM[:1] + STREAM[3:]])
def test_the_map_of_columns_shows_what_was_measured_and_resolved(readers):
    value = np.array([[0.0, -1.0, 1.0, 4.0], [0.0, 0.0, 0.1, 100.0]])
    response = Mock(
        spec=measure.LinearResponse, columns=dict.fromkeys(readers, slopes_of(value, np.full((2, 4), 0.1)))
    )
    series = pictures.column_slopes(response)
    json.dumps(series, allow_nan=False)
    for table in series.values():
        assert np.argmax(table) == 7
        bottom = np.asarray(table) == pictures.NOT_SEPARATED
        assert bottom.tolist() == [[True, True, False, False], [True, True, True, False]]
        assert table[1][3] - table[0][3] == pytest.approx(np.log10(25), abs=2e-3)


def test_a_map_without_any_slope_is_finite():
    nothing = np.zeros((2, 4))
    response = Mock(spec=measure.LinearResponse, columns=dict.fromkeys(STREAM, slopes_of(nothing, nothing)))
    assert np.all(np.asarray(pictures.column_slopes(response)["mlp_in"]) == pictures.NOT_SEPARATED)


def test_a_column_that_is_never_active_has_alpha_zero():
    share = Estimate(np.zeros(2), np.zeros(2), 8, "1", "test")
    alpha = alignment.root_of_share(share, 0.0, 0.0, 3)
    assert (alpha.value, alpha.standard_error) == (0.0, 0.0)


def test_a_text_that_only_repeats_itself_is_refused_before_the_weights(hub_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(models.Checkpoint, "load", lambda *_: pytest.fail("the weights were read"))
    (tmp_path / "text.txt").write_text("abcdefgh" * 100)
    with pytest.raises(InvalidInput, match="windows of 16 tokens that repeat none of the first 4"):
        claims.check(ALL, out=tmp_path / "run", model=str(hub_folder), text=str(tmp_path / "text.txt"))


def test_the_cost_of_a_level_counts_every_part():
    plain = claims.cost(NOTHING)["forward_passes_of_2048_tokens"]
    tokens = 8 * 16 / 2048
    for change, passes in (
        ({"probes": 2, "singles": 3}, (3 + 2 * 11 + 12 + 4 + 3 + 5) * tokens + 4 * 4 * 16 / 2048),
        ({"verified": 3}, (1 + 3 * 5) * tokens + 4 * 4 * 16 / 2048),
        ({"flipped_columns": 6}, (1 + 24 / 30 + 8) * tokens + 2 * 4 * 16 / 2048),
        ({"rotation_draws": 2}, 10 * tokens + 4 * 4 * 16 / 2048),
    ):
        with_it = claims.cost(dataclasses.replace(NOTHING, **change))["forward_passes_of_2048_tokens"]
        assert with_it - plain == pytest.approx(passes, abs=0.11)
