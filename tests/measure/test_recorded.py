"""Payloads of records are read for what they should be, and refused as a whole."""

import json
import random

import mutated
import numpy as np
import pytest
from planted import SMALL

from signmag_jax.evidence import InvalidInput, Records
from signmag_jax.measure import recorded, sweep
from signmag_jax.measure.place import Place
from signmag_jax.measure.ranking import Ranking
from signmag_jax.measure.suspects import FISHER, Suspect
from signmag_jax.models import SITES

COLUMNS = {site: [[0, 2]] * SMALL.layers for site in SITES}
RANKING = Ranking((Place(0, 0, 1, 2), Place(3, 1, 0, 0)), (2.0, 0.5), (0.25,), 0.125)
SUSPECT = Suspect(Place(6, 1, 3, 4), (FISHER,), 1.5, 0)
READERS = {
    "row": ([0.5, None, -1.0], lambda payload: recorded.row(payload, 3)),
    "columns": (COLUMNS, lambda payload: recorded.columns(payload, SMALL)),
    "ranking": (RANKING.to_record(), lambda payload: Ranking.of_record(payload, SMALL)),
    "suspect": (SUSPECT.to_record(), lambda payload: Suspect.of_record(payload, SMALL)),
    "place": ([2, 1, 3, 0], lambda payload: recorded.place(payload, SMALL)),
}


@pytest.fixture
def records(tmp_path):
    return Records(tmp_path, {})


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("change", [mutated.wrong_kind, mutated.other_kind], ids=lambda one: one.__name__)
def test_what_is_none_of_a_readers_is_refused_by_name(records, name, change):
    payload, reader = READERS[name]
    rng = random.Random(f"{name} {change.__name__}")
    for _ in range(50):
        with pytest.raises(InvalidInput, match=r"record 7 in '.*' holds other values than this version"):
            recorded.read(records, 7, change(payload, rng), reader)


@pytest.mark.parametrize("name", ["row", "suspect", "place"])
def test_so_is_another_shape(records, name):
    payload, reader = READERS[name]
    rng = random.Random(name)
    for _ in range(50):
        changed = mutated.wrong_shape(payload, rng)
        # How many criteria named a suspect is no matter of shape.
        if changed[1:2] == payload[1:2] or name != "suspect":
            with pytest.raises(InvalidInput, match="record 7"):
                recorded.read(records, 7, changed, reader)


@pytest.mark.parametrize("place", [[7, 0, 0, 0], [0, SMALL.layers, 0, 0], [0, 0, -1, 0], [0, 0, 0, 10**6]])
def test_a_place_outside_the_model_is_refused(records, place):
    with pytest.raises(InvalidInput, match="record 0"):
        recorded.read(records, 0, place, lambda payload: recorded.place(payload, SMALL))


def test_so_are_more_weights_than_were_asked_for(records):
    one, two = [[0, 0, 1, 2]], [[0, 0, 1, 2], [0, 0, 1, 3]]
    assert recorded.places(one, SMALL, most=1) == (Place(0, 0, 1, 2),)
    with pytest.raises(InvalidInput, match="record 0"):
        recorded.read(records, 0, two, lambda payload: recorded.places(payload, SMALL, most=1))


def test_what_was_written_is_read():
    assert Ranking.of_record(json.loads(json.dumps(RANKING.to_record())), SMALL) == RANKING
    assert Suspect.of_record(json.loads(json.dumps(SUSPECT.to_record())), SMALL) == SUSPECT
    for site, chosen in recorded.columns(COLUMNS, SMALL).items():
        np.testing.assert_array_equal(chosen, COLUMNS[site])
    np.testing.assert_array_equal(recorded.row([0.5, None, -1.0], 3), [0.5, np.nan, -1.0])


def test_a_sweep_reads_as_many_numbers_as_its_tasks_give(records):
    tasks = [lambda: np.array([1 / 3, np.inf]), lambda: np.array([0.1])]
    first = sweep.run("made up", tasks, records, [2, 1])
    # Nothing is computed again.
    untouched = [lambda: pytest.fail("computed again")] * 2
    again = sweep.run("made up", untouched, records, [2, 1])
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(InvalidInput, match="record 0 in"):
        sweep.run("made up", untouched, records, 1)
