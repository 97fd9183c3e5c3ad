"""Weights and activations at the ends of float32: a measure has no scale, or is refused by name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import LOUD, SAMPLED, applied, build, with_block
from small_models import TINY

from signmag_jax import measure
from signmag_jax.evidence import InvalidInput
from signmag_jax.evidence.precision import unit_of
from signmag_jax.measure import draw as draw_room
from signmag_jax.measure import pools as pool_room
from signmag_jax.measure.quantization import cosine_squared
from signmag_jax.measure.shift_parts import matching
from signmag_jax.measure.strata import HEAVY
from signmag_jax.models import MATRICES

# Further down, the smallest of the weights are subnormal, and processors flush those to 0.
SCALES = [1e-33, 1e-30, 1e-15, 1e15, 1e30, 1e36]


def scaled(model, name, factor, layer=slice(None)):
    value = np.array(model.params["blocks"][name])
    value[layer] *= np.float32(factor)
    return with_block(model, name, value)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, jnp.bfloat16, np.float16])
def test_the_unit_is_a_power_of_two_that_keeps_squares_apart(dtype):
    limits = jnp.finfo(dtype)
    for largest in (4 * float(limits.tiny), 1.0, 3.0, float(limits.max)):
        x = jnp.asarray([[largest / 2, -largest], [0.0, 0.0]], dtype)
        unit = np.asarray(unit_of(x, 1), np.float64)
        assert unit.shape == (2, 1)
        assert np.frexp(unit)[0].tolist() == [[0.5], [0.5]]
        quotient = np.asarray(x.astype(unit_of(x).dtype) / unit_of(x), np.float64)
        assert 1 <= np.abs(quotient).max() < 4
        np.testing.assert_array_equal(quotient * unit[0, 0], np.asarray(x, np.float64))
    broken = jnp.asarray([jnp.nan, 1.0], dtype)
    assert np.isnan(np.asarray(broken.astype(unit_of(broken).dtype) / unit_of(broken))).any()


@pytest.mark.parametrize("scale", SCALES)
def test_a_cosine_has_no_scale(scale):
    rng = np.random.default_rng(3)
    a = (rng.normal(size=(5, 40)) * scale).astype(np.float32)
    b = (rng.normal(size=(5, 40)) * np.sqrt(scale)).astype(np.float32)
    a[2], b[3] = 0, 0
    wide_a, wide_b = a.astype(np.float64) / scale, b.astype(np.float64)
    inner, size = (wide_a * wide_b).sum(-1) ** 2, (wide_a**2).sum(-1) * (wide_b**2).sum(-1)
    expected = np.divide(inner, size, out=np.zeros(5), where=size > 0)
    np.testing.assert_allclose(
        cosine_squared(jnp.asarray(a), jnp.asarray(b)), expected, rtol=1e-5, atol=1e-12
    )


@pytest.mark.parametrize("scale", SCALES)
def test_quantisation_has_no_scale(tiny, quantization, scale):
    found = measure.quantization(scaled(tiny, "up_proj", scale), matrices=("up_proj",), **SAMPLED)
    for kind in ("sign", "ternary"):
        for which in ("rows", "spherical"):
            ours, theirs = (
                getattr(each.alignments[kind]["up_proj"], which) for each in (found, quantization)
            )
            np.testing.assert_allclose(ours.value, theirs.value, rtol=1e-5)
            np.testing.assert_allclose(ours.standard_error, theirs.standard_error, rtol=1e-3)


def test_rows_columns_and_matrices_of_any_scale(tiny, quantization):
    weight = np.array(tiny.params["blocks"]["up_proj"])
    plain = quantization.alignments["sign"]["up_proj"]
    weight[0, 3] *= np.float32(1e-30)  # a row that is almost nothing has its direction still
    weight[1] = 0
    weight[2, :, 4] = 0
    found = measure.quantization(with_block(tiny, "up_proj", weight), matrices=("up_proj",), **SAMPLED)
    for kind in ("sign", "ternary"):
        alignment = found.alignments[kind]["up_proj"]
        for which in (alignment.rows, alignment.spherical):
            assert np.isfinite(which.value).all()
            assert which.value[1] == which.standard_error[1] == 0
    signs = found.alignments["sign"]["up_proj"].rows.value
    assert signs[0] == pytest.approx(plain.rows.value[0], rel=1e-5)
    # A column of zeros costs its share of the norm of sign(w), and no more.
    assert signs[2] == pytest.approx(plain.rows.value[2] * 39 / 40, rel=0.02)


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e15])
def test_shares_and_real_inputs_have_no_scale(tiny, windows, profile, quantization, scale):
    model = scaled(tiny, "attention_norm", scale, layer=0)
    found = measure.alpha(model, windows[0])
    for name, power in (("token_share", 0), ("energy_share", 0), ("magnitude", 1)):
        ours, theirs = (getattr(each, name)["attention_in"] for each in (found, profile))
        np.testing.assert_allclose(ours.value[0], theirs.value[0] * scale**power, rtol=1e-4)
        np.testing.assert_allclose(
            ours.standard_error[0],
            theirs.standard_error[0] * scale**power,
            rtol=1e-2,
            atol=1e-12 * scale**power,
        )
    if scale < 1:  # with a large gain the logits of attention overflow
        coarse = measure.quantization(model, windows[0], matrices=("q_proj",), **SAMPLED)
        real = [each.alignments["sign"]["q_proj"].real.value[0] for each in (coarse, quantization)]
        assert real[0] == pytest.approx(real[1], rel=1e-4)


@pytest.mark.parametrize("scale", [1e-30, 1e25, 1e35])
def test_shares_at_the_last_site_have_no_scale(tiny, windows, profile, scale):
    found = measure.alpha(scaled(tiny, "up_proj", scale, layer=-1), windows[0])
    for name in ("token_share", "energy_share"):
        ours, theirs = (getattr(each, name)["mlp_mid"] for each in (found, profile))
        np.testing.assert_allclose(ours.value, theirs.value, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("scale", SCALES)
def test_column_energies_scale_with_the_square(tiny, profile, scale):
    plain = measure.column_energies(tiny, profile)["down_proj"].column_norm_squared
    model = scaled(tiny, "down_proj", scale)
    found = measure.column_energies(model, profile)["down_proj"].column_norm_squared
    np.testing.assert_allclose(found, plain * float(np.float32(scale)) ** 2, rtol=1e-5)
    weight = np.array(tiny.params["blocks"]["down_proj"])
    weight[:, :, 7] = 0
    found = measure.column_energies(with_block(tiny, "down_proj", weight), profile)["down_proj"]
    assert (found.column_norm_squared[:, 7] == 0).all()
    assert np.isfinite(found.column_norm_squared).all()


def test_squares_beyond_float64_are_refused_by_name(profile):
    if not jax.config.read("jax_enable_x64"):
        pytest.skip("no float64 weights in default precision")
    model = build(dtype=np.float64)
    weight = np.array(model.params["blocks"]["v_proj"]) * 1e200
    with pytest.raises(InvalidInput, match=r"finite squares of the weights.*v_proj"):
        measure.column_energies(with_block(model, "v_proj", weight), profile)


def test_a_column_that_is_never_active_has_no_share(tiny, windows):
    gains = np.array(tiny.params["blocks"]["mlp_norm"])
    gains[:, 9] = 0
    found = measure.alpha(with_block(tiny, "mlp_norm", gains), windows[0])
    for share in (found.token_share["mlp_in"], found.energy_share["mlp_in"]):
        assert (share.value[:, 9] == 0).all()
        np.testing.assert_allclose(share.value.sum(axis=1), 1, rtol=1e-5)
    assert set(LOUD["mlp_norm"]) <= set(found.outliers()["mlp_in"][1])


@pytest.mark.parametrize("run", [measure.nll, measure.alpha])
@pytest.mark.parametrize("part", ["up_proj", "embed"])
def test_an_overflow_is_refused_and_no_finite_loss(tiny, windows, run, part):
    # RMSNorm of 1e25 is computable, its square is not: a norm of infinity would leave zeros, and ln 96.
    if part == "embed":
        model = tiny.replace(params=tiny.params | {"embed": tiny.params["embed"] * np.float32(1e25)})
    else:
        model = scaled(tiny, part, 1e25, layer=0)
    with pytest.raises(InvalidInput, match=r"finite"):
        run(model, windows[0])


@pytest.mark.parametrize("scale", SCALES)
def test_the_shift_has_the_norm_of_flips_in_the_mean_at_any_scale(tiny, scale):
    pools, rate, model = pool_room.Pools.everything(tiny, range(TINY.layers), MATRICES), 0.1, tiny
    for name in MATRICES:
        model = scaled(model, name, scale)
    for w, shifted in applied(model, matching(pools, rate)).values():
        energy = 4 * rate * (w**2).sum(axis=(1, 2))
        assert (energy > 0).all()
        np.testing.assert_allclose(((shifted - w) ** 2).sum(axis=(1, 2)), energy, rtol=1e-5)


@pytest.mark.parametrize("heavy", [0, pytest.param(HEAVY, marks=pytest.mark.slow)])
def test_flips_of_weights_that_are_zero_cost_nothing_and_say_so(tiny, windows, profile, heavy):
    options = {"rates": (0.5,), "draws": 2, "matrices": ("q_proj",), "heavy": heavy}
    outliers = profile.outliers()["attention_in"]
    weight = np.array(tiny.params["blocks"]["q_proj"])
    for layer, columns in enumerate(outliers):
        weight[layer][:, columns] = 0
    model = with_block(tiny, "q_proj", weight)
    found = measure.leverage(model, *windows, **options).rates[0]
    assert (found.samples["outlier"] == 0).all()
    assert found.damage["outlier"].estimate.value == 0
    if found.ratio.resolved:
        assert found.ratio.interval.estimate.value == 0
    empty = with_block(tiny, "q_proj", np.zeros_like(weight))
    found = measure.leverage(empty, *windows, **options).rates[0]
    assert not found.ratio.resolved
    assert "not separated from zero" in found.ratio.reason


def test_no_draw_is_larger_than_a_pool():
    with pytest.raises(InvalidInput, match="0 <= flips <= 0"):
        draw_room.apportion(1, [0, 0])
