"""The base of results: JSON from the fields, and what a notebook and a terminal show."""

import json
from dataclasses import dataclass, field

import numpy as np

from signmag_jax.evidence import Estimate, Picture, Ratio, Result
from signmag_jax.evidence.result import KEPT_OUT, by_draw, named


@dataclass(frozen=True, eq=False)
class Inner(Result):
    value: Estimate
    heavy: object = field(metadata=KEPT_OUT)


@dataclass(frozen=True, eq=False)
class Outer(Result):
    SHOWN = ("twice",)

    inner: dict[str, Inner]
    table: np.ndarray = field(metadata=named("samples"))
    ratio: Ratio
    rate: float

    @property
    def twice(self):
        return 2 * self.rate


def outer():
    inner = Inner(Estimate(2.64481, 0.0013, 7, "nat/token", "mean"), object())
    return Outer({"a": inner}, np.arange(6.0).reshape(2, 3), Ratio(None, "a < b"), 0.25)


def test_json_is_that_of_the_fields_as_their_metadata_say():
    plain = json.loads(json.dumps(outer().to_json(), allow_nan=False))
    assert list(plain) == ["inner", "samples", "ratio", "rate", "twice"]
    assert list(plain["inner"]["a"]) == ["value"]
    assert plain["inner"]["a"]["value"]["standard_error"] == 0.0013
    assert plain["samples"] == [[0, 1, 2], [3, 4, 5]]
    assert plain["ratio"] == {"interval": None, "reason": "a < b", "resolved": False}
    assert plain["twice"] == 0.5


def test_what_is_shown_is_short_and_escaped():
    result = outer()
    assert repr(result) == "Outer(ratio: UNRESOLVED: a < b; rate: 0.25)"
    assert "UNRESOLVED: a &lt; b" in result._repr_html_()
    long = Estimate(1.0, 0.1, 3, "1", "word " * 300, {"versions": "x" * 9999})
    assert len(repr(long)) < 500
    assert str(result.inner["a"].value) == "2.6448(13) nat/token (n = 7; mean)"
    assert result.rows() == []
    assert result.picture() is None


def test_rows_by_draw_leave_out_tables_that_are_not_there():
    rows = by_draw({"one": np.ones((2, 2)), "none": None}, "arm", "value", rate=0.1)
    assert len(rows) == 4
    assert rows[-1] == {"rate": 0.1, "arm": "one", "draw": 1, "window": 1, "value": 1.0}


def test_a_picture_of_matrices_has_a_place_for_each_and_none_for_what_is_not_known():
    cells = {(3, "q_proj"): 1.0, (0, "q_proj"): 2.0, (3, "up_proj"): None, (0, "down_proj"): 4.0}
    drawn = Picture.of_matrices(cells, "title", "nats").arguments
    assert (drawn["rows"], drawn["columns"]) == (["q_proj", "up_proj", "down_proj"], ["0", "3"])
    nan = np.nan
    np.testing.assert_array_equal(drawn["table"], [[2, 1], [nan, nan], [4, nan]])
