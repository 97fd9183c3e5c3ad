"""Networks in which nothing is flipped: no part of means of ratios, no evidence for others, and kept."""

import json

import numpy as np
import pytest

from signmag_jax import simulate
from signmag_jax.evidence import Incomplete
from signmag_jax.simulate.tally import Tally

# 64 weights: about half of the networks hold no flip.
SMALL = {"width": 8, "rate": 0.01, "inputs": 8, "seed": 2}
DOZENS = 60


def recorded(folder, name):
    """One statistic of every network, NaN where there is none."""
    payloads = [json.loads(path.read_text())["payload"] for path in sorted(folder.glob("record-*.json"))]
    return np.array([row[name] for payload in payloads for row in payload], dtype=float)[:DOZENS, 0]


@pytest.mark.parametrize(
    ("experiment", "per_network", "of_means", "parts"),
    [
        (
            "proposition_1",
            "transverse_ratio_per_network",
            "transverse_ratio",
            ("second_transverse", "first_transverse"),
        ),
        ("block", "transverse_ratio", "transverse_ratio_of_means", ("first_transverse", "second_transverse")),
    ],
)
def test_they_are_left_out_and_the_others_counted(tmp_path, experiment, per_network, of_means, parts):
    run = simulate.experiment(experiment)
    found = run(**SMALL, networks=DOZENS, resume=tmp_path)
    ratios, (top, bottom) = recorded(tmp_path, "ratio"), (recorded(tmp_path, part) for part in parts)
    some = np.isfinite(ratios)
    count = some.sum()
    assert 10 < count < DOZENS - 10
    mean = getattr(found, per_network)
    assert mean.n == count
    assert mean.value == pytest.approx(ratios[some].mean(), rel=1e-12)
    assert mean.standard_error == pytest.approx(ratios[some].std(ddof=1) / np.sqrt(count), rel=1e-9)
    # A ratio of means is the same with and without them, and of the others those count that carry most of it.
    other, top, bottom = getattr(found, of_means), top[some], bottom[some]
    carrying = min(each.sum() ** 2 / (each**2).sum() for each in (top, bottom))
    assert other.n == int(carrying) < count
    assert other.value == pytest.approx(top.mean() / bottom.mean(), rel=1e-6)
    deviations = ((top - other.value * bottom) ** 2).sum() * carrying / (carrying - 1)
    assert other.standard_error == pytest.approx(np.sqrt(deviations) / bottom.sum(), rel=1e-6)
    assert found.networks == DOZENS
    # The records hold what is missing: nothing is computed again, and no bit is another.
    again = run(**SMALL, networks=DOZENS, resume=tmp_path)
    assert getattr(again, per_network).value == mean.value
    # Control: the fractions of networks without a flip are no zeros.
    fractions = recorded(tmp_path, "first_fraction")
    assert np.array_equal(np.isfinite(fractions), some)
    assert not np.any(fractions == 0)


def test_a_target_waits_until_enough_of_them_hold_a_flip():
    found = simulate.block(**SMALL, standard_error=0.15)
    assert found.transverse_ratio.standard_error <= 0.15
    assert found.transverse_ratio.provenance["pilot"] > 50


def test_where_hardly_any_network_holds_a_flip_a_target_is_given_up():
    with pytest.raises(Incomplete, match=r"[01] of 1024 networks have a .*: raise the rate, the sizes or"):
        simulate.proposition_1(4, 1e-9, inputs=4, standard_error=0.1)


def test_quotients_of_few_flips_have_no_mean_and_are_not_given():
    few = simulate.column_pool(32, 0.05, rows=32, inputs=8, networks=32)
    assert few.leverage_per_network is None
    assert few.to_json()["leverage_per_network"] is None
    assert few.leverage.value > 1
    assert simulate.single_flip(8, 0.3, rows=15, inputs=8, networks=4).amplification_per_network is None
    assert simulate.single_flip(8, 0.3, rows=16, inputs=8, networks=4).amplification_per_network is not None


def test_control_variates_of_networks_without_the_statistic():
    """The regression of y − mean, 0 where there is no y, on all networks' controls; and it pays."""
    rng = np.random.default_rng(0)
    controls = rng.normal(size=(400, 2))
    y = 3 + controls @ [0.5, -1.0] + 0.1 * rng.normal(size=400)
    y[rng.random(400) < 0.3] = np.nan
    tally = Tally(frozenset(("y",)))
    tally.add(0, {"y": y, "one": controls[:, 0], "two": controls[:, 1]})
    some = np.isfinite(y)
    mean = y[some].mean()
    deviation = np.where(some, y - mean, 0.0) * 400 / some.sum()
    slope = np.linalg.lstsq(controls - controls.mean(0), deviation, rcond=None)[0]
    value, error = tally.controlled("y", ("one", "two"))
    assert value == pytest.approx(mean - slope @ controls.mean(0), rel=1e-12)
    assert error < 0.75 * tally.mean("y")[1]
    assert abs(value - 3) < 4 * error


def test_what_may_not_be_missing_ends_the_run():
    tally = Tally(frozenset(("ratio",)))
    tally.add(0, {"ratio": [np.nan], "energy": [1.0]})
    with pytest.raises(Incomplete, match="network 1 has no finite energy"):
        tally.add(1, {"ratio": [1.0], "energy": [np.nan]})
    tally.add(1, {"ratio": [1.0], "energy": [1.0]})
    with pytest.raises(Incomplete, match="1 of 2 networks have a ratio"):
        tally.mean("ratio")
