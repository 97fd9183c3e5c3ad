"""Pieces of a run: their keys, their cost, and why they may have no result."""

import dataclasses
import re
from pathlib import Path

import jax
import numpy as np
import pytest
from small_runs import TINY, results_of

from signmag_jax import claims
from signmag_jax.claims import families
from signmag_jax.claims.claim import Missing
from signmag_jax.claims.families import theorem_3
from signmag_jax.claims.levels import TOKENS_OF_A_PASS
from signmag_jax.claims.pieces import Results, Simulated
from signmag_jax.evidence import Estimate, Incomplete
from signmag_jax.measure.inputs import check_disjoint
from signmag_jax.measure.screening import screening_tokens
from signmag_jax.simulate import engine


def test_every_simulation_has_its_own_random_numbers_and_records():
    keys = []
    for experiment in families.experiments(claims.level("full")):
        asked = dataclasses.replace(experiment, simulate=lambda **options: keys.append(options))
        asked.run(0, Path("records"))
    assert len({key["seed"] for key in keys}) == len({key["resume"] for key in keys}) == len(keys) > 30
    # These names are what a run is repeated by: they never change.
    seeds = {str(key["resume"]): key["seed"] for key in keys}
    assert seeds["records/block.64"] == 864277006
    assert seeds["records/theorem_4.256.sign"] == 225711654


def test_a_row_on_a_simulation_that_nobody_declares_is_an_error():
    results = results_of(TINY, {})
    with pytest.raises(KeyError):
        results.evidence(Simulated("block.65", lambda **_: None, 1), lambda run: run)
    sample = Estimate(2.0, 0.1, 9, "1", "test")
    block = theorem_3.block(TINY, 64)
    with pytest.raises(AttributeError):
        Results({block: sample}).supply(block, lambda run: run.no_such_output)


def test_a_simulation_without_a_number_says_why():
    def short(**_):
        raise Incomplete("the target is out of reach")

    experiment = Simulated("short", short, 4)
    assert experiment.run(0, None) == Missing("UNRESOLVED", "the target is out of reach")
    left_out = dataclasses.replace(experiment, networks=0).run(0, None)
    assert left_out.status == "NOT RUN"
    assert "short" in left_out.reason


@pytest.fixture
def counted(monkeypatch):
    """Networks of every simulation: their statistics are of the right shapes, and made up."""
    names = []

    def dispatch(experiment, root, mesh, blocks, limit):
        rng, size, columns = np.random.default_rng(0), experiment.block, {}
        shapes = jax.eval_shape(experiment.sample, experiment.parameters, root)
        for block in blocks:
            count = min(size, limit - block * size)
            columns[block] = {name: rng.uniform(1, 2, (count, *s.shape)) for name, s in shapes.items()}
            names.extend([experiment.name] * count)
        return lambda: columns

    monkeypatch.setattr(engine, "dispatch", dispatch)
    return names


@pytest.mark.parametrize("name", ["quick", pytest.param("default", marks=pytest.mark.slow)])
def test_every_network_is_counted(counted, name):
    level = claims.level(name)
    for experiment in families.experiments(level):
        experiment.run(0, None)
    assert claims.cost(level)["simulated_networks"] == len(counted)
    # Control: a count that forgets the row cosines, say, would have been seen.
    assert counted.count("quantizer") >= 4 * 64


def test_the_passes_of_the_default_level_are_those_that_contributing_states():
    text = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()
    stated = re.search(
        r"(\d+) of 2,048 tokens: (\d+) for the leverage, (\d+) of them to find heavy weights, "
        r"(\d+) for derivatives, (\d+) for Exp D, (\d+) for\s+single columns and (\d+) for flips",
        text,
    )
    level = claims.level("default")
    cost = {each.name: each.cost(level) for each in families.measurements()}
    names = ("linear_response", "outlier_flips", "column_flips", "all_columns")
    heavy = screening_tokens(level.leverage_heavy) / TOKENS_OF_A_PASS
    found = [sum(cost.values()), cost["leverage"], heavy, *(cost[name] for name in names)]
    assert [round(each) for each in found] == [int(each) for each in stated.groups()]


@pytest.mark.parametrize("name", ["quick", "default", "full"])
def test_the_default_text_has_the_windows_of_every_level(tmp_path, name):
    level = claims.level(name)
    reading = claims.check(level, out=tmp_path)
    assert reading is not None
    assert reading.calibration.shape == (level.calibration_windows, level.window)
    assert reading.evaluation.shape == (level.windows, level.window)
    check_disjoint(reading.calibration, reading.evaluation)


def test_a_dry_run_tells_minutes_and_memory_only_where_they_were_measured():
    quick, default, full = (claims.cost(claims.level(name)) for name in ("quick", "default", "full"))
    minutes = [each["minutes_on_two_cores"] for each in (quick, default, full)]
    passes = [each["forward_passes_of_2048_tokens"] for each in (quick, default, full)]
    assert sorted(minutes) == minutes
    # Forward passes are nearly all that a level of many samples does.
    assert minutes[2] * 60 == pytest.approx(3.6 * passes[2], rel=0.01)
    assert quick["peak_memory_gib"] <= default["peak_memory_gib"]
    assert full["peak_memory_gib"] == "not measured"
