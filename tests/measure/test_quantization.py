"""cos² of quantised matrices against NumPy, against 2/π, and against matrices that quantise exactly."""

import dataclasses
import json

import numpy as np
import pytest
from conftest import SAMPLED, build, with_block

from signmag_jax import measure
from signmag_jax.evidence import InvalidInput
from signmag_jax.models import MATRICES, SITE_OF


@pytest.fixture(scope="module")
def found(quantization):
    return quantization


def cosine_squared(a, b):
    return (a * b).sum(-1) ** 2 / ((a * a).sum(-1) * (b * b).sum(-1))


def quantized(weight, kind):
    mean = np.abs(weight).mean(axis=(1, 2), keepdims=True)
    return np.sign(weight) if kind == "sign" else np.sign(weight) * (np.abs(weight) > mean / 2)


@pytest.mark.parametrize("kind", ["sign", "ternary"])
@pytest.mark.parametrize("name", ["q_proj", "v_proj", "down_proj"])
def test_rows_and_real_inputs_by_numpy(tiny, activations, found, kind, name):
    weight = np.asarray(tiny.params["blocks"][name], np.float64)
    coarse = quantized(weight, kind)
    rows = cosine_squared(weight, coarse)
    alignment = found.alignments[kind][name]
    np.testing.assert_allclose(alignment.rows.value, rows.mean(axis=1), rtol=1e-5)
    by_hand = rows.std(axis=1, ddof=1) / np.sqrt(rows.shape[1])
    np.testing.assert_allclose(alignment.rows.standard_error, by_hand, rtol=1e-4)
    x = activations[SITE_OF[name]]
    outputs = cosine_squared(
        np.einsum("lbti,loi->lbto", x, weight), np.einsum("lbti,loi->lbto", x, coarse)
    ).mean(axis=2)
    np.testing.assert_allclose(alignment.real.value, outputs.mean(axis=1), rtol=1e-4)
    np.testing.assert_allclose(
        alignment.real.standard_error, outputs.std(axis=1, ddof=1) / 2, rtol=1e-2, atol=1e-7
    )


def test_spherical_inputs_by_an_independent_sample(tiny, found):
    rng = np.random.default_rng(0)
    for kind in ("sign", "ternary"):
        weight = np.asarray(tiny.params["blocks"]["gate_proj"], np.float64)
        x = rng.normal(size=(4000, weight.shape[2]))
        truth = cosine_squared(x @ weight.transpose(0, 2, 1), x @ quantized(weight, kind).transpose(0, 2, 1))
        estimate = found.alignments[kind]["gate_proj"].spherical
        error = np.hypot(estimate.standard_error, truth.std(axis=1) / np.sqrt(4000))
        assert (np.abs(estimate.value - truth.mean(axis=1)) < 4 * error).all()
        assert (error < 0.01).all()


def test_gaussian_matrices_have_two_over_pi(found):
    overall = found.overall("sign", "rows")
    # (Σ|w|)²/(n Σw²) of n Gaussians exceeds 2/π by (1 − 2/π)/n + (2/π)·O(1/n)
    assert 2 / np.pi - 0.01 < overall.value < 2 / np.pi + 0.02
    assert overall.standard_error < 0.003
    assert abs(overall.value - np.sqrt(2 / np.pi)) > 20 * overall.standard_error
    ternary = found.overall("ternary", "rows").value
    assert 0.75 < ternary < 0.82


def test_matrices_that_are_already_coarse_are_kept_exactly(tiny, windows):
    signs = np.where(np.asarray(tiny.params["blocks"]["up_proj"]) < 0, -0.1, 0.1).astype(np.float32)
    model = with_block(tiny, "up_proj", signs)
    found = measure.quantization(model, windows[0], **SAMPLED)
    for kind in ("sign", "ternary"):
        for which in ("rows", "spherical", "real"):
            kept, changed = (
                getattr(found.alignments[kind][name], which) for name in ("up_proj", "gate_proj")
            )
            np.testing.assert_allclose(kept.value, 1, atol=1e-5)
            assert (changed.value < 0.95).all()


def test_a_zero_row_counts_as_zero_and_not_as_nan(tiny):
    weight = np.array(tiny.params["blocks"]["up_proj"])
    weight[:, 5] = 0
    found = measure.quantization(with_block(tiny, "up_proj", weight), matrices=("up_proj",), **SAMPLED)
    assert (found.alignments["sign"]["up_proj"].rows.value < 2 / np.pi).all()
    assert found.alignments["sign"]["up_proj"].real is None


