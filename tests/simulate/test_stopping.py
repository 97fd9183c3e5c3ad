"""Targets, resumed folders, honest errors, and bad input."""

import math
import re

import jax
import numpy as np
import pytest

from signmag_jax import perturb, simulate
from signmag_jax.evidence import Incomplete, InvalidInput, MissingResource, keys
from signmag_jax.simulate import engine
from signmag_jax.simulate.engine import run
from signmag_jax.simulate.network import Experiment
from signmag_jax.simulate.program import block_program
from signmag_jax.simulate.stop import FEWEST, Stop

SMALL = {"width": 16, "inputs": 32}
ROW_COSINE = 2 / np.pi + (1 - 2 / np.pi) / 16


class Draws:
    """A network that costs nothing: a number of known spread."""

    def __call__(self, parameters, key):
        return {"value": parameters * jax.random.normal(key, dtype=jax.numpy.float64)}


DRAWS = Experiment("draws", Draws(), 1.5, {"kind": "draws"}, 1e9, lambda tally: tally.mean("value"))


def bits(tally):
    return tally.count, tally.moments.mean.tobytes(), tally.moments.comoment.tobytes()


def planned(tally, target):
    """What a pilot asks for: as many networks as the target takes, and one relative error of them more."""
    count, (_, error) = tally.count, tally.mean("value")
    return max(FEWEST, math.ceil(count * (error / target) ** 2 * (1 + math.sqrt(2 / count))))


@pytest.mark.parametrize("target", [1e3, 0.2])
def test_a_pilot_says_how_many_networks_a_target_takes_and_is_left_out(monkeypatch, target):
    computed, dispatch = [], engine.dispatch

    def counted(experiment, root, mesh, blocks, limit):
        computed.extend(blocks)
        return dispatch(experiment, root, mesh, blocks, limit)

    monkeypatch.setattr(engine, "dispatch", counted)
    tally, provenance = run(DRAWS, standard_error=target, seed=3)
    pilot, _ = run(DRAWS, networks=FEWEST, seed=3)
    assert tally.count == provenance["networks"] == planned(pilot, target)
    assert provenance["pilot"] == FEWEST
    assert tally.mean("value")[1] <= target
    # The very networks that follow the pilot's, and no other.
    for more, same in ((0, True), (1, False), (-1, False)):
        whole = run(DRAWS, networks=FEWEST + tally.count + more, seed=3)[0].moments
        merged = pilot.moments.merge(tally.moments)
        assert (np.allclose(merged.mean, whole.mean, rtol=1e-12, atol=0)) == same
    if target == 0.2:  # in the middle of a block, whose other networks were computed
        assert DRAWS.block * (max(computed) + 1) > FEWEST + tally.count


def test_a_plan_that_misses_the_target_is_made_anew():
    """One pilot in six finds too small a spread; the target is met all the same."""
    missed = 0
    for seed in range(12):
        tally, _ = run(DRAWS, standard_error=0.2, seed=seed)
        assert tally.mean("value")[1] <= 0.2
        missed += tally.count > planned(run(DRAWS, networks=FEWEST, seed=seed)[0], 0.2)
    assert 0 < missed < 7


def test_the_number_that_a_target_needs_is_named():
    """The spread is 1.5, so that a standard error of 0.05 needs 900 networks, and 900 suffice."""
    with pytest.raises(Incomplete, match="raise max_networks or the standard error") as caught:
        run(DRAWS, standard_error=0.05, max_networks=200)
    needed, count = (int(n) for n in re.findall(r"about (\d+) networks.* with (\d+):", str(caught.value))[0])
    assert abs((needed - FEWEST) / 900 - 1) < 4 * np.sqrt(2 / count) < 0.8
    tally, _ = run(DRAWS, standard_error=0.05, max_networks=1100)
    assert tally.mean("value")[1] <= 0.05
    assert FEWEST + tally.count <= 1100


def test_a_target_beyond_all_numbers_is_out_of_reach():
    with pytest.raises(Incomplete, match="standard error 1e-300 needs about inf networks"):
        Stop(standard_error=1e-300).require_within_reach(1000, 32, 0.1, "something")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"networks": 9, "max_networks": 8}, r"`networks <= max_networks` is required, received \(9, 8\)"),
        ({"max_networks": 8}, r"received \(64, 8\): ask for fewer networks"),
        ({"networks": 9, "seconds": 1.0, "max_networks": 8}, "`networks <= max_networks`"),
        ({"standard_error": 0.1, "max_networks": 63}, "`max_networks >= 64 with a standard error`"),
        ({"standard_error": 0.1, "networks": 31}, "`networks or standard_error, not both`"),
        ({"seconds": float("nan")}, "`0 < seconds`"),
        ({"standard_error": float("nan")}, "`0 < standard_error`"),
    ],
)
def test_targets_that_contradict_each_other_are_refused(target, message):
    with pytest.raises(InvalidInput, match=message):
        run(DRAWS, **target)


