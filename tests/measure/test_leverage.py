"""Leverage on a model whose outlier columns, and whose text, are known exactly."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest
import quick
from conftest import LOUD, build, with_block
from small_models import TINY

from signmag_jax import measure
from signmag_jax.evidence import Estimate, InvalidInput, Records, provenance
from signmag_jax.measure import inputs, screening, sweep
from signmag_jax.measure.arm_comparison import RateLeverage
from signmag_jax.measure.strata import Strata, room_left
from signmag_jax.models import MATRICES, logits, window_nll

READERS = ("gate_proj", "up_proj")


@pytest.fixture(scope="module")
def loud():
    """Two of 40 columns of mlp_in carry 4 times the amplitude of the others, 16 times the energy."""
    return build(seed=5, loud=4.0, config=dataclasses.replace(TINY, tied=False))


@pytest.fixture(scope="module")
def own_text(loud):
    """Windows sampled from the model itself: its loss is minimal in the mean, so every error costs."""
    forward = quick.jit(lambda tokens: logits(loud.config, loud.params, tokens))
    rng = np.random.default_rng(1)
    tokens = np.zeros((64, 40), np.int32)
    tokens[:, 0] = rng.integers(0, TINY.vocabulary, 64)
    for at in range(1, 40):
        scores = np.asarray(forward(jnp.asarray(tokens)))[:, at - 1]
        tokens[:, at] = (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)
    return tokens[:16], tokens[16:]


def run(model, text, **options):
    defaults = {"rates": (0.15,), "draws": 10, "matrices": READERS, "batch": 8}
    return measure.leverage(model, *text, **(defaults | options))


@pytest.fixture(scope="module")
def found(loud, own_text):
    return run(loud, own_text)


def flipped_on_the_host(model, columns, k, rng):
    """k flips among all weights of the readers in `columns` of every layer, by another route."""
    other = model
    pool = [(name, layer) for name in READERS for layer in range(TINY.layers)]
    share = rng.multivariate_hypergeometric([TINY.intermediate * len(columns)] * len(pool), k)
    for name in READERS:
        edited = np.array(model.params["blocks"][name])
        for layer in range(TINY.layers):
            count = share[pool.index((name, layer))]
            chosen = rng.choice(TINY.intermediate * len(columns), count, replace=False)
            edited[layer, chosen // len(columns), np.asarray(columns)[chosen % len(columns)]] *= -1
        other = with_block(other, name, edited)
    return other


def test_pools_are_the_known_columns(found):
    assert found.pool_sizes == {"outlier": 2 * 3 * 60 * 2, "rest": 2 * 3 * 60 * 38}
    assert (found.columns["mlp_in"] == np.array(LOUD["mlp_norm"])).all()
    assert found.rates[0].flips == round(0.15 * 720)
    assert found.noise_floor < 1e-6


def test_damage_of_both_arms_equals_host_side_flips(loud, own_text, found):
    clean = window_nll(loud, own_text[1], batch=8).mean(axis=1)
    rng = np.random.default_rng(2)
    for arm, columns in (
        ("outlier", list(LOUD["mlp_norm"])),
        ("rest", [j for j in range(TINY.hidden) if j not in LOUD["mlp_norm"]]),
    ):
        rows = [
            window_nll(flipped_on_the_host(loud, columns, 108, rng), own_text[1], batch=8).mean(axis=1)
            - clean
            for _ in range(12)
        ]
        truth = Estimate.of_samples(np.mean(rows, axis=1), estimator="mean over masks")
        measured = found.rates[0].damage[arm].estimate
        assert abs(measured.distance(truth)) < 3.5
        assert measured.standard_error < measured.value / 3


def test_leverage_is_resolved_and_near_the_energy_ratio(found):
    interval = found.rates[0].leverage.interval
    assert found.rates[0].leverage.resolved
    # 16 times the energy; at this rate the outlier arm already saturates, so only the order is known
    assert 4 < interval.low < interval.estimate.value < interval.high < 40


def test_permuted_outliers_have_no_leverage(loud, own_text, found):
    profile = measure.alpha(loud, own_text[0])
    turned = {
        site: Estimate(np.roll(each.value, 11, axis=1), each.standard_error, each.n)
        for site, each in profile.magnitude.items()
    }
    # A quarter of the rest's damage lies in 38 weights that all draws together hit three times: with heavy
    # weights this is seen, and unresolved until more of them are measured alone.
    known = dataclasses.replace(profile, magnitude=turned)
    assert "denominator hardly ever hit" in run(loud, own_text, profile=known).rates[0].leverage.reason
    control = run(loud, own_text, profile=known, heavy=0)
    assert (control.columns["mlp_in"] != np.array(LOUD["mlp_norm"])).all()
    assert control.rates[0].leverage.interval, control.summary()
    assert control.rates[0].leverage.interval.high < found.rates[0].leverage.interval.low
    assert control.rates[0].leverage.interval.low < 1


def test_result_is_strict_json_with_provenance(found):
    plain = json.loads(json.dumps(found.to_json(), allow_nan=False))
    origin = plain["provenance"]
    assert {"model", "calibration_sha256", "evaluation_sha256", "dtype", "threads", "device"} <= origin.keys()
    assert np.shape(plain["rates"][0]["samples"]["rest"]) == (10, 48)


def test_interrupted_run_resumes_to_the_same_bits(loud, own_text, tmp_path, monkeypatch):
    text = (own_text[0][:4], own_text[1][:8])
    whole = run(loud, text, draws=3, resume=tmp_path / "whole").to_json()
    write, left = Records.write, iter(range(5))

    def stops(records, index, payload):
        if next(left, None) is None:
            raise KeyboardInterrupt
        write(records, index, payload)

    with monkeypatch.context() as patched:
        patched.setattr(Records, "write", stops)
        with pytest.raises(KeyboardInterrupt):
            run(loud, text, draws=3, resume=tmp_path / "cut")
    done = sorted(path.name for path in (tmp_path / "cut").glob("record-*"))
    assert len(done) == 5  # the columns and four evaluations
    (tmp_path / "cut" / done[2]).write_text("{")  # and one torn record
    again = run(loud, text, draws=3, resume=tmp_path / "cut").to_json()
    assert json.dumps(again) == json.dumps(whole)


def test_resume_refuses_other_options_weights_and_versions(loud, own_text, tmp_path, monkeypatch):
    text = (own_text[0][:4], own_text[1][:8])
    run(loud, text, draws=2, resume=tmp_path)
    with pytest.raises(InvalidInput, match="different: draws"):
        run(loud, text, draws=3, resume=tmp_path)
    edited = with_block(loud, "up_proj", -loud.params["blocks"]["up_proj"])
    with pytest.raises(InvalidInput, match="different: parameters_sha256"):
        run(edited, text, draws=2, resume=tmp_path)
    monkeypatch.setattr(
        "signmag_jax.evidence.provenance.versions", lambda: dict.fromkeys(provenance.PACKAGES, "0.0.0")
    )
    with pytest.raises(InvalidInput, match="different: versions"):
        run(loud, text, draws=2, resume=tmp_path)


def test_unresolved_has_words_and_no_number(loud, own_text):
    """On noise, which the model did not write, flips neither hurt nor help on average."""
    noise = np.random.default_rng(8).integers(0, TINY.vocabulary, (8, 40)).astype(np.int32)
    plain = run(loud, (own_text[0][:4], noise), draws=3).to_json()["rates"][0]
    reason = plain["leverage"]["reason"]
    assert plain["leverage"] == {"interval": None, "resolved": False, "reason": reason}
    assert "denominator" in reason or "draws" in reason


def test_a_draw_without_finite_loss_is_unresolved(loud, own_text):
    """A weight so large that its flip overflows the residual stream."""
    text = (own_text[0][:4], own_text[1][:8])
    real = sweep.run

    def poisoned(*args, **options):
        rows = real(*args, **options)
        rows[3] = rows[3] * np.nan
        return rows

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "run", poisoned)
        drawn, singly = (run(loud, text, draws=2, heavy=heavy) for heavy in (0, 8))
    found, alone = drawn.rates[0], singly.rates[0]
    # The fourth task is a draw, or the flip of a heavy weight.
    assert alone.damage["outlier"] is None
    assert alone.leverage.reason == "no finite loss where a single weight is flipped (outlier)"
    assert found.damage["outlier"] is None
    assert found.damage["rest"] is not None
    assert found.leverage.reason == "no finite loss in 1 of 2 draws (outlier)"
    assert "not finite" in singly.summary().values()
    for each in (drawn, singly):
        json.dumps(each.to_json(), allow_nan=False)


def test_a_light_draw_without_finite_loss_leaves_strict_json():
    """The last one, beside which no joint draw stands."""
    light = np.ones((6, 4))
    light[5, 1] = np.nan
    room = room_left(light, np.ones(4), np.ones((1, 4)), 100)
    strata = Strata(np.ones(4), room, np.zeros((1, 4)), 0.0, 0.1, 0.9)
    found = RateLeverage.of(
        0.1, 5, {"outlier": light, "rest": np.ones((6, 4))}, floor=0.0, strata={"outlier": strata}
    )
    assert found.ratio.reason == "no finite loss in 1 of 6 draws (outlier)"
    json.dumps(found.to_json(), allow_nan=False)


def test_cost_counts_every_evaluation(loud, own_text, tmp_path):
    run(loud, (own_text[0][:4], own_text[1][:8]), rates=(0.1, 0.2), draws=(3, 2), resume=tmp_path)
    evaluations = len(list(tmp_path.glob("record-*"))) - 1  # the first holds the columns
    known = measure.MEASUREMENTS["leverage"]
    stated = known.passes(windows=8, window=40, rates=(0.1, 0.2), draws=(3, 2)) - known.fixed()
    # A pool without heavy weights takes no joint draws.
    assert evaluations <= stated * 2048 / (8 * 40) <= evaluations + 2


@pytest.mark.slow  # derivatives of all matrices
def test_cost_counts_the_flips_that_find_heavy_weights(loud, own_text, monkeypatch):
    """As many as there are weights to find, and none where none is asked for."""
    tried, within = [], []
    costs, layers = screening.tried_costs, screening.within_layers

    def counted(model, tokens, places):
        tried.append(len(places) * screening.TOKENS)
        return costs(model, tokens, places)

    def counted_within(model, tokens, places):
        found = sum(len(here) for each in places.values() for here in each)
        within.append(found / model.config.layers * screening.TOKENS)
        return layers(model, tokens, places)

    monkeypatch.setattr(screening, "tried_costs", counted)
    monkeypatch.setattr(screening, "within_layers", counted_within)
    run(loud, (own_text[0][:4], own_text[1][:8]), draws=2, heavy=24, matrices=MATRICES)
    stated = screening.screening_tokens(24)
    assert 0.8 * stated < sum(tried) + sum(within) <= stated
    known = measure.MEASUREMENTS["leverage"]
    assert known.fixed(heavy=24) == stated / 2048
    assert known.fixed(heavy=0) == 0


def test_default_cost_fits_the_main_job():
    assert measure.MEASUREMENTS["leverage"].passes(windows=8, window=512) <= 96


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rates": (0.0,)}, "0 < rate <= 1"),
        ({"rates": (1.5,)}, "0 < rate <= 1"),
        ({"rates": (float("nan"),)}, "0 < rate <= 1"),
        ({"rates": (0.1, 0.1)}, "distinct rates"),
        ({"rates": (1e-5,)}, "rate × outlier pool >= 1 flip"),
        ({"rates": (1.0,), "fraction": 0.9}, "as many weights outside"),
        ({"draws": 1}, "draws >= 2"),
        ({"draws": (3, 3)}, "one number or 1"),
        ({"layers": (0, 3)}, r"layers in 0..2.*\[3\]"),
        ({"matrices": ("w_proj",)}, "q_proj.*down_proj.*w_proj"),
        ({"fraction": 0.0}, "outlier fraction"),
        ({"batch": 0}, "batch >= 1"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_options_are_refused_in_one_line(tiny, windows, profile, change, message):
    # Some are known only once columns are chosen, and none by what heavy weights take.
    with pytest.raises(InvalidInput, match=message) as caught:
        run(tiny, windows, profile=profile, heavy=0, **change)
    assert "\n" not in str(caught.value)


def test_bad_windows_are_refused(tiny, windows):
    calibration, evaluation = windows
    with pytest.raises(InvalidInput, match="at least 8 evaluation windows"):
        run(tiny, (calibration, evaluation[:7]))
    with pytest.raises(InvalidInput, match="at least 2 calibration windows"):
        run(tiny, (calibration[:1], evaluation))
    with pytest.raises(InvalidInput, match="calibration and evaluation windows disjoint"):
        run(tiny, (np.concatenate([calibration, evaluation[3:4]]), evaluation))
    with pytest.raises(InvalidInput, match="token ids"):
        run(tiny, (calibration, evaluation + 90))
    with pytest.raises(InvalidInput, match="window <= 256"):
        run(tiny, (np.zeros((2, 300), np.int32), np.ones((8, 300), np.int32)))


def test_partial_overlap_of_long_windows_is_seen(tiny):
    tokens = np.random.default_rng(3).integers(0, 96, 100 * 12).astype(np.int32)
    calibration = tokens[:400].reshape(4, 100)
    with pytest.raises(InvalidInput, match="half of evaluation window 0"):
        run(tiny, (calibration, tokens[350:1150].reshape(8, 100)))
    inputs.check_disjoint(calibration, tokens[351:1151].reshape(8, 100))


def test_profile_of_other_windows_is_refused(tiny, windows):
    profile = measure.alpha(tiny, windows[1][:4])
    with pytest.raises(InvalidInput, match="profile measured on the calibration windows"):
        run(tiny, windows, profile=profile)


def test_weights_that_give_nan_are_named(tiny, windows):
    broken = np.array(tiny.params["blocks"]["down_proj"])
    broken[1, 0, 0] = np.nan
    with pytest.raises(InvalidInput, match="NaN or infinity"):
        run(with_block(tiny, "down_proj", broken), windows)
