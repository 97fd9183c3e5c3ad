"""Several processes share a simulation: who does what, what they tell each other, and who has left."""

import json
import socket
import threading
import zlib

import jax
import numpy as np
import pytest

from signmag_jax.evidence import Incomplete, InvalidInput, MissingResource, Records
from signmag_jax.simulate import engine, processes
from signmag_jax.simulate.engine import run
from signmag_jax.simulate.network import Experiment
from signmag_jax.simulate.processes import Alone, Crew, Meeting


class Store:
    """The coordination service's key-value store, for threads of one process."""

    def __init__(self):
        self.content, self.most, self._changed = {}, 0, threading.Condition()

    def key_value_set_bytes(self, key, value, allow_overwrite=False):
        with self._changed:
            assert allow_overwrite or key not in self.content
            self.content[key] = value
            self.most = max(self.most, len(self.content))
            self._changed.notify_all()

    def blocking_key_value_get_bytes(self, key, timeout):
        with self._changed:
            if not self._changed.wait_for(lambda: key in self.content, timeout / 1000):
                raise jax.errors.JaxRuntimeError("DEADLINE_EXCEEDED: GetKeyValue() timed out")
            return self.content[key]

    def key_value_delete(self, key):
        with self._changed:
            del self.content[key]

    def wait_at_barrier(self, name, timeout):
        raise jax.errors.JaxRuntimeError("DEADLINE_EXCEEDED: Barrier timed out")


class Draws:
    """A network that costs nothing: two numbers from its key."""

    def __call__(self, parameters, key):
        pair = jax.random.normal(key, (2,)) * parameters
        return {"value": pair, "first": pair[0]}


DRAWS = Experiment("draws", Draws(), 1.5, {"kind": "draws"}, 1e9, lambda tally: tally.mean("value"))


