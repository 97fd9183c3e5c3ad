"""The report on quantised matrices against NumPy, edited weights, theory's linear law, and a saved mask."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from conftest import LOUD, build, streams, with_block

from signmag_jax import measure, theory
from signmag_jax.evidence import InvalidInput, bootstrap
from signmag_jax.measure.layer import LayerStates
from signmag_jax.measure.quantization_report import QUANTIZERS, output_errors
from signmag_jax.measure.quantized_matrix import LEVELS
from signmag_jax.models import window_nll
from signmag_jax.perturb import Moments

SCALES, NAMES = ("tensor", "row", 32), ("o_proj", "down_proj")


def report_of(model, windows, matrices=NAMES, layers=(1,), **options):
    """With every quantiser and scale, so that one program for each matrix serves all reports."""
    return measure.quantization_report(
        model, windows[1], scales=SCALES, layers=layers, matrices=matrices, **options
    )


@pytest.fixture(scope="module")
def found(tiny, windows):
    return report_of(tiny, windows)


def entry(report, matrix, quantizer, scale="tensor"):
    (one,) = (
        each
        for each in report.entries
        if (each.matrix, each.quantizer, each.scale) == (matrix, quantizer, scale)
    )
    return one


def by_numpy(w, quantizer):
    """A quantiser on any block of weights that share a scale, in float64."""
    size = np.abs(w)
    if quantizer == "sign":
        return np.where(w < 0, -1.0, 1.0) * size.mean()
    kept = size > size.mean() / 2
    scale = size.mean() if quantizer == "bitnet" else size[kept].mean()
    return np.where(kept, np.sign(w) * scale, 0.0)


def grouped(w, quantizer, scale):
    if scale == "tensor":
        return by_numpy(w, quantizer)
    out = np.empty_like(w)
    for i in range(w.shape[0]):
        size = w.shape[1] if scale == "row" else scale
        for start in range(0, w.shape[1], size):
            out[i, start : start + size] = by_numpy(w[i, start : start + size], quantizer)
    return out


def test_groups_are_those_of_numpy_with_a_shorter_last_one(tiny):
    w = tiny.params["blocks"]["down_proj"][1]  # 60 columns: groups of 32 and 28
    every = [(quantizer, scale) for quantizer in QUANTIZERS for scale in SCALES]
    ours = quick.jit(lambda w: [measure.quantized(QUANTIZERS[label], w, scale) for label, scale in every])(w)
    w = np.asarray(w, np.float64)
    for (quantizer, scale), found in zip(every, map(np.asarray, ours), strict=True):
        np.testing.assert_allclose(found, grouped(w, quantizer, scale), rtol=1e-5)
        other = grouped(w, quantizer, "row" if scale == 32 else 32)
        assert np.abs(found - other).max() > 1e-2


def test_radial_and_transverse_make_the_whole_error(found):
    assert len(found.entries) == 2 * 3 * 3
    for each in found.entries:
        for level in LEVELS:
            error, radial, transverse = (
                each.parts[level][part].value for part in ("error", "radial", "transverse")
            )
            assert radial + transverse == pytest.approx(error, rel=1e-5)
            assert min(radial, transverse) > 0
        assert each.cosine_squared == pytest.approx(each.c**2 / each.v)


@pytest.mark.parametrize("name", NAMES)
def test_every_level_is_that_of_edited_weights(tiny, windows, found, name):
    w = np.asarray(tiny.params["blocks"][name], np.float64)
    coarse = w.copy()
    coarse[1] = grouped(w[1], "ternary", "row")
    other = with_block(tiny, name, coarse.astype(np.float32))
    each = entry(found, name, "ternary", "row")
    damage = window_nll(other, windows[1], batch=8) - window_nll(tiny, windows[1], batch=8)
    assert each.damage.estimate.value == pytest.approx(damage.mean(), abs=3e-6)
    assert abs(damage.mean()) > 1e-4
    assert each.c == pytest.approx((w[1] * coarse[1]).sum() / (w[1] ** 2).sum(), rel=1e-5)
    behind = []
    for model in (tiny, other):
        kept = np.array(model.params["blocks"]["down_proj"])
        if name == "o_proj":
            kept[1] = 0  # then the layer ends with the stream that enters its second normalisation
        bare = with_block(model, "down_proj", kept)
        behind.append(streams(bare, windows[1])[1])
    for level in ("stream", "normalised"):
        y, moved = behind
        if level == "normalised":
            y, moved = (x / np.sqrt((x**2).mean(-1, keepdims=True) + tiny.config.eps) for x in behind)
        size, error = (y**2).sum(-1), moved - y
        radial = (error * y).sum(-1) ** 2 / size
        truth = {"error": (error**2).sum(-1) / size, "radial": radial / size}
        for part, value in truth.items():
            assert each.parts[level][part].value == pytest.approx(value.mean(), rel=2e-3)


def test_the_normalisation_lets_the_transverse_part_through(tiny, windows):
    """Exactly its derivative for small errors: here a matrix that a group of 2 hardly changes."""
    w = np.array(tiny.params["blocks"]["down_proj"]) * 1e-2
    report = report_of(with_block(tiny, "down_proj", w), windows, ("down_proj",), losses=False)
    each = entry(report, "down_proj", "bitnet")
    parts = each.parts
    assert parts["normalised"]["error"].value == pytest.approx(parts["stream"]["transverse"].value, rel=0.02)
    assert parts["normalised"]["radial"].value < 0.01 * parts["normalised"]["error"].value
    assert parts["stream"]["radial"].value > 0.001 * parts["stream"]["error"].value
    assert each.damage is None
    assert report.noise_floor is None


@pytest.mark.slow
def test_outputs_of_gaussian_weights_obey_the_linear_law(windows):
    """Without outlier columns; BitNet's own scale has nearly twice the radial part of the sign quantiser."""
    report = measure.quantization_report(
        build(loud=1.0, seed=4), windows[1], losses=False, layers=(1,), matrices=("gate_proj",)
    )
    for each in report.entries:
        law = theory.radial_fraction(Given(each.c, each.v), "identity")
        assert each.radial_fraction() == pytest.approx(float(law), abs=0.06)
        assert each.cosine_squared == pytest.approx(float(theory.cosine_squared(Given(each.c, each.v))))
    sign, bitnet = (entry(report, "gate_proj", kind).radial_fraction() for kind in ("sign", "bitnet"))
    assert sign + 0.2 < bitnet


