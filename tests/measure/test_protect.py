"""Protecting weights from the error of the others, on a model with a planted weight that decides."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest
from conftest import with_block
from planted import SATURATED, WEIGHTS, own_text, planted

from signmag_jax import measure
from signmag_jax.evidence import Estimate, InvalidInput, bootstrap
from signmag_jax.measure import choice
from signmag_jax.measure.protected import METRICS
from signmag_jax.measure.trial import STORED, Trial
from signmag_jax.models import MATRICES, window_nll
from signmag_jax.models.text import divided
from signmag_jax.perturb import Ternarize

pytestmark = pytest.mark.slow
PLACE = WEIGHTS[SATURATED][0]
ONE, FEW, ALL = "0.05%", "3%", "100%"
"""Of 2,688 weights: 1, 81 and all."""


@pytest.fixture(scope="module")
def model():
    """A gate that a single weight keeps shut: no derivative sees it."""
    return planted(SATURATED)


@pytest.fixture(scope="module")
def text(model):
    first, others = own_text(model, 8, 5), own_text(model, 40, 9)
    return divided(np.concatenate([first, others]).ravel(), first.shape[1], len(first), 12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("records")


@pytest.fixture(scope="module")
def found(model, text, folder):
    return measure.protect(model, *text, budget=(ONE, FEW, ALL), resume=folder)


def of(report, budget, criterion="cost"):
    (one,) = (each for each in report.choices if (each.budget, each.criterion) == (budget, criterion))
    return one


def loss(model, text, transform=None):
    return window_nll(model, text, transform, batch=len(text)).mean(axis=1)


def ternary(model, kept=None):
    """All matrices of an edited model, quantised by NumPy but where `kept`."""
    for name in MATRICES:
        w = np.asarray(model.params["blocks"][name])
        size = np.abs(w)
        above = size > size.mean(axis=(1, 2), keepdims=True) / 2
        scale = (size * above).sum(axis=(1, 2), keepdims=True) / above.sum(axis=(1, 2), keepdims=True)
        coarse = np.where(above, np.sign(w) * scale, 0.0)
        if kept is not None:
            coarse = np.where(kept[name], w, coarse)
        model = with_block(model, name, coarse)
    return model


def read(mask, model, path):
    """The places of a written mask, as boolean tables, and the JSON."""
    mask.write(path)
    plain = json.loads(path.read_text())
    tables = {name: np.zeros(model.params["blocks"][name].shape, bool) for name in MATRICES}
    for each in plain["kept"]:
        table = tables[each["matrix"]][each["layer"]]
        assert list(table.shape) == each["shape"]
        table.ravel()[each["places"]] = True
    return tables, plain


def test_everything_perturbed_is_the_plain_quantiser(model, text, found):
    """By edited weights, and by the measurement of metrics."""
    truth = loss(ternary(model), text[1]) - loss(model, text[1])
    np.testing.assert_allclose(found.samples["delta_nll"]["everything"][0], truth, rtol=1e-9)
    plain = measure.metrics(model, text[1], Ternarize())
    for name in METRICS:
        assert found.everything[name].estimate.value == pytest.approx(plain.values[name].estimate.value)


def test_everything_protected_is_the_clean_model_exactly(found):
    for each in found.choices:
        if each.budget == ALL:
            assert each.metrics["delta_nll"].estimate.value == 0
            assert abs(each.metrics["kl"].estimate.value) < 1e-12
            assert each.metrics["agreement"].estimate.value == 1


def test_a_mask_read_back_gives_the_same_loss(model, text, found, tmp_path):
    for index, count in enumerate((1, 81, 2688)):
        tables, plain = read(found.masks[index], model, tmp_path / "mask.json")
        assert sum(table.sum() for table in tables.values()) == count
        assert plain["budget"]["weights"] == count == of(found, (ONE, FEW, ALL)[index]).weights
        assert plain["budget"]["of"] == 2688
        truth = loss(ternary(model, tables), text[1]) - loss(model, text[1])
        key = f"{plain['budget']['typed']}, predicted cost"
        np.testing.assert_allclose(found.samples["delta_nll"][key][0], truth, rtol=1e-9, atol=1e-12)
        assert len(plain["weights"]) == min(count, 200)
        assert plain["matrices"][0].keys() >= {"layer", "matrix", "delta_nll", "standard_error", "resolved"}
    assert len(plain["whole"]) == 2 * len(MATRICES)


def test_the_weight_that_decides_is_found_and_derivatives_do_not_see_it(model, text, tmp_path, monkeypatch):
    """Of sign flips the planted weight is protected first; by derivatives alone it is among the last half."""
    report = measure.protect(
        model, *text, against="flips:0.5", budget=ONE, compare=("random", "imatrix_weights"), draws=4
    )
    tables, plain = read(report.masks[0], model, tmp_path / "mask.json")
    assert tables["gate_proj"][PLACE.layer, PLACE.row, PLACE.column]
    assert plain["weights"][0] | {"score": 0} == {**PLACE.to_json(), "score": 0}
    # As expected of a rate of one half, and so that all scores of a mask are of one unit.
    assert plain["weights"][0]["score"] > 0.25
    own = sum(each["cost"] for each in plain["predicted"] if each["matrix"] == "gate_proj")
    assert plain["weights"][0]["score"] < own
    monkeypatch.setattr(choice, "suspects", lambda *_: [])
    blind = measure.protect(model, *text, against="flips:0.5", budget="50%", compare=())
    tables, _ = read(blind.masks[0], model, tmp_path / "mask.json")
    assert not tables["gate_proj"][PLACE.layer, PLACE.row, PLACE.column]


def test_intervals_are_paired_over_windows(found):
    other = of(found, FEW, "size")
    table = found.samples["delta_nll"]
    gap = table[f"{FEW}, weight size |w|"] - table[f"{FEW}, predicted cost"]
    truth = bootstrap.mean(gap, unit="nat/token")
    assert (other.excess.estimate.value, other.excess.low, other.excess.high) == (
        truth.estimate.value,
        truth.low,
        truth.high,
    )
    assert of(found, FEW).excess is None
    assert table[f"{FEW}, at random"].shape == (2, 12)


def test_flips_are_common_to_all_criteria(model, text):
    """Whoever chooses meets the same flips: rows of one draw agree where hardly anything is protected."""
    report = measure.protect(
        model, *text, against="flips:0.1", budget=(ONE, "5%"), compare=("size", "random"), draws=3
    )
    table = report.samples["delta_nll"]
    assert all(each.shape == (3, 12) for each in table.values())
    # Also those of a matrix alone: its error counts the draws, which differ more than windows do.
    for each in report.alone:
        assert each.damage.estimate.n == 3
    # One weight at random of 2,688 flips in one draw of ten: without it nothing differs, to the last bit.
    same = table["everything"] == table[f"{ONE}, at random"]
    assert same.all(axis=1).any()
    assert len(np.unique(table["everything"][:, 0])) == 3
    assert {mask.scale for mask in report.masks} == {""}  # a flip has none


def test_a_budget_in_bits_is_the_same_bits_for_all(model, text, tmp_path):
    """Whole columns need no places: of one budget they keep three times as many weights."""
    report = measure.protect(model, *text, budget="0.48b", compare=("random", "awq"))
    ours, chance, awq = report.choices
    assert (ours.weights, chance.weights, awq.weights) == (26, 26, 78)
    _, plain = read(report.masks[0], model, tmp_path / "mask.json")
    assert plain["budget"]["bits"] == 26 * 48 <= 0.48 * 2688
    columns = measure.protect(model, *text, budget="0.48b", unit="columns", compare=("size", "awq"))
    ours, size, awq = columns.choices
    assert ours.weights == awq.weights == 3 * size.weights + ours.weights % 3


def test_a_matrix_without_a_finite_loss_is_first_and_says_so(model, text, monkeypatch):
    """Alone, the third is broken on two of 12 windows: it was dropped, and is now first, also in the mask."""
    plain = Trial.row

    def row(self, kept, draw):
        found, masks = plain(self, kept, draw), kept()
        if not np.asarray(masks[broken[1]][broken[0]]).any():
            found.reshape(len(STORED), -1)[:, :2] = np.nan
        return found

    first = measure.protect(model, *text, budget=ONE, compare=())
    broken = first.alone[-1].layer, first.alone[-1].matrix
    monkeypatch.setattr(Trial, "row", row)
    found = measure.protect(model, *text, budget=ONE, compare=())
    alone, hurt = found.alone[0], found.masks[0].matrices[0]
    assert len(found.alone) == len(first.alone) == 3
    assert (alone.layer, alone.matrix) == (hurt.layer, hurt.matrix) == broken
    assert (alone.damage, alone.not_finite, hurt.delta_nll, hurt.not_finite) == (None, 2, None, 2)
    assert "not finite on 2 windows" in found.summary()[f"layer {broken[0]} {broken[1]} alone"]
    assert found.masks[0].to_json()["matrices"][0]["not_finite"] == 2


@pytest.mark.parametrize("unit", ["columns", "matrices"])
def test_whole_columns_and_matrices(model, text, unit, tmp_path):
    report = measure.protect(model, *text, budget="20%", unit=unit, compare=("random",))
    tables, plain = read(report.masks[0], model, tmp_path / "mask.json")
    count = sum(table.sum() for table in tables.values())
    assert 0 < count <= 0.2 * 2688
    assert count == report.choices[1].weights
    for table in tables.values():
        for layer in table:
            axis = None if unit == "matrices" else 0
            assert (layer.all(axis=axis) == layer.any(axis=axis)).all()
    listed = plain["columns"] if unit == "columns" else plain["whole"]
    assert listed


def test_of_whole_matrices_the_costliest_are_first(model, text):
    """What is taken of them is taken from the top; layer by layer is another order."""
    report = measure.protect(model, *text, budget=("20%", "40%", "80%"), unit="matrices", compare=())
    few, more, most = (mask.whole for mask in report.masks)
    assert few == more[: len(few)] != more == most[: len(more)] != most
    assert more != tuple(sorted(more, key=lambda at: (at[0], MATRICES.index(at[1]))))


def test_a_budget_that_pays_for_no_whole_matrix_is_refused_before_anything_runs(model, text, monkeypatch):
    def never(*_):
        raise AssertionError("nothing is computed")

    monkeypatch.setattr(choice, "token_fisher", never)
    monkeypatch.setattr(Trial, "row", never)
    with pytest.raises(InvalidInput, match="pays for any of the matrices"):
        measure.protect(model, *text, budget=("1%", "50%"), unit="matrices", compare=())


def test_a_run_that_goes_on_gives_the_same(model, text, found, folder):
    some = sorted(folder.glob("record-*.json"))
    for path in some[1::2]:
        path.unlink()
    again = measure.protect(model, *text, budget=(ONE, FEW, ALL), resume=folder)
    assert again.to_json() == found.to_json()
    assert [each.to_json() for each in again.masks] == [each.to_json() for each in found.masks]
    with pytest.raises(InvalidInput, match="another run"):
        measure.protect(model, *text, budget=(ONE, FEW), resume=folder)


def test_layers_and_matrices_that_take_no_part_are_left_alone(model, text):
    report = measure.protect(
        model, *text, budget="10%", layers=(1,), matrices=("up_proj",), compare=("size", "awq")
    )
    assert set(report.masks[0].kept) == {(1, "up_proj")}
    # Nor are their weights listed, or tried.
    (kept,), width = report.masks[0].kept.values(), model.config.hidden
    listed = [each.row * width + each.column for each in report.masks[0].weights]
    assert sorted(listed) == kept.tolist()
    assert {(each.place.layer, each.place.name) for each in report.suspects} == {(1, "up_proj")}
    assert report.masks[0].budget["of"] == model.params["blocks"]["up_proj"][1].size
    edited = np.array(model.params["blocks"]["up_proj"])
    edited[1] = np.asarray(measure.quantized(Ternarize(), jnp.asarray(edited[1]), "tensor"))
    truth = loss(with_block(model, "up_proj", edited), text[1]) - loss(model, text[1])
    np.testing.assert_allclose(report.samples["delta_nll"]["everything"][0], truth, rtol=1e-9, atol=1e-12)


def test_least_damage_is_said_with_whether_it_is_known(found):
    """Ours must be told from all others, another from ours; of losses that are not finite none is least."""

    def shown(**gaps):
        kept = []
        for each in found.choices:
            if each.budget == FEW and each.criterion in ("cost", *gaps):
                value, error = gaps.get(each.criterion, (1.0, 0.0))
                loss = dataclasses.replace(
                    each.metrics["delta_nll"], estimate=Estimate(value, error, 12, "nat/token", "mean", {})
                )
                gap = dataclasses.replace(
                    loss, estimate=Estimate(value - 1, error, 12, "nat/token", "mean", {})
                )
                kept.append(
                    dataclasses.replace(
                        each,
                        metrics={**each.metrics, "delta_nll": loss},
                        excess=None if each.criterion == "cost" else gap,
                    )
                )
        return dataclasses.replace(found, choices=tuple(kept)).summary().get(f"{FEW}, least damage")

    assert shown(size=(2.0, 0.1), awq=(3.0, 0.1)) == "predicted cost"
    assert shown(size=(2.0, 0.5), awq=(3.0, 0.1)) == "predicted cost, unresolved"
    assert shown(size=(0.5, 0.1), awq=(0.9, 0.5)) == "weight size |w|"
    assert shown(size=(0.5, 0.4), awq=(3.0, 0.1)) == "weight size |w|, unresolved"
    lost = tuple(dataclasses.replace(each, metrics=dict.fromkeys(METRICS)) for each in found.choices)
    assert dataclasses.replace(found, choices=lost).least == {}


def test_a_report_shows_itself(found, tmp_path):
    lines = found.summary()
    assert lines[f"{FEW}, least damage"]
    assert set(found.least) == {ONE, FEW, ALL}
    assert len(found.rows()) == 3 * 12 * (1 + 3 * (7 + 2))
    json.dumps(found.to_json(), allow_nan=False)
    found.plot(tmp_path / "damage.svg")
    assert (tmp_path / "damage.svg").stat().st_size > 1000
