"""Plans: sizes bit by bit, budgets, predictions by exact second orders, a planted matrix, and mistakes."""

import dataclasses
import importlib
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import build, with_block
from minute import unpacked, weights_of
from planted import own_text, planted
from small_models import MINUTE, TINY

from signmag_jax import measure
from signmag_jax.evidence import InvalidInput
from signmag_jax.measure.plan import check_plan
from signmag_jax.measure.plan_items import Rounded
from signmag_jax.measure.trials import BROKEN, with_trials
from signmag_jax.measure.widths import WIDTHS, rounded, stored_bits
from signmag_jax.models import MATRICES, logits, token_nll

WEIGHTS = TINY.layers * sum(math.prod(TINY.shapes()[name]) for name in MATRICES)
PER_WEIGHT = {"ternary": 1.6, **{str(k): k for k in range(2, 9)}}


@pytest.fixture(scope="module")
def planned(tiny, windows):
    return measure.plan(tiny, *windows, bits=4.5)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("shape", [(3, 320), (5, 33), (1, 7), (2, 1)])
def test_a_size_counts_every_code_and_every_scale(width, shape):
    rows, inputs = shape
    scales = len(range(0, inputs, 32))
    codes = len(range(0, inputs, 5)) * 8 if width == "ternary" else int(width) * inputs
    assert stored_bits(width, shape) == rows * (codes + 16 * scales)
    # Where groups are whole, a weight takes its code and its part of a scale.
    if inputs % 160 == 0:
        assert stored_bits(width, shape) / (rows * inputs) == pytest.approx(PER_WEIGHT[width] + 0.5)


def test_a_size_below_that_of_any_one_width_everywhere_is_refused(windows):
    """Rows of 7 take fewer bits at 2 bits, rows of 20 as ternary ones: no one width is as small as both."""
    model = build(config=dataclasses.replace(TINY, hidden=20, intermediate=7))
    options = {"matrices": ("up_proj", "down_proj"), "widths": ("ternary", "2")}
    smallest = 7 * (32 + 16) + 20 * (16 + 16)
    assert smallest > 7 * stored_bits("ternary", (1, 20)) + 20 * stored_bits("2", (1, 7))
    with pytest.raises(InvalidInput, match=r"bits >= 3\.4858"):
        measure.plan(model, *windows, bits=(smallest - 1) / 280, **options)


def test_bits_are_the_decimal_that_is_typed(windows, monkeypatch):
    """Rows of 40 take 2.8 bits a weight at 2 bits; 2.8 × 360 in floats is less than 1008."""

    def reached(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib.import_module("signmag_jax.measure.plan"), "derivatives", reached)
    model = build(config=dataclasses.replace(TINY, intermediate=9, layers=1))
    options = {"matrices": ("up_proj",), "widths": ("2",)}
    assert 2.8 * 360 < stored_bits("2", (9, 40)) == 1008
    with pytest.raises(KeyboardInterrupt):
        measure.plan(model, *windows, bits=2.8, **options)
    with pytest.raises(InvalidInput, match=r"bits >= 2\.8`.* 2\.7999"):
        measure.plan(model, *windows, bits=2.7999, **options)


def test_bits_that_no_shape_can_have_are_refused_before_a_model_is_opened():
    check_plan(2.1)
    with pytest.raises(InvalidInput, match=r"bits >= 2\.1`"):
        check_plan(2.09)
    with pytest.raises(InvalidInput, match=r"bits >= 4\.5`"):
        check_plan(4.4, ("4", "6"))


@pytest.mark.parametrize("width", WIDTHS)
def test_a_width_has_no_more_levels_than_its_codes_tell_apart(width):
    weight = jnp.asarray(np.random.default_rng(0).normal(size=(64, 32)), jnp.float32)
    levels = max(len(np.unique(row)) for row in np.asarray(rounded(width, weight)))
    assert levels <= (3 if width == "ternary" else 2 ** int(width))
    assert width != "4" or levels > 8  # control: it uses them