class Given:
    """A perturbation of which only the moments are known."""

    def __init__(self, c, v):
        self.c, self.v = c, v

    def moments(self):
        return Moments.of(self.c, self.v)


def test_a_matrix_that_is_already_coarse_has_no_error(tiny, windows):
    signs = np.where(np.asarray(tiny.params["blocks"]["down_proj"]) < 0, -0.25, 0.25).astype(np.float32)
    report = report_of(with_block(tiny, "down_proj", signs), windows, ("down_proj",), (0,), losses=False)
    for each in report.entries:
        assert each.parts["output"]["error"].value < 1e-9
        assert each.c == pytest.approx(1, abs=1e-6)
    json.dumps(report.to_json(), allow_nan=False)


def test_a_matrix_of_zeros_is_kept_exactly_and_does_not_spoil_the_report(tiny, windows):
    """Blocks that a checkpoint adds as identities have such matrices."""
    blank = with_block(tiny, "o_proj", tiny.params["blocks"]["o_proj"].at[1].set(0))
    report = report_of(blank, windows, ("o_proj",), (0, 1), losses=False)
    usual, zeros = (each for each in report.entries if (each.quantizer, each.scale) == ("sign", "tensor"))
    assert usual.parts["output"]["error"].value > 0.25
    assert zeros.sqnr is None
    assert (zeros.c, zeros.v, zeros.cosine_squared) == (1, 1, 1)
    assert {part.value for part in zeros.parts["output"].values()} == {0.0}
    # The rest of the layer is compiled anew, and rounds.
    assert max(part.value for level in LEVELS for part in zeros.parts[level].values()) < 1e-12
    json.dumps(report.to_json(), allow_nan=False)