@pytest.fixture
def together(monkeypatch):
    """Run a function in each of several threads, whose simulations meet as those of processes do."""
    mine = threading.local()
    monkeypatch.setattr(processes, "meet", lambda: mine.crew.meet() if hasattr(mine, "crew") else Alone())

    def start(count, work):
        store, found = Store(), [None] * count

        def one(index):
            mine.crew = Crew(index, count, store)
            try:
                found[index] = work(index)
            except Exception as error:
                found[index] = error

        threads = [threading.Thread(target=one, args=(index,)) for index in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        return found, store

    return start


def alone(**options):
    tally, _ = run(DRAWS, **options)
    return tally


TARGETS = [{"networks": 2}, {"networks": 41}, {"standard_error": 0.2}]


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("target", TARGETS)
def test_every_process_ends_with_the_bits_of_one(together, count, target):
    found, store = together(count, lambda index: alone(**target, seed=5))
    assert [tally.digest() for tally in found] == [alone(**target, seed=5).digest()] * count
    # Two steps of each process at most: what all have read is deleted, however long the run.
    assert store.most <= 2 * count
    assert alone(**target, seed=6).digest() != found[0].digest()


def test_a_network_is_computed_by_one_process_only(together, monkeypatch):
    computed, compute = [], engine.compute

    def counted(experiment, root, mesh, blocks, limit):
        computed.extend(blocks)
        return compute(experiment, root, mesh, blocks, limit)

    monkeypatch.setattr(engine, "compute", counted)
    together(3, lambda index: alone(networks=41))
    assert sorted(computed) == list(range(-(-41 // DRAWS.block)))


def test_a_folder_is_resumed_by_another_number_of_processes(together, tmp_path, monkeypatch):
    whole = alone(networks=60)
    together(3, lambda index: alone(networks=30, resume=tmp_path))
    found, _ = together(2, lambda index: alone(networks=60, resume=tmp_path))
    assert [tally.digest() for tally in found] == [whole.digest()] * 2
    monkeypatch.undo()
    monkeypatch.setattr(engine, "compute", None)  # everything is read
    assert alone(networks=60, resume=tmp_path).digest() == whole.digest()


def test_the_first_clock_counts_for_all(together, monkeypatch):
    """The second process is always late; the first one's time is up at its tenth step."""
    clocks = {}

    def monotonic():
        index = threading.current_thread().name
        clocks[index] = clocks.get(index, 0.0) + (1.0 if index == clocks["first"] else 1e6)
        return clocks[index]

    def work(index):
        if index == 0:
            clocks["first"] = threading.current_thread().name
        started.wait()
        return run(DRAWS, seconds=9.5)

    started = threading.Barrier(2)
    monkeypatch.setattr(engine, "time", type("Clock", (), {"monotonic": staticmethod(monotonic)}))
    found, _ = together(2, work)
    assert [tally.count for tally, _ in found] == [10 * 2 * DRAWS.block] * 2
    assert found[0][1]["stopped_by"] == "time (not reproducible)"


@pytest.mark.parametrize(
    ("changed", "name"),
    [({"seed": 3}, "seed: 0 and 3"), ({"networks": 9}, "networks: 8 and 9")],
)
def test_different_requests_are_refused_by_name_in_all(together, changed, name):
    found, _ = together(2, lambda index: alone(**({"networks": 8, "seed": 0} | (changed if index else {}))))
    for error in found:
        assert isinstance(error, InvalidInput)
        assert name in str(error)


def test_who_fails_tells_the_others_why(together, tmp_path):
    Records(tmp_path, {"other": 1})
    found, _ = together(2, lambda index: alone(networks=8, resume=tmp_path if index else None))
    assert isinstance(found[1], InvalidInput)
    assert isinstance(found[0], Incomplete)
    assert "process 1 of 2 stopped (folder" in str(found[0])


def test_who_fails_midway_tells_the_others_at_their_next_step(together, monkeypatch):
    compute = engine.compute

    def fails(experiment, root, mesh, blocks, limit):
        if 7 in blocks:
            raise MemoryError("no more")
        return compute(experiment, root, mesh, blocks, limit)

    monkeypatch.setattr(engine, "compute", fails)
    found, _ = together(2, lambda index: alone(networks=80))
    assert "process 1 of 2 stopped (no more)" in str(found[0])


def test_who_leaves_before_the_simulation_tells_the_others(together):
    store = Store()
    crew = Crew(1, 2, store)
    crew.leave(KeyboardInterrupt())
    with pytest.raises(Incomplete, match=r"process 1 of 2 stopped \(it was interrupted\)"):
        Crew(0, 2, store).meet().gather(1)


def test_floats_travel_to_the_last_bit():
    numbers = [0.1, 1 / 3, 5e-324, float(np.float32(np.pi)), float("nan"), -0.0]
    store = Store()
    one, other = (Meeting(Crew(index, 2, store), "m") for index in range(2))
    other._put({"brings": numbers}, 0)
    brought = one.gather([])[1]
    assert np.asarray(brought).tobytes() == np.asarray(numbers).tobytes()
    assert json.loads(zlib.decompress(store.content["m/0/0"])) == {"brings": []}


def test_different_bits_are_no_result(together, monkeypatch):
    monkeypatch.setattr(engine.Tally, "digest", lambda self: threading.current_thread().name)
    found, _ = together(2, lambda index: alone(networks=4))
    assert all("to different bits" in str(error) for error in found)


def test_connecting_late_is_refused():
    """This process has computed already, and stays alone."""
    jax.devices()
    with pytest.raises(InvalidInput, match="`connect before JAX computes`"):
        processes.connect("127.0.0.1:1", 2, 1)
    assert processes.crew() is None


def test_an_occupied_address_is_refused_before_jax_listens(monkeypatch):
    """JAX's service would end this process by signal 11."""
    monkeypatch.setattr(jax.distributed, "initialize", None)
    with socket.socket() as one:
        one.bind(("", 0))
        one.listen()
        port = one.getsockname()[1]
        with pytest.raises(MissingResource, match=r"\(Address already in use\): give an address .* free"):
            processes.connect(f"127.0.0.1:{port}", 2, 0)
    with pytest.raises(TypeError, match="not callable"):  # control: the same address, free again
        processes.connect(f"127.0.0.1:{port}", 2, 0)


def test_whoever_has_connected_jax_already_needs_no_place(monkeypatch):
    monkeypatch.setattr(jax.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(processes, "find", None)
    monkeypatch.setattr(processes, "_crew", None)
    assert processes.connect().index == 0
    with pytest.raises(InvalidInput, match="HOST:PORT"):
        processes.connect("host", 2, 0)


def test_the_first_of_those_that_failed_goes_last():
    store = Store()
    crews, order = [Crew(index, 3, store) for index in range(3)], []

    def go(index):
        crews[index].go()
        order.append(index)

    first = threading.Thread(target=go, args=(0,))
    first.start()
    go(2)
    first.join(0.2)
    assert first.is_alive()
    go(1)
    first.join(60)
    assert order == [2, 1, 0]
