"""The next block is begun before the last is fetched, as on an accelerator: no bit differs."""

import jax
import pytest

from signmag_jax.evidence.compiling import compiling_for
from signmag_jax.simulate import ShareDone, batch, engine
from signmag_jax.simulate.engine import run
from signmag_jax.simulate.network import Experiment

NETWORKS, TARGET = 41, {"standard_error": 0.2, "seed": 5}


class Draws:
    """A network that costs nothing."""

    def __call__(self, parameters, key):
        return {"value": jax.random.normal(key, (2,)) * parameters}


DRAWS = Experiment("draws", Draws(), 1.5, {"kind": "draws"}, 1e9, lambda tally: tally.mean("value"))
BLOCKS = -(-NETWORKS // DRAWS.block)


@pytest.fixture
def events(monkeypatch):
    """What is begun and fetched, in order, one block a step."""
    seen, dispatch = [], engine.dispatch

    def watched(experiment, root, mesh, blocks, limit):
        seen.append(("begun", *blocks))
        fetch = dispatch(experiment, root, mesh, blocks, limit)

        def fetched():
            seen.append(("fetched", *blocks))
            return fetch()

        return fetched

    monkeypatch.setattr(engine, "dispatch", watched)
    return seen


@pytest.fixture
def ahead(monkeypatch):
    monkeypatch.setattr(batch, "ahead", lambda: 1)


def bits(**options):
    moments = run(DRAWS, **options)[0].moments
    return moments.count, moments.mean.tobytes(), moments.comoment.tobytes()


def test_an_accelerator_looks_ahead_and_a_cpu_does_not():
    for platform, steps in (("gpu", 1), ("tpu", 1), ("cpu", 0)):
        with compiling_for(platform):
            assert batch.ahead() == steps


@pytest.mark.parametrize("options", [{"networks": NETWORKS, "seed": 5}, TARGET], ids=["count", "error"])
def test_the_same_bits(options, monkeypatch, tmp_path):
    one_by_one = bits(**options)
    monkeypatch.setattr(batch, "ahead", lambda: 1)
    assert bits(**options) == one_by_one
    assert bits(**options, resume=tmp_path) == one_by_one
    sorted(tmp_path.glob("record-*.json"))[1].unlink()
    assert bits(**options, resume=tmp_path) == one_by_one
    assert bits(**{**options, "seed": 6}) != one_by_one


@pytest.mark.usefixtures("ahead")
def test_one_block_is_begun_beside_the_one_that_is_fetched(events):
    """Memory is bounded: two blocks are on the device, however many there are."""
    run(DRAWS, networks=NETWORKS)
    outstanding = [
        sum(1 if kind == "begun" else -1 for kind, _ in events[: end + 1]) for end in range(len(events))
    ]
    assert max(outstanding) == 2
    assert outstanding[-1] == 0
    assert [block for kind, block in events if kind == "fetched"] == list(range(BLOCKS))
    assert events[:3] == [("begun", 0), ("begun", 1), ("fetched", 0)]


def test_a_cpu_begins_a_block_when_the_last_is_there(events):
    run(DRAWS, networks=NETWORKS)
    assert events[:3] == [("begun", 0), ("fetched", 0), ("begun", 1)]


@pytest.mark.usefixtures("ahead")
def test_what_is_begun_and_not_needed_is_in_no_record(events, tmp_path):
    run(DRAWS, **TARGET, resume=tmp_path)
    fetched = [block for kind, block in events if kind == "fetched"]
    assert len([1 for kind, _ in events if kind == "begun"]) == len(fetched) + 1
    assert len(list(tmp_path.glob("record-*.json"))) == len(fetched)


@pytest.mark.usefixtures("ahead")
def test_an_interruption_keeps_what_was_fetched(events, tmp_path, monkeypatch):
    whole = bits(networks=NETWORKS, seed=5)
    watched = engine.dispatch

    def interrupted(experiment, root, mesh, blocks, limit):
        if blocks == [3]:
            raise KeyboardInterrupt
        return watched(experiment, root, mesh, blocks, limit)

    with monkeypatch.context() as patch:
        patch.setattr(engine, "dispatch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(DRAWS, networks=NETWORKS, seed=5, resume=tmp_path)
    assert len(list(tmp_path.glob("record-*.json"))) == 2
    events.clear()
    assert bits(networks=NETWORKS, seed=5, resume=tmp_path) == whole
    assert [block for kind, block in events if kind == "begun"] == list(range(2, BLOCKS))


@pytest.mark.usefixtures("ahead")
def test_shares_give_the_bits_of_one(tmp_path):
    for index in (1, 0):
        with pytest.raises(ShareDone) as caught:
            run(DRAWS, networks=NETWORKS, seed=5, share=(index, 2), resume=tmp_path)
        assert caught.value.done == list(range(BLOCKS))[index::2]
    assert bits(networks=NETWORKS, seed=5, resume=tmp_path) == bits(networks=NETWORKS, seed=5)
