"""What every result offers: JSON, lines for a terminal, rows of a table, and a picture, described plainly."""

from __future__ import annotations

import dataclasses
import html
import importlib
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from .errors import InvalidInput, MissingResource
from .files import strict_json, write_atomic

LONGEST_REPR = 400
KEPT_OUT: Mapping[str, Any] = {"json": None}
"""Metadata of a field that is not part of the JSON."""


def named(name: str) -> Mapping[str, Any]:
    """Metadata of a field that bears another name in the JSON."""
    return {"json": name}


@dataclass(frozen=True)
class Picture:
    """A picture as plain data; `report.plots.draw` makes a figure of it.

    Args:
      kind: name of a function of `report.plots`.
      arguments: its keyword arguments.
    """

    kind: str
    arguments: Mapping[str, Any]

    @classmethod
    def of_matrices(cls, cells: Mapping[tuple[int, str], float | None], title: str, label: str) -> Picture:
        """A number for each layer and matrix as a table of matrices × layers; None leaves its place empty."""
        layers = sorted({layer for layer, _ in cells})
        names = list(dict.fromkeys(name for _, name in cells))
        table = np.full((len(names), len(layers)), np.nan)
        for (layer, name), value in cells.items():
            if value is not None:
                table[names.index(name), layers.index(layer)] = value
        drawn = {"table": table, "rows": names, "columns": list(map(str, layers))}
        return cls("layers", {**drawn, "title": title, "label": label})


class Result:
    """Base of results, which are frozen dataclasses.

    The JSON has every field by its name, unless its metadata say otherwise: `KEPT_OUT` or `named(...)`.
    `SHOWN` names properties and methods without arguments whose values stand beside the fields, `SCHEMA` the
    kind of file that it is, if others read it.
    """

    SHOWN: ClassVar[tuple[str, ...]] = ()
    SCHEMA: ClassVar[str | None] = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # A dataclass writes its own unless the class has one already.
        cls.__repr__ = Result.__repr__

    def to_json(self) -> dict[str, Any]:
        """A strict-JSON object."""
        content = {} if self.SCHEMA is None else {"schema": self.SCHEMA}
        content |= _fields(self)
        for name in self.SHOWN:
            value = getattr(self, name)
            content[name] = plain(value() if callable(value) else value)
        return content

    def write(self, path: Path) -> None:
        """Write the JSON to a file, whole or not at all."""
        write_atomic(path, strict_json(self.to_json()))

    def summary(self) -> dict[str, str]:
        """Lines for a terminal, by name."""
        lines = {}
        for field in dataclasses.fields(self):  # pyright: ignore[reportArgumentType]
            value = getattr(self, field.name)
            if isinstance(value, str | int | float | Result):
                lines[field.name.replace("_", " ")] = str(value)
        return lines

    def rows(self) -> list[dict[str, Any]]:
        """Flat rows of a table; empty where there is none."""
        return []

    def picture(self) -> Picture | None:
        """The result as a picture, if there is one."""
        return None

    def plot(self, path: str | Path | None = None) -> Any:
        """The result's picture as a Matplotlib figure, saved to a file of that name if one is given.

        Raises:
          InvalidInput: if the result has no picture, or the file's suffix is not that of a picture.
        """
        picture = self.picture()
        if picture is None:
            raise InvalidInput(
                f"{type(self).__name__} has no picture: its numbers are in .summary() and .rows()"
            )
        # By name: no room below imports the report, and only who asks for a picture waits for Matplotlib.
        plots = importlib.import_module("signmag_jax.report.plots")
        figure = plots.draw(picture)
        if path is not None:
            plots.style.save(figure, Path(path))
        return figure

    def to_frame(self) -> Any:
        """The result's rows as a pandas DataFrame; its summary in one row where it has none.

        Raises:
          MissingResource: without pandas.
        """
        try:
            pandas = importlib.import_module("pandas")
        except ImportError:
            raise MissingResource("a data frame needs pandas: run `pip install pandas`") from None
        return pandas.DataFrame(self.rows() or [self.summary()])

    def __repr__(self) -> str:
        lines = "; ".join(f"{name}: {value}" for name, value in self.summary().items())
        return f"{type(self).__name__}({textwrap.shorten(lines, LONGEST_REPR, placeholder=' …')})"

    def _repr_html_(self) -> str:
        cells = (
            f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>"
            for name, value in self.summary().items()
        )
        return f"<table><caption>{type(self).__name__}</caption>{''.join(cells)}</table>"


def plain(value: Any) -> Any:
    """A value as strict JSON has it: arrays as lists, results and named tuples as objects."""
    if hasattr(value, "to_json"):
        return value.to_json()
    if dataclasses.is_dataclass(value):
        return _fields(value)
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return plain(value._asdict())  # pyright: ignore[reportAttributeAccessIssue]
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value


def _fields(value: Any) -> dict[str, Any]:
    """The fields of a dataclass as their metadata say."""
    names = {field.name: field.metadata.get("json", field.name) for field in dataclasses.fields(value)}
    return {shown: plain(getattr(value, name)) for name, shown in names.items() if shown is not None}


def by_draw(samples: Mapping[str, Any], name: str, value: str, **fixed: Any) -> list[dict[str, Any]]:
    """One row for each draw and window of draws × windows tables, None left out, with its table's name."""
    return [
        {**fixed, name: label, "draw": draw, "window": window, value: float(number)}
        for label, table in samples.items()
        if table is not None
        for draw, row in enumerate(table)
        for window, number in enumerate(row)
    ]


def by_metric(samples: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows as from `by_draw`, of several metrics, each with a table for every choice."""
    return [
        {**row, "metric": metric}
        for metric, tables in samples.items()
        for row in by_draw(tables, "choice", "value")
    ]
