"""Two measurements at a time: each is measured once, and who needs another's result waits for it."""

import time
from functools import partial
from types import SimpleNamespace

import jax.numpy as jnp
import pytest
from small_runs import TINY

from signmag_jax.claims import run as main_job
from signmag_jax.claims.measured import Measured, ModelRun
from signmag_jax.evidence.compiling import compiling_for
from signmag_jax.evidence.threads import in_threads
from signmag_jax.theory.provers import Provers


@pytest.fixture
def measured():
    """Names of what was measured, in order."""
    return []


@pytest.fixture
def pieces(measured):
    """What all need, and four that need it."""

    def shared(run, **_):
        time.sleep(0.05)
        measured.append("shared")
        return 7

    def needing(number, run, **_):
        measured.append(number)
        return number * run.needed(first)

    first = Measured("shared", shared)
    return [first, *(Measured(f"needs {number}", partial(needing, number)) for number in range(1, 5))]


@pytest.fixture
def run():
    report = SimpleNamespace(source={"name": "a model"}, dtype="float32")
    model = SimpleNamespace(params={"embed": jnp.zeros(1)}, report=report, config=None)
    return ModelRun(model, None, None, TINY, 0, None, {})


def test_who_needs_the_same_waits_until_it_is_measured_once(run, pieces, measured):
    asked = [partial(run.result, each) for each in pieces[1:3]]
    assert in_threads(asked, 2, lambda: None) == [7, 14]
    assert sorted(measured, key=str) == [1, 2, "shared"]


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_every_result_is_there_whoever_measured_it(monkeypatch, run, pieces, measured, at_once):
    monkeypatch.setattr(main_job, "_measured_at_once", lambda run: 2)
    monkeypatch.setattr(main_job.families, "measurements", lambda: pieces)
    monkeypatch.setattr(main_job.families, "experiments", lambda level: [])
    news = main_job.News(TINY, "a model", None)
    proved, results = main_job._all_routes(TINY, run, 0, None, at_once, Provers([], 1), news)
    assert proved == {}
    assert [results[each] for each in pieces] == [7, 7, 14, 21, 28]
    assert sorted(measured, key=str) == [1, 2, 3, 4, "shared"]


@pytest.mark.parametrize(("free", "fit"), [(None, 2), (50, 2), (20, 2), (19, 1), (9, 1)])
def test_as_many_as_memory_holds(monkeypatch, run, free, fit):
    monkeypatch.setattr(main_job, "_peak_bytes", lambda config, dtype, level: 10.0)
    monkeypatch.setattr(main_job, "available_memory", lambda: free)
    assert main_job._measured_at_once(run) == fit
    assert main_job._measured_at_once(None) == 1
    with compiling_for("gpu"):
        assert main_job._measured_at_once(run) == 1