def test_a_bound_ends_a_run_by_time_as_a_target():
    tally, provenance = run(DRAWS, seconds=1e6, max_networks=40)
    assert (tally.count, provenance["stopped_by"]) == (40, "target")
    assert bits(tally) == bits(run(DRAWS, networks=40)[0])


def test_an_unreachable_target_is_incomplete_and_keeps_its_records(tmp_path):
    with pytest.raises(
        Incomplete, match=r"needs about \d+ networks, max_networks is 100; reached .* with \d+"
    ):
        simulate.block(32, 0.1, inputs=64, standard_error=1e-5, max_networks=100, resume=tmp_path)
    records = sorted(tmp_path.glob("record-*.json"))
    assert records
    before = records[0].read_bytes()
    simulate.block(32, 0.1, inputs=64, networks=40, resume=tmp_path)
    assert records[0].read_bytes() == before


def test_a_run_goes_on_to_more_networks(tmp_path):
    simulate.block(32, 0.1, inputs=64, networks=10, seed=2, resume=tmp_path)
    more = simulate.block(32, 0.1, inputs=64, networks=90, seed=2, resume=tmp_path)
    whole = simulate.block(32, 0.1, inputs=64, networks=90, seed=2)
    assert more.transverse_ratio.value == whole.transverse_ratio.value
    assert more.transverse_ratio.standard_error == whole.transverse_ratio.standard_error


@pytest.mark.parametrize(
    "changed", [{"seed": 3}, {"rate": 0.2}, {"inputs": 128}, {"dtype": "float64"}, {"match": "expected"}]
)
def test_the_folder_of_another_run_is_refused(tmp_path, changed):
    arguments = {"width": 32, "rate": 0.1, "inputs": 64, "networks": 4, "seed": 2}
    simulate.block(**arguments, resume=tmp_path)
    with pytest.raises(InvalidInput, match="holds the records of another run"):
        simulate.block(**(arguments | changed), resume=tmp_path)


def test_a_stop_at_a_time_says_so():
    found = simulate.block(32, 0.1, inputs=64, seconds=0.01)
    assert found.networks >= 32
    assert "not reproducible" in found.transverse_ratio.provenance["stopped_by"]


def quantize(**options):
    return simulate.quantizer(**SMALL, rows=8, **options)


def test_errors_fall_as_the_root_of_the_count():
    counts = np.array([64, 256, 1024])
    errors = [quantize(networks=int(count), seed=4).row_cosine.standard_error for count in counts]
    slope = np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert abs(slope + 0.5) < 0.05
    deviations = [
        np.sqrt(
            np.mean([(quantize(networks=c, seed=s).row_cosine.value - ROW_COSINE) ** 2 for s in range(24)])
        )
        for c in (8, 32, 128)
    ]
    slope = np.polyfit(np.log([8, 32, 128]), np.log(deviations), 1)[0]
    assert abs(slope + 0.5) < 0.25


class OneMask:
    """Control: a sample whose networks all share the perturbation's key."""

    def __call__(self, parameters, key):
        weights, x = (jax.random.normal(k, (32, 32)) for k in jax.random.split(key))
        flipped = perturb.SignFlip(parameters).apply(self.mask_key(key), weights)
        x = x / jax.numpy.linalg.norm(x, axis=0, keepdims=True)
        return {"energy": jax.numpy.mean(jax.numpy.sum(((flipped - weights) @ x) ** 2, axis=0)) / 32}

    def mask_key(self, key):
        return jax.random.key(5)


class OwnMasks(OneMask):
    def mask_key(self, key):
        return keys.fold(key, "mask")


@pytest.mark.parametrize(("sample", "honest"), [(OwnMasks(), True), (OneMask(), False)])
def test_a_mask_shared_by_all_networks_breaks_the_error(sample, honest):
    experiment = Experiment("masks", sample, 0.01, {}, 1e6, lambda tally: tally.mean("energy"))
    tally, _ = run(experiment, networks=1000)
    value, error = tally.mean("energy")
    assert (abs(value - 0.04) < 4 * error) == honest


