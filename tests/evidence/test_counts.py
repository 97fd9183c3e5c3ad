"""Integers of NumPy and JAX are counts, wherever a count is asked for."""

import dataclasses
import importlib
import inspect
import json
from collections.abc import Sequence
from typing import get_args, get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from signmag_jax import simulate
from signmag_jax.evidence.counts import counting
from signmag_jax.perturb import Grouped, LloydMax, SignQuantize, UniformQuantize
from signmag_jax.simulate.identity import identity_of
from signmag_jax.simulate.program import flat

NUMBERS = (np.int64(7), np.uint8(7), np.array(7), jnp.asarray(7))
ROOMS = ("theory", "simulate", "perturb", "measure", "models", "training", "claims")


def is_count(hint):
    """Whether a parameter takes a whole number, or several: no array, and no number of any kind."""
    parts = [hint, *get_args(hint)]
    numbers = [one for one in (int, Sequence[int]) if one in parts]
    return bool(numbers) and not any(one in parts for one in (float, complex))


def counts_of(function):
    parameters = inspect.signature(function).parameters
    hints = get_type_hints(function)
    named = {name for name in parameters if is_count(hints.get(name))}
    return named | ({"seed"} if "options" in parameters else set())


def public_functions():
    for room in map(importlib.import_module, (f"signmag_jax.{name}" for name in ROOMS)):
        for name in room.__all__:
            function = getattr(room, name)
            if inspect.isfunction(function) and counts_of(function):
                yield pytest.param(function, id=f"{room.__name__.partition('.')[2]}.{name}")


@pytest.mark.parametrize("function", list(public_functions()))
def test_every_public_function_is_given_pythons_integers(function, monkeypatch):
    received, counts = [], counts_of(function)
    monkeypatch.setattr(function, "__wrapped__", lambda **given: received.extend(given.values()))
    for number in NUMBERS:
        function(**dict.fromkeys(counts, number))
    assert set(map(type, received)) == {int}
    assert set(received) == {7}


def test_the_rooms_are_looked_through():
    found = {each.id for each in public_functions()}
    known = {"simulate.block", "theory.chain", "measure.plan", "measure.protect", "training.train"}
    assert known <= found
    assert len(found) > 50


@pytest.mark.parametrize("value", [True, np.True_, 2.0, np.float64(2), np.array([2]), "2", np.ma.masked])
def test_what_is_no_count_stays_what_it_is(value):
    assert counting(lambda given: given)(value) is value


def test_several_counts_and_traced_ones():
    same = counting(lambda given: given)
    assert list(map(type, same([np.int32(3), (np.int8(2), 0.5)])[1])) == [int, float]
    assert jax.make_jaxpr(same)(3).out_avals[0].shape == ()


@pytest.mark.parametrize(
    "one", [UniformQuantize(4, entries=64), LloydMax(3), Grouped(SignQuantize(), 8)], ids=repr
)
def test_perturbations(one):
    """Below the check of annotations, which only tests make."""
    fields = {each.name: getattr(one, each.name) for each in dataclasses.fields(one)}
    counts = {name: np.int64(value) for name, value in fields.items() if isinstance(value, int)}
    other = object.__new__(type(one))
    inspect.unwrap(type(one).__init__)(other, **fields | counts)
    assert counts
    assert repr(other) == repr(one)


@pytest.mark.parametrize("name", simulate.EXPERIMENTS)
def test_runs_are_known_by_the_same_identity(name):
    experiment = simulate.experiment(name)
    sizes = {"width": 16, "inputs": 8, "rows": 12, "hidden": 20, "outputs": 6, "depth": 2}
    given = {each: size for each, size in sizes.items() if each in experiment.arguments}
    given |= {"networks": 2000, "seed": 3}
    (one, stop), (other, same_stop) = (
        experiment.prepared(**{each: kind(size) for each, size in given.items()}) for kind in (int, np.int64)
    )
    identities = [json.dumps(identity_of(each, 3, flat(None))) for each in (one, other)]
    assert identities[0] == identities[1]
    assert stop == same_stop
    assert one.sample == other.sample


@pytest.mark.slow
def test_a_run_goes_on_from_records_of_either(tmp_path):
    sizes = {"width": 16, "inputs": 8, "networks": 2, "seed": 5}
    counts = {name: np.int64(size) for name, size in sizes.items()}
    first = simulate.block(**counts, rate=0.3, resume=tmp_path)
    record = next(tmp_path.glob("record-*.json"))
    written = record.stat().st_mtime_ns
    second = simulate.block(**sizes, rate=0.3, resume=tmp_path)
    assert record.stat().st_mtime_ns == written
    assert first.to_json() == second.to_json()