@pytest.mark.slow
def test_the_plan_adds_up_and_meets_its_budget(planned):
    assert planned.weights == WEIGHTS
    assert planned.budget == math.floor(4.5 * WEIGHTS)
    assert planned.size == sum(stored_bits(one.width, one.shape) for one in planned.matrices)
    assert planned.size <= planned.budget
    assert planned.uniform.size <= planned.budget
    assert len(planned.matrices) == TINY.layers * len(MATRICES)
    assert planned.bound <= planned.cost
    assert planned.exact


@pytest.mark.slow
def test_the_same_size_is_left_nearly_unused(planned):
    """What is left of the budget would not widen the smallest matrix by one bit."""
    smallest = min(math.prod(one.shape) for one in planned.matrices)
    assert planned.budget - planned.size < smallest


@pytest.mark.slow
def test_more_bits_are_never_predicted_to_cost_more(tiny, windows, planned):
    fewer, more = (measure.plan(tiny, *windows, bits=bits, draws=1) for bits in (3.0, 9.0))
    assert more.cost <= planned.cost <= fewer.cost
    assert fewer.size <= 3 * WEIGHTS
    assert {one.width for one in more.matrices} == {"8"}


@pytest.mark.slow
def test_a_plan_of_one_width_is_that_width_everywhere(tiny, windows):
    found = measure.plan(tiny, *windows, bits=7.5, widths=["5"])
    assert {one.width for one in found.matrices} == {"5"}
    assert found.uniform.what == "5 bits everywhere"
    # The plan is the uniform one: measured apart, the same.
    assert found.saved.estimate.value == 0


@pytest.mark.slow
def test_what_is_measured_is_the_loss_of_the_rounded_weights(tiny, windows, planned):
    """By another route: weights rounded on the host, and the loss of that model."""
    blocks = dict(tiny.params["blocks"])
    for one in planned.matrices:
        blocks[one.matrix] = (
            blocks[one.matrix].at[one.layer].set(rounded(one.width, blocks[one.matrix][one.layer]))
        )
    changed = tiny.replace(params=tiny.params | {"blocks": blocks})
    gap = measure.nll(changed, windows[1], batch=8).value - measure.nll(tiny, windows[1], batch=8).value
    assert planned.measured.metrics["delta_nll"].estimate.value == pytest.approx(gap, abs=2e-5)
    assert abs(gap) > 2e-4


def diagonal(model, tokens):
    """The Gauss–Newton diagonal of the mean loss of some windows, from every logit's own derivative."""

    def predicted(flat):
        return logits(MINUTE, model.params | {"blocks": model.params["blocks"] | unpacked(flat)}, tokens)[
            :, :-1
        ]

    flat = jnp.asarray(weights_of(model))
    slopes = np.asarray(jax.jacrev(predicted)(flat))
    p = np.asarray(jax.nn.softmax(predicted(flat)))[..., None]
    own = (p * slopes**2).sum(axis=2) - (p * slopes).sum(axis=2) ** 2
    return unpacked(own.mean(axis=(0, 1)))


@pytest.mark.slow
def test_predictions_are_the_second_order_of_each_matrix_alone(minute, minute_text):
    """By the exact diagonal of the Gauss–Newton matrix of few weights, along the error of each matrix."""
    calibration = np.random.default_rng(17).integers(0, MINUTE.vocabulary, (8, 9)).astype(np.int32)
    found = measure.plan(minute, calibration, minute_text[1], bits=6.0, seed=1)
    exact = diagonal(minute, jnp.asarray(calibration))
    ratios = []
    for one in found.matrices:
        weight = minute.params["blocks"][one.matrix][one.layer]
        error = np.asarray(rounded(one.width, weight) - weight)
        ratios.append(one.predicted / float((np.asarray(exact[one.matrix][one.layer]) * error**2).sum() / 2))
    scatter = np.std(ratios, ddof=1) / math.sqrt(len(ratios))
    # Half or twice of it, as of a forgotten factor, would be told apart.
    assert scatter < 0.1
    assert abs(np.mean(ratios) - 1) < 4 * scatter


def decided_by(model, layer):
    """A model of which the other layers add next to nothing to the stream."""
    for name in ("o_proj", "down_proj"):
        weight = np.asarray(model.params["blocks"][name]).copy()
        weight[np.arange(TINY.layers) != layer] *= 1e-3
        model = with_block(model, name, weight)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("layer", [0, 2])