class Shorter:
    def moments(self):
        return perturb.Moments.of(0.5, 1.0)

    def apply(self, key, w):
        return w[1:]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 1, "rate": 0.1}, "`width is an integer >= 2` is required, received 1"),
        ({"width": True, "rate": 0.1}, "`width is an integer >= 2` is required, received True"),
        ({"width": 8, "rate": 0.0}, "`0 < rate <= 0.5` is required, received 0.0"),
        ({"width": 8, "rate": 0.6}, "`0 < rate <= 0.5` is required, received 0.6"),
        ({"width": 8, "rate": float("nan")}, "`0 < rate <= 0.5` is required, received nan"),
        ({"width": 8, "rate": []}, "a list of numbers"),
        ({"width": 8}, "`rate or perturbations, one of them`"),
        ({"width": 8, "rate": 0.1, "difference": "finite"}, "`second_layer is 'explicit' or 'none'"),
        ({"width": 8, "rate": 0.1, "inputs": 3}, "`inputs is even"),
        ({"width": 8, "rate": 0.1, "networks": 1}, "`networks is an integer >= 2`"),
        ({"width": 8, "rate": 0.1, "standard_error": 0.0}, "`0 < standard_error`"),
        (
            {"width": 8, "rate": 0.1, "standard_error": 0.1, "networks": 9},
            "`networks or standard_error, not both`",
        ),
        ({"width": 8, "rate": 0.1, "seed": -1}, "0 <= seed"),
        ({"width": 8, "rate": 0.1, "mesh": "cpu"}, "`mesh is a jax.sharding.Mesh or None`"),
        ({"width": 8, "perturbations": (1, 2)}, "a perturbation has moments"),
        (
            {"width": 8, "perturbations": (perturb.SignFlip(0.1), Shorter())},
            r"`apply\(key, w\) of Shorter keeps the shape of w` .* \(\(8, 8\), \(7, 8\)\): return one weight",
        ),
    ],
)
def test_bad_input_is_one_clear_line(arguments, message):
    with pytest.raises(InvalidInput, match=message) as caught:
        simulate.block(**arguments)
    assert "\n" not in str(caught.value)


def test_bad_depth():
    with pytest.raises(InvalidInput, match="`depth is an integer >= 1` is required, received 0"):
        simulate.depth(8, 0.1, 0)


def test_one_program_for_all_rates_and_seeds():
    simulate.block(32, 0.1, inputs=64, networks=4)
    compiled = block_program.cache_info().misses
    simulate.block(32, 0.2, inputs=64, networks=6, seed=5)
    assert block_program.cache_info().misses == compiled
    one, other = (simulate.experiment("block").prepared(width=32, inputs=n)[0].sample for n in (64, 66))
    assert one != other, "the count would have seen a second program"


@pytest.mark.parametrize("draw", ["block", "proposition_1", "depth", "depth_residual"])
def test_a_network_without_a_flip_has_no_ratio(draw):
    """The rounding of equal products is not a denominator."""
    experiment = simulate.experiment(draw)
    smaller = {"depth": 2} if "depth" in draw else {}
    for seed in range(3):
        with pytest.raises(Incomplete, match="0 of 8 networks have a "):
            # 64 weights at rate 1e-4.
            experiment(width=8, rate=1e-4, inputs=8, networks=8, seed=seed, **smaller)


def test_an_error_that_is_nothing_is_no_denominator():
    pair = (perturb.SignFlip(0.2), perturb.MagnitudeShift(0.0))
    with pytest.raises(Incomplete, match="0 of 4 networks have a "):
        simulate.block(16, perturbations=pair, inputs=8, networks=4)


@pytest.mark.parametrize(("difference", "dtype"), [("linear", "float64"), ("finite", "float32")])
def test_a_change_of_length_turns_nothing_but_rounding(difference, dtype):
    def block(*flipped_and_scaled):
        pair = [perturb.Compose(perturb.SignFlip(p), perturb.Scale(k)) for p, k in flipped_and_scaled]
        sizes = {"second_layer": "explicit", "difference": difference, "inputs": 8, "networks": 2}
        return simulate.block(16, perturbations=pair, dtype=dtype, **sizes)

    turns, stretches = (0.2, 1.0), (0.0, 1.7)
    with pytest.raises(Incomplete, match="0 of 2 networks have a ratio"):
        block(turns, stretches)
    assert block(stretches, turns).transverse_ratio.value < 1e-11  # control


@pytest.mark.parametrize("target", [{"networks": 2**31}, {"standard_error": 1.0, "max_networks": 2**40}])
def test_more_networks_than_can_be_numbered_are_refused(target):
    with pytest.raises(InvalidInput, match="numbered in 32 bits"):
        simulate.block(16, 0.1, inputs=8, **target)


def test_a_network_beyond_the_memory_is_one_line():
    with pytest.raises(MissingResource, match="does not fit in memory: lower the width"):
        simulate.block(10_000_000, 0.01, networks=2)
