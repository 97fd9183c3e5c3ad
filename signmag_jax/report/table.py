"""The ledger on the terminal: the abstract, the families, what does not hold; or every row."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from signmag_jax.claims import verdict as verdicts
from signmag_jax.claims.abstract import Sentence
from signmag_jax.claims.claim import ROUTES
from signmag_jax.claims.published import PAPER

from . import words
from .numbers import evidence

WIDTH = 80
GAP = 2
INDENT = 4
USUAL = (13, 12, 14, 12)
"""Room for the numbers of each route while those of the other rows are not known."""
STYLES = {
    verdicts.PROVED: "bold green",
    verdicts.REPRODUCED: "green",
    verdicts.DISAGREES: "bold red",
    verdicts.UNRESOLVED: "yellow",
    verdicts.IDENTITY: "cyan",
    verdicts.NOT_COMPARABLE: "blue",
    verdicts.NOT_RUN: "dim",
}

Line = tuple[str, str]
"""A line of at most `WIDTH` characters, and its style."""


def summary_lines(ledger: Mapping[str, Any]) -> Iterator[Line]:
    """The abstract claim by claim, one line a family, and where claims do not hold."""
    yield from wrapped(f"The abstract of {PAPER}, measured on {words.model_line(ledger)}", "bold")
    yield from abstract_lines(list(words.answered(ledger)))
    yield "", ""
    for name, rows in words.families(ledger).items():
        yield from wrapped(f"{name}: {words.tally(rows)}")
    yield "", ""
    for reason in words.failures(ledger):
        yield from wrapped(reason)
    yield "", ""
    yield from meanings(ledger["rows"])
    count = len(ledger["rows"])
    yield from wrapped(
        f"Level {ledger['level']['name']}; in brackets, standard errors of the last digits; "
        f"--all prints all {count} rows.",
        "dim",
    )
    yield from wrapped(words.answer(ledger), "bold")


def abstract_lines(answered: Sequence[tuple[Sentence, Mapping[str, Any] | None]]) -> Iterator[Line]:
    """Each claim in words, with its verdict and the numbers of each route below it."""
    cells = [_cells(sentence, row) for sentence, row in answered]
    widths = _widths(cells)
    if sum(widths) < WIDTH:
        yield _numbers("", ROUTES, widths), "dim"
    for number, ((sentence, row), numbers) in enumerate(zip(answered, cells, strict=True), start=1):
        yield from _claim(f"{number:2}. {sentence.claim}", row, numbers, widths)


def claim_lines(sentence: Sentence, row: Mapping[str, Any]) -> Iterator[Line]:
    """One claim in words, with its verdict and numbers, before the others are known."""
    yield from _claim(f" *  {sentence.claim}", row, _cells(sentence, row), USUAL)


def _claim(
    said: str, row: Mapping[str, Any] | None, numbers: Sequence[str], widths: Sequence[int]
) -> Iterator[Line]:
    yield from wrapped(said, hanging=INDENT)
    yield from _judged(words.verdict_of(row), numbers, widths, row)


def every_line(ledger: Mapping[str, Any]) -> Iterator[Line]:
    """Every row: its name, what it claims, its numbers and why its verdict is what it is."""
    rows = ledger["rows"]
    widths = _widths([_cells(None, row) for row in rows])
    for row in rows:
        yield from wrapped(row["name"], "bold")
        yield from wrapped(row["statement"], hanging=INDENT, first=INDENT)
        yield from _judged(words.verdict_of(row), _cells(None, row), widths, row)
        yield from wrapped(row["reason"], "dim", hanging=INDENT, first=INDENT)
    yield "", ""
    yield from meanings(rows)
    yield from wrapped(rule_line(ledger))
    yield from wrapped(count_line(ledger))


def meanings(rows: Sequence[Mapping[str, Any]]) -> Iterator[Line]:
    """What the verdicts that are no answer mean, where they appear."""
    for word in words.EXPLAINED:
        if any(row["verdict"] == word for row in rows):
            yield from wrapped(f"{words.IN_WORDS[word]}: {words.MEANING[word]}", STYLES[word])


def wrapped(text: str, style: str = "", *, hanging: int = 0, first: int = 0) -> Iterator[Line]:
    """A paragraph in lines of the table's width."""
    lines = textwrap.wrap(
        text, WIDTH, initial_indent=" " * first, subsequent_indent=" " * hanging, break_on_hyphens=False
    )
    return ((line, style) for line in lines)


def _cells(sentence: Sentence | None, row: Mapping[str, Any] | None) -> list[str]:
    if row is not None:
        return [evidence(row[route]) for route in ROUTES]
    figure = words.figure(sentence) if sentence else evidence(None)
    return [figure, *(evidence(None) for _ in ROUTES[1:])]


def _widths(cells: Sequence[Sequence[str]]) -> list[int]:
    """Room for the widest number of each route."""
    return [max(map(len, column)) + GAP for column in zip(ROUTES, *cells, strict=True)]


def _numbers(left: str, cells: Sequence[str], widths: Sequence[int]) -> str:
    right = "".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
    return left.ljust(WIDTH - sum(widths)) + right


def _judged(
    verdict: str, cells: Sequence[str], widths: Sequence[int], row: Mapping[str, Any] | None
) -> Iterator[Line]:
    """Verdict and numbers in a line, or below each other where they do not fit: no number is ever cut."""
    style = STYLES[row["verdict"]] if row else "dim"
    left = " " * INDENT + verdict
    if len(left) + sum(widths) <= WIDTH:
        yield _numbers(left, cells, widths), style
        return
    known = [f"{route} {cell}" for route, cell in zip(ROUTES, cells, strict=True) if cell != evidence(None)]
    yield from wrapped("; ".join([verdict, *known]), style, first=INDENT, hanging=INDENT)


def rule_line(ledger: Mapping[str, Any]) -> str:
    """The decision rule in one sentence."""
    rule = ledger["rule"]
    return (
        f"Level {ledger['level']['name']}. Numbers in brackets are standard errors of the last digits. "
        f"{rule['comparisons']:.0f} comparisons share a family-wise level of {rule['family_level']:.0%}: "
        f"a pair agrees within {rule['threshold_standard_errors']:.2f} standard errors (further by Student's "
        "t, where they come from few samples), and disagrees beyond what errors as skewed as a log-normal's "
        "allow."
    )


def count_line(ledger: Mapping[str, Any]) -> str:
    """The verdicts counted."""
    return ", ".join(f"{name}: {count}" for name, count in ledger["summary"].items())


def print_ledger(ledger: Mapping[str, Any], *, every: bool = False) -> None:
    """Print on standard output the abstract's claims, or every row; no line exceeds 80 columns."""
    show(every_line(ledger) if every else summary_lines(ledger))


def show(lines: Iterator[Line]) -> None:
    """Print lines as they are, in colour where there is a terminal."""
    console = Console()
    for line, style in lines:
        console.print(Text(line, style=style), soft_wrap=True)