def test_the_matrices_that_decide_get_the_most_bits(windows, layer):
    def bits_of(model):
        found = measure.plan(model, *windows, bits=4.5, draws=1)
        bits = {(one.layer, one.matrix): PER_WEIGHT[one.width] for one in found.matrices}
        return [[value for at, value in bits.items() if (at[0] == layer) == mine] for mine in (True, False)]

    plain = build(seed=4)
    mine, others = bits_of(decided_by(plain, layer))
    assert min(mine) > max(others)
    # Control: of the model as it was that layer is one like the others.
    mine, others = bits_of(plain)
    assert min(mine) <= max(others)


PREDICTED = np.asarray([[8.0, 4.0, 2.0, 1.0], [0.8, 0.4, 0.0, 0.0]])


@pytest.mark.parametrize(
    ("found", "first", "second"),
    [
        ({}, [8, 4, 2, 1], [0.8, 0.4, 0, 0]),
        # Its own cost, and the narrower ones by the same factor; wider ones stay.
        ({(0, 2): 20.0}, [80, 40, 20, 1], [0.8, 0.4, 0, 0]),
        # A second trial replaces what the first had made of it: nothing adds up.
        ({(0, 2): 20.0, (0, 1): 12.0}, [80, 12, 20, 1], [0.8, 0.4, 0, 0]),
        ({(0, 2): 20.0, (0, 0): 9.0}, [8, 40, 20, 1], [0.8, 0.4, 0, 0]),
        # Of two factors the larger, whichever was found first.
        ({(0, 1): 40.0, (0, 3): 5.0}, [80, 40, 10, 5], [0.8, 0.4, 0, 0]),
        # About as predicted, or less.
        ({(0, 2): 3.9, (1, 0): -1.0}, [8, 4, 2, 1], [0.8, 0.4, 0, 0]),
        # Where derivatives see nothing at all.
        ({(1, 2): 0.5}, [8, 4, 2, 1], [0.8, 0.5, 0.5, 0]),
        ({(0, 1): math.nan, (1, 3): math.inf}, [BROKEN, BROKEN, 2, 1], [BROKEN] * 4),
    ],
)
def test_a_trial_takes_the_place_of_a_prediction_that_it_exceeds_by_far(found, first, second):
    np.testing.assert_allclose(with_trials(PREDICTED, found), [first, second])
    backwards = dict(reversed(found.items()))
    np.testing.assert_array_equal(with_trials(PREDICTED, backwards), with_trials(PREDICTED, found))


def test_a_trial_at_two_bits_says_nothing_of_ternary_which_errs_less():
    ternary_errs_less = np.asarray([[3.0, 8.0, 2.0, 1.0]])
    np.testing.assert_allclose(with_trials(ternary_errs_less, {(0, 1): 80.0}), [[3, 80, 2, 1]])
    # Control: the other way round it does, and so does a trial of what errs less than both.
    np.testing.assert_allclose(with_trials(ternary_errs_less, {(0, 0): 30.0}), [[30, 80, 2, 1]])
    np.testing.assert_allclose(with_trials(ternary_errs_less, {(0, 2): 20.0}), [[30, 80, 20, 1]])


def shut():
    """A model with a saturated gate, unseen by derivatives, that rounding to 2 bits opens wide."""
    model = planted()
    embedding = np.array(model.params["embed"])
    embedding[:, [0, 5, 9]], embedding[:, 3] = 5, 0
    blocks = {name: np.array(model.params["blocks"][name]) for name in ("o_proj", "down_proj", "gate_proj")}
    blocks["o_proj"][:, [0, 3, 5, 9]] = blocks["down_proj"][0, [0, 3, 5, 9]] = 0
    blocks["down_proj"][1, :, 4] *= 5  # what the gate opens is heard
    # Column 3 is always 0, and with 2 bits all that is left besides is 0 and 40.
    blocks["gate_proj"][1, 4] = 0
    blocks["gate_proj"][1, 4, [0, 3, 5, 9]] = [-19, 40, -19, 21]
    changed = model.params["blocks"] | {name: jnp.asarray(table) for name, table in blocks.items()}
    model = model.replace(params=model.params | {"blocks": changed, "embed": jnp.asarray(embedding)})
    return model, (own_text(model, 4, 5), own_text(model, 8, 9))


