"""Energy shares against activations recomputed in NumPy, and known outliers."""

import json

import numpy as np
import pytest
from conftest import LOUD, build, with_block
from small_models import TINY

from signmag_jax import measure
from signmag_jax.evidence import InvalidInput
from signmag_jax.models import MATRICES, SITE_OF, SITES


@pytest.mark.parametrize("site", SITES)
def test_both_definitions_and_their_errors(profile, activations, site):
    x = activations[site]
    share = (x**2 / (x**2).sum(-1, keepdims=True)).mean(axis=2)
    np.testing.assert_allclose(profile.token_share[site].value, share.mean(axis=1), rtol=1e-5)
    by_hand = share.std(axis=1, ddof=1) / 2
    np.testing.assert_allclose(profile.token_share[site].standard_error, by_hand, rtol=1e-3, atol=1e-9)
    energy = (x**2).mean(axis=(1, 2)) / (x**2).sum(-1).mean(axis=(1, 2))[:, None]
    np.testing.assert_allclose(profile.energy_share[site].value, energy, rtol=1e-5)
    np.testing.assert_allclose(profile.magnitude[site].value, np.abs(x).mean(axis=(1, 2)), rtol=1e-5)
    for found in (profile.token_share[site], profile.energy_share[site]):
        np.testing.assert_allclose(found.value.sum(axis=1), 1, rtol=1e-6)
    # the two definitions differ where ‖x‖ varies between tokens: the test could tell them apart
    if site in ("attention_out", "mlp_mid"):
        assert np.abs(share.mean(axis=1) / energy - 1).max() > 0.02


def test_error_of_the_ratio_of_means_by_jackknife(profile, activations):
    squares = (activations["mlp_mid"] ** 2).mean(axis=2)
    left_out = [
        (lambda rest: rest.mean(1) / rest.mean(1).sum(-1, keepdims=True))(np.delete(squares, i, axis=1))
        for i in range(4)
    ]
    jackknife = np.sqrt(3 / 4 * ((left_out - np.mean(left_out, axis=0)) ** 2).sum(axis=0))
    ratio = profile.energy_share["mlp_mid"].standard_error / jackknife
    assert 0.9 < np.median(ratio) < 1.1


def test_batches_do_not_change_the_result(tiny, windows, profile):
    one = measure.alpha(tiny, windows[0], batch=3)
    for site in SITES:
        np.testing.assert_allclose(one.token_share[site].value, profile.token_share[site].value, rtol=1e-5)


def test_outliers_are_the_loud_columns(profile):
    columns = profile.outliers()
    for site, norm in (("attention_in", "attention_norm"), ("mlp_in", "mlp_norm")):
        assert (columns[site] == np.array(LOUD[norm])).all()
    assert columns["mlp_mid"].shape == (TINY.layers, 3)  # round(0.05 · 60)
    assert profile.outliers(0.001)["mlp_in"].shape == (TINY.layers, 1)  # at least one
    assert (np.diff(profile.outliers(0.4)["mlp_mid"], axis=1) > 0).all()


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 0.995, float("nan")])
def test_a_fraction_without_a_rest_is_refused(profile, fraction):
    with pytest.raises(InvalidInput, match="outlier fraction"):
        profile.outliers(fraction)


def test_column_energies(tiny, profile):
    found = measure.column_energies(tiny, profile)
    assert set(found) == set(MATRICES)
    for name, each in found.items():
        weight = np.asarray(tiny.params["blocks"][name], np.float64)
        by_hand = [[column @ column for column in layer.T] for layer in weight]
        np.testing.assert_allclose(each.column_norm_squared, by_hand, rtol=1e-12)
        assert each.alpha_squared is profile.token_share[SITE_OF[name]].value
        for layer in range(3):
            assert (np.flatnonzero(each.pool[layer]) == profile.outliers()[SITE_OF[name]][layer]).all()


def test_json_has_profiles_and_rows_every_column(profile):
    short = json.loads(json.dumps(profile.to_json(), allow_nan=False))
    assert set(short["sites"]) == set(SITES)
    assert short["sites"]["mlp_in"]["token_share"]["largest_column"][0] in LOUD["mlp_norm"]
    (row,) = (
        each
        for each in profile.rows()
        if (each["site"], each["layer"]) == ("mlp_in", 2) and each["column"] == 7
    )
    assert row["token_share"] == profile.token_share["mlp_in"].value[2, 7]
    assert len(repr(profile)) < 500
    assert profile._repr_html_().count("<tr>") == len(SITES)


def test_one_window_and_broken_weights_are_refused(tiny, windows):
    with pytest.raises(InvalidInput, match="at least 2 calibration windows"):
        measure.alpha(tiny, windows[0][:1])
    broken = np.array(tiny.params["blocks"]["down_proj"])
    broken[1] = np.inf
    with pytest.raises(InvalidInput, match=r"at attention_in finite.*layer 2"):
        measure.alpha(with_block(tiny, "down_proj", broken), windows[0])


def test_half_precision_activations_are_accumulated_in_float32(windows, profile):
    half = measure.alpha(build(dtype=np.float16), windows[0])
    for site in SITES:
        assert half.token_share[site].value == pytest.approx(
            profile.token_share[site].value, rel=0.2, abs=1e-3
        )
        np.testing.assert_allclose(half.token_share[site].value.sum(axis=1), 1, rtol=1e-5)