def test_the_error_of_real_inputs_holds_matrices_and_windows(found):
    """Each source alone, by hand: matrices that agree window by window, and windows that agree."""
    alignment = found.alignments["sign"]["q_proj"]
    spread = np.array([0.55, 0.6, 0.62, 0.71])
    by_hand = spread.std(ddof=1) / 2
    for table in (np.tile(spread, (9, 1)), np.tile(spread[:, None], (1, 9))):
        layers = dataclasses.replace(alignment, windows=table)
        overall = dataclasses.replace(found, alignments={"sign": {"q_proj": layers}}).overall("sign", "real")
        assert overall.value == pytest.approx(spread.mean())
        assert overall.standard_error == pytest.approx(by_hand, rel=1e-9)
        assert overall.n >= 4
    real, rows = found.overall("sign", "real"), found.overall("sign", "rows")
    assert real.estimator == "mean over matrices and windows of cos² of outputs, crossed bootstrap"
    assert real.standard_error != rows.standard_error
    tables = [each.windows for each in found.alignments["sign"].values()]
    assert real.value == pytest.approx(np.concatenate(tables).mean())


def test_selection_and_json(tiny, found):
    some = measure.quantization(tiny, layers=(2, 0), matrices=("v_proj", "q_proj"), **SAMPLED)
    assert some.layers == (0, 2)
    assert list(some.alignments["sign"]) == ["q_proj", "v_proj"]
    for name in ("q_proj", "v_proj"):
        for which in ("rows", "spherical"):
            ours, theirs = (getattr(each.alignments["sign"][name], which) for each in (some, found))
            np.testing.assert_array_equal(ours.value, theirs.value[[0, 2]])
    assert set(found.alignments["ternary"]) == set(MATRICES)
    plain = json.loads(json.dumps(some.to_json(), allow_nan=False))
    assert plain["alignments"]["sign"]["q_proj"]["real"] is None
    assert plain["provenance"]["scale"] == "per tensor"


def test_one_quantiser_alone_gives_the_same_numbers(tiny, windows, found):
    names = ("v_proj", "down_proj")
    alone = measure.quantization(tiny, windows[0], quantizers=("sign",), matrices=names, **SAMPLED)
    assert set(alone.alignments) == {"sign"}
    for name in names:
        one, other = alone.alignments["sign"][name], found.alignments["sign"][name]
        for which in ("rows", "real"):
            np.testing.assert_allclose(getattr(one, which).value, getattr(other, which).value, rtol=1e-5)
    with pytest.raises(InvalidInput, match="quantizers among"):
        measure.quantization(tiny, quantizers=("sign", "best"), **SAMPLED)


def test_bad_requests_are_refused(tiny, windows, found):
    with pytest.raises(InvalidInput, match="at least 2 calibration windows"):
        measure.quantization(tiny, windows[0][:1])
    with pytest.raises(InvalidInput, match=r"layers in 0..2"):
        measure.quantization(tiny, layers=(9,))
    with pytest.raises(InvalidInput, match="spherical >= 2"):
        measure.quantization(tiny, spherical=1)
    with pytest.raises(InvalidInput, match="quantizer in"):
        found.overall("binary", "rows")
    with pytest.raises(InvalidInput, match="text for real inputs"):
        measure.quantization(tiny, matrices=("q_proj",), **SAMPLED).overall("sign", "real")
    broken = np.array(tiny.params["blocks"]["down_proj"])
    broken[0] = np.nan
    with pytest.raises(InvalidInput, match=r"outputs of .* finite"):
        measure.quantization(with_block(tiny, "down_proj", broken), windows[0], **SAMPLED)
    with pytest.raises(InvalidInput, match=r"weights in down_proj finite.*layer 0"):
        measure.quantization(with_block(tiny, "down_proj", broken), matrices=("down_proj",), **SAMPLED)


def test_half_precision_weights(found):
    half = measure.quantization(build(dtype=np.float16), matrices=("q_proj",), **SAMPLED)
    full = found.alignments["sign"]["q_proj"].rows.value.mean()
    assert half.overall().value == pytest.approx(full, rel=1e-3)