@pytest.mark.slow
def test_a_planted_matrix_that_derivatives_do_not_see_gets_its_bits(monkeypatch):
    model, texts = shut()
    options = {"bits": 4.2, "widths": ("2", "4"), "layers": (1,), "draws": 1}
    options["matrices"] = ("gate_proj", "up_proj", "down_proj")

    def gate():
        found = measure.plan(model, *texts, **options)
        return next(one for one in found.matrices if one.matrix == "gate_proj"), found

    one, found = gate()
    assert one.width == "4"
    # What is minimised is each matrix's own cost, once.
    slack = sum(abs(each.tried) for each in found.matrices if each.tried is not None)
    assert found.cost <= found.predicted.value + slack
    monkeypatch.setattr(importlib.import_module("signmag_jax.measure.plan_costs"), "TRIALS", 0)
    blind, without = gate()
    assert blind.width == "2"
    lost, left = (each.measured.metrics["delta_nll"].estimate.value for each in (without, found))
    assert lost > 2 * max(left, 10 * blind.predicted)


@pytest.mark.slow
def test_the_transform_changes_the_matrices_of_its_table_and_no_others(tiny, windows):
    table = {name: jnp.zeros(TINY.layers, jnp.int32) for name in MATRICES}
    none = Rounded(("2",), table)
    tokens = jnp.asarray(windows[1][:2])
    clean = token_nll(TINY, tiny.params, tokens)
    np.testing.assert_allclose(token_nll(TINY, tiny.params, tokens, none), clean, rtol=1e-5)
    one = Rounded(("2",), {**table, "up_proj": table["up_proj"].at[1].set(1)})
    weight = tiny.params["blocks"]["up_proj"]
    moved = with_block(tiny, "up_proj", weight.at[1].set(rounded("2", weight[1])))
    after = token_nll(TINY, tiny.params, tokens, one)
    np.testing.assert_allclose(after, token_nll(TINY, moved.params, tokens), rtol=1e-4)
    assert not np.allclose(after, clean, rtol=1e-4)


@pytest.mark.slow
def test_an_interrupted_plan_goes_on_to_the_same(tiny, windows, planned, tmp_path):
    kept = measure.plan(tiny, *windows, bits=4.5, resume=tmp_path)
    for record in sorted(tmp_path.rglob("record-*.json"))[::2]:
        record.unlink()
    again = measure.plan(tiny, *windows, bits=4.5, resume=tmp_path)
    assert again.matrices == kept.matrices == planned.matrices
    assert again.measured.metrics["kl"].estimate.value == kept.measured.metrics["kl"].estimate.value


@pytest.mark.slow
def test_the_loss_as_aim_takes_what_windows_agree_on(tiny, windows, planned):
    found = measure.plan(tiny, *windows, bits=4.5, aim="nll", draws=1)
    assert found.size <= found.budget
    assert found.first.value <= planned.first.value
    assert found.predicted.value >= planned.predicted.value


@pytest.mark.slow
def test_the_file_is_strict_json_of_its_schema(planned, tmp_path):
    planned.write(tmp_path / "plan.json")
    plain = json.loads((tmp_path / "plan.json").read_text())
    assert plain["schema"] == "signmag.plan/1"
    assert plain["matrices"][0].keys() >= {"layer", "matrix", "shape", "width", "size"}
    assert planned.rows()[0].keys() >= {"choice", "window", "value", "metric"}
    assert "bits a weight" in planned.summary()["plan"]
    assert planned.picture().kind == "layers"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"bits": 0.0}, "bits"),
        ({"bits": float("nan")}, "bits"),
        ({"bits": 2.0}, "bits >= "),
        ({"bits": 17.0}, "bits"),
        ({"widths": ["9"]}, "widths"),
        ({"widths": []}, "widths"),
        ({"widths": ["4", "4"]}, "widths"),
        ({"widths": ["6"]}, "bits >= "),
        ({"draws": 0}, "draws"),
        ({"layers": [3]}, "layers"),
    ],
)
def test_mistakes_are_named(tiny, windows, options, named):
    with pytest.raises(InvalidInput, match=named):
        measure.plan(tiny, *windows, **options)
