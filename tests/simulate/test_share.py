"""Processes that share a run through a folder: who does what, when they stop, and the last run's bits."""

import jax
import numpy as np
import pytest

from signmag_jax.evidence import Incomplete, InvalidInput
from signmag_jax.simulate import ShareDone, engine, parse_share
from signmag_jax.simulate.engine import run
from signmag_jax.simulate.network import Experiment
from signmag_jax.simulate.stop import FEWEST


class Draws:
    """A network that costs nothing: two numbers from its key."""

    def __call__(self, parameters, key):
        pair = jax.random.normal(key, (2,)) * parameters
        return {"value": pair, "first": pair[0]}


DRAWS = Experiment("draws", Draws(), 1.5, {"kind": "draws"}, 1e9, lambda tally: tally.mean("value"))


def bits(**options):
    moments = run(DRAWS, **options)[0].moments
    return moments.count, moments.mean.tobytes(), moments.comoment.tobytes()


def shared(index, count, **options):
    with pytest.raises(ShareDone) as caught:
        run(DRAWS, share=(index, count), **options)
    return caught.value


@pytest.fixture
def computed(monkeypatch):
    blocks, dispatch = [], engine.dispatch

    def counted(experiment, root, mesh, wanted, limit):
        blocks.extend(wanted)
        return dispatch(experiment, root, mesh, wanted, limit)

    monkeypatch.setattr(engine, "dispatch", counted)
    return blocks


def test_the_last_run_reads_all_and_has_the_bits_of_one(tmp_path, computed):
    for index in (2, 0, 1):  # one after another, in any order
        done = shared(index, 3, networks=41, seed=5, resume=tmp_path)
        assert done.done == list(range(-(-41 // DRAWS.block)))[index::3]
    assert sorted(computed) == list(range(-(-41 // DRAWS.block)))
    assert done.missing == []
    computed.clear()
    last = bits(networks=41, seed=5, resume=tmp_path)
    assert computed == []
    assert last == bits(networks=41, seed=5)
    assert last != bits(networks=41, seed=6)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1), (1,)])
def test_the_last_run_computes_what_is_missing(tmp_path, order):
    target = {"standard_error": 0.2, "seed": 5}
    for index in order:
        shared(index, 3, **target, resume=tmp_path)
    assert bits(**target, resume=tmp_path) == bits(**target)


def test_a_share_stops_where_the_prefix_meets_the_target(tmp_path, computed):
    target = {"standard_error": 0.15, "seed": 5}
    whole, size = bits(**target)[0], DRAWS.block
    last = -(-(FEWEST + whole) // size) - 1  # the block inside which one process stops
    run(DRAWS, networks=last * size, seed=5, resume=tmp_path)
    computed.clear()
    done = shared(last % 2, 2, **target, resume=tmp_path)
    assert (done.why, done.done[-1], computed) == ("the target is met", last, [last])
    computed.clear()
    done = shared(1 - last % 2, 2, **target, resume=tmp_path)  # all is there: nothing to do
    assert (done.why, done.done, computed) == ("the target is met", [], [])


def test_a_share_that_is_alone_does_not_run_far_ahead(tmp_path):
    """It ends, and waits for nobody, about where as many shares like it would meet the target."""
    target = {"standard_error": 0.1, "seed": 5}
    whole = bits(**target)[0]
    done = shared(2, 3, **target, resume=tmp_path)
    assert done.why.startswith("as many shares")
    assert 0.5 < len(done.done) * DRAWS.block * 3 / whole < 2
    assert 0 in done.missing


def test_what_one_process_would_refuse_a_share_refuses(tmp_path):
    target = {"standard_error": 1e-3, "max_networks": 100, "seed": 5}
    with pytest.raises(Incomplete) as alone:
        run(DRAWS, **target)
    with pytest.raises(Incomplete) as share:
        run(DRAWS, **target, share=(0, 1), resume=tmp_path)
    assert str(share.value) == str(alone.value)


def test_a_share_starts_again_where_it_was(tmp_path, computed):
    shared(1, 2, networks=60, resume=tmp_path)
    lost = sorted(tmp_path.glob("record-*.json"))[-1]
    number = int(lost.stem.removeprefix("record-"))
    lost.write_bytes(lost.read_bytes()[:-40])
    computed.clear()
    shared(1, 2, networks=60, resume=tmp_path)
    assert computed == [number]


def test_a_network_without_a_ratio_is_left_to_the_last_run(tmp_path):
    class Bad(Draws):
        def __call__(self, parameters, key):
            found = super().__call__(parameters, key)
            return {**found, "first": jax.numpy.where(found["first"] > 2.5, jax.numpy.nan, found["first"])}

    bad = Experiment("bad", Bad(), 1.5, {}, 1e9, lambda tally: tally.mean("value"))
    with pytest.raises(ShareDone, match="has no finite first"):
        run(bad, networks=400, share=(1, 2), resume=tmp_path)
    with pytest.raises(Incomplete, match="has no finite first") as caught:
        run(bad, networks=400, resume=tmp_path)
    assert not isinstance(caught.value, ShareDone)


@pytest.mark.parametrize("share", [(2, 2), (-1, 2), (0, 0), (True, 2)])
def test_a_share_that_cannot_be_is_refused(tmp_path, share):
    with pytest.raises(InvalidInput, match="`share is I/N with 0 <= I < N`"):
        run(DRAWS, networks=4, share=share, resume=tmp_path)


def test_a_share_without_a_folder_is_refused():
    with pytest.raises(InvalidInput, match="--resume DIR"):
        run(DRAWS, networks=4, share=(0, 2))


@pytest.mark.parametrize("text", ["", "1", "2/2", "-1/2", "a/2", "1/", "0/0", "1/2/3", "/"])
def test_what_is_no_share(text):
    with pytest.raises(InvalidInput, match="count the shares from 0"):
        parse_share(text)
    assert parse_share("1/4") == (1, 4)


def test_a_share_says_what_it_has_done(tmp_path):
    done = shared(0, 2, networks=10, resume=tmp_path)
    plain = done.to_json()
    assert plain["share"] == "0/2"
    assert plain["done"] == done.done == list(np.arange(0, -(-10 // DRAWS.block), 2))
    assert "\n" not in str(done)
