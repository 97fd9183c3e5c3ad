"""A record that is whole but holds something else than an experiment's statistics is refused by name."""

import numpy as np
import pytest

from signmag_jax.evidence import InvalidInput
from signmag_jax.simulate.block_records import BlockRecords
from signmag_jax.simulate.network import Experiment

SOUND = {"ratio": [1.5, 2.5], "rare": 3.0}


@pytest.fixture
def kept(tmp_path):
    experiment = Experiment(
        "made up",
        lambda parameters, key: {"ratio": parameters, "rare": parameters[0]},
        np.ones(2, np.float32),
        {},
        work=1.0,
        target=lambda tally: (0.0, 0.0),
        optional=frozenset({"rare"}),
    )
    return BlockRecords(experiment, tmp_path, {}, limit=2)


@pytest.mark.parametrize(
    "row",
    [
        SOUND | {"rare": "3.0"},
        SOUND | {"ratio": ["1.5", "2.5"]},
        SOUND | {"ratio": [1.5, None]},
        SOUND | {"ratio": [1.5, [2.5]]},
        SOUND | {"ratio": [1.5]},
        SOUND | {"rare": {}},
        SOUND | {"rare": 10**400},
        SOUND | {"other": 1.0},
        {"ratio": [1.5, 2.5]},
        [],
        "ratio",
        7,
    ],
)
def test_what_is_no_statistic_is_refused(kept, row):
    kept._records.write(0, [SOUND, row])
    with pytest.raises(InvalidInput, match=r"record 0 in '.*' holds other values than this version"):
        kept.read([0])


def test_what_was_written_is_read(kept):
    """Control, with the statistic that a network may lack."""
    columns = {"ratio": np.array([[1.5, 2.5], [0.1, 1 / 3]]), "rare": np.array([3.0, np.nan])}
    kept.write(0, columns)
    for name, values in kept.read([0])[0].items():
        np.testing.assert_array_equal(values, columns[name])
