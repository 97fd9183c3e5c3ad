"""Results in a notebook and a script: short, with a table, a picture, and a data frame by pandas."""

import sys
import types
from dataclasses import dataclass

import numpy as np
import pytest

from signmag_jax.evidence import Estimate, InvalidInput, MissingResource, Picture, Result


@dataclass(frozen=True, eq=False)
class Found(Result):
    values: np.ndarray
    name: str = "x" * 10_000

    def rows(self):
        return [{"value": float(value)} for value in self.values]

    def picture(self):
        series = {"a": (self.values, None)}
        return Picture("curves", {"series": series, "x": "layer", "y": "value", "title": "Found"})


@pytest.fixture
def found():
    return Found(np.arange(100_000.0))


def test_a_result_is_short_however_much_it_holds(found):
    many = Estimate(np.ones((50, 50)), np.ones((50, 50)), 4, "1", "mean")
    for each in (found, many):
        assert len(repr(each)) < 500
        assert type(each).__name__ in each._repr_html_()


def test_a_result_draws_itself_and_saves_its_picture(tmp_path):
    figure = Found(np.arange(4.0)).plot(tmp_path / "found.svg")
    assert figure.axes[0].get_title() == "Found"
    assert (tmp_path / "found.svg").read_text().startswith("<svg")
    with pytest.raises(InvalidInput, match=r"--plot ends in"):
        Found(np.arange(4.0)).plot(tmp_path / "found.txt")
    with pytest.raises(InvalidInput, match="Estimate has no picture"):
        Estimate.exact(1.0).plot()


def test_a_result_becomes_a_data_frame_where_pandas_is_there(monkeypatch):
    pandas = types.ModuleType("pandas")
    pandas.DataFrame = lambda rows: rows  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    assert Found(np.array([2.0])).to_frame() == [{"value": 2.0}]
    assert Estimate.exact(1.0).to_frame() == [{"value": str(Estimate.exact(1.0))}]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingResource, match="pip install pandas"):
        Found(np.array([2.0])).to_frame()
