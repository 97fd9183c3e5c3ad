"""What is left of a quantised matrix's cost with its head kept, against edited weights and not scores."""

import dataclasses
import json

import numpy as np
import pytest
from conftest import with_block
from planted import WEIGHTS, own_text, planted

from signmag_jax import measure
from signmag_jax.models import window_nll

KIND = "down, no outlier"
WHERE = WEIGHTS[KIND][0]


@pytest.fixture(scope="module")
def case():
    """A weight of 60 among others of size 1 or less, which ternarising halves, and all others it drops."""
    model = planted(KIND)
    text, other = own_text(model, 16, 5), own_text(model, 64, 9)
    report = measure.quantization_report(
        model, other, quantizers=("ternary",), layers=(1,), matrices=("down_proj",)
    )
    profile = measure.alpha(model, text)
    mask = measure.protection(model, profile, report)
    return model, text, other, profile, mask


def ternary(w):
    size = np.abs(w)
    kept = size > size.mean() / 2
    return np.where(kept, np.sign(w) * size[kept].mean(), 0.0)


def edited_cost(model, tokens, rows, columns):
    table = np.array(model.params["blocks"]["down_proj"])
    coarse = ternary(table[1])
    coarse[rows, columns] = table[1][rows, columns]
    table[1] = coarse
    edited = with_block(model, "down_proj", table)
    return float((window_nll(edited, tokens, batch=64) - window_nll(model, tokens, batch=64)).mean())


def test_the_single_weight_is_found_and_what_is_left_is_that_of_edited_weights(case, tmp_path):
    model, text, other, profile, mask = case
    (found,) = measure.what_is_left(model, text, other, profile, mask, resume=tmp_path)
    assert found.weight == WHERE
    left = {
        found.all_quantized: edited_cost(model, other, [], []),
        found.weight_kept: edited_cost(model, other, [WHERE.row], [WHERE.column]),
    } | {
        each: edited_cost(model, other, slice(None), list(found.columns[:count]))
        for count, each in found.columns_kept.items()
    }
    for interval, truth in left.items():
        assert interval.estimate.value == pytest.approx(truth, rel=1e-6, abs=1e-9)
        assert interval.low <= interval.estimate.value <= interval.high
    whole, kept = found.all_quantized.estimate.value, found.weight_kept.estimate.value
    assert kept < 0.5 * whole
    # the control: the weight that carries least of the error saves nothing like it
    table = np.abs(ternary(np.asarray(model.params["blocks"]["down_proj"][1])))
    other_row = (WHERE.row + 1) % len(table)
    assert edited_cost(model, other, [other_row], [WHERE.column]) > 0.8 * whole
    first, second, *_ = found.lines().items()
    assert first[0] == f"ternary layer 1 down_proj, [{WHERE.row}, {WHERE.column}] kept"
    assert second[0] == f"ternary layer 1 down_proj, column {found.columns[0]} kept"
    again = measure.what_is_left(model, text, other, profile, mask, resume=tmp_path)
    assert json.dumps([each.to_json() for each in again]) == json.dumps([found.to_json()])


def test_a_matrix_that_is_not_hurt_has_no_head(case):
    model, text, other, profile, mask = case
    hurt = mask.matrices[0]
    for change in ({"resolved": False}, {"delta_nll": -1.0}):
        harmless = dataclasses.replace(mask, matrices=(hurt._replace(**change),))
        assert measure.what_is_left(model, text, other, profile, harmless) == ()