def test_an_error_in_a_signal_of_zero_is_not_taken_for_none():
    clean = LayerStates(*(jnp.zeros((1, 3, 4)),) * 3)
    compared = jax.jit(output_errors)
    assert not np.isfinite(compared(clean, LayerStates(*(jnp.ones((1, 3, 4)),) * 3))["output error"])
    assert compared(clean, clean)["output error"] == 0


def test_only_what_carries_a_cost_is_to_be_protected(tiny, found, profile):
    """The second matrix lowers the loss: nothing of it is listed, and its ΔNLL says why."""
    damage = [bootstrap.mean(np.full((1, 8), mean) + np.arange(8)[None] / 100) for mean in (1.0, -1.0)]
    entries = [
        dataclasses.replace(entry(found, name, "sign"), damage=each)
        for name, each in zip(NAMES, damage, strict=True)
    ]
    report = dataclasses.replace(found, entries=tuple(entries))
    mask = measure.protection(tiny, profile, report, quantizer="sign")
    assert {name for _, name, *_ in (*mask.columns, *mask.weights)} == {"o_proj"}
    assert min(each[-1] for each in (*mask.columns, *mask.weights)) > 0
    first, second = mask.to_json()["matrices"]
    assert (first["matrix"], second["matrix"]) == NAMES
    assert first["delta_nll"] == pytest.approx(1.035)
    assert first["standard_error"] == pytest.approx(np.std(np.arange(8), ddof=1) / 100 / 8**0.5)
    assert first["resolved"]
    assert second["resolved"]


@pytest.mark.slow
def test_protection_ranks_what_carries_the_cost(tiny, windows, profile, tmp_path):
    report = measure.quantization_report(
        tiny, windows[1], quantizers=("sign",), layers=(0, 2), matrices=("up_proj",), resume=tmp_path / "run"
    )
    mask = measure.protection(tiny, profile, report, quantizer="sign", columns=80, weights=5)
    total = sum(max(each.damage.estimate.value, 0) for each in report.entries)
    assert total > 0
    assert sum(score for *_, score in mask.columns) == pytest.approx(total)
    for layer in {layer for layer, *_, score in mask.columns if score > 0}:
        first = [column for at, _, column, _ in mask.columns if at == layer][:2]
        assert set(first) == set(LOUD["mlp_norm"])
    i, j = mask.weights[0][2:4]
    w = np.asarray(tiny.params["blocks"]["up_proj"][mask.weights[0][0]], np.float64)
    share = profile.energy_share["mlp_in"].value[mask.weights[0][0]]
    energy = (w - by_numpy(w, "sign")) ** 2 * share
    assert energy[i, j] == energy.max()
    mask.write(tmp_path / "mask.json")
    plain = json.loads((tmp_path / "mask.json").read_text())
    assert plain["schema"] == "signmag.protect/1"
    assert plain["columns"][0].keys() == {"layer", "matrix", "column", "score"}
    assert len(plain["weights"]) == 5
    ranked = report.ranked("sign")
    assert ranked[0].damage.estimate.value >= ranked[1].damage.estimate.value
    with pytest.raises(InvalidInput, match="quantizer and scale in"):
        report.ranked("ternary")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quantizers": ("int4",)}, "quantizers in"),
        ({"scales": ("block",)}, "distinct scales"),
        ({"scales": (1,)}, "distinct scales"),
        ({"matrices": ("w",)}, "matrices in"),
    ],
)
def test_bad_options_are_refused(tiny, windows, change, message):
    with pytest.raises(InvalidInput, match=message):
        measure.quantization_report(tiny, windows[1], **change)
