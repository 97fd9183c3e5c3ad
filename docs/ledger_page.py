"""The ledger as Markdown: the abstract claim by claim, and every row with its numbers and reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from signmag_jax.claims.claim import ROUTES
from signmag_jax.report import words
from signmag_jax.report.numbers import evidence
from signmag_jax.report.table import count_line, rule_line


def page(ledger: Mapping[str, Any]) -> str:
    """The page of all rows."""
    head = ["# The ledger, row by row", rule_line(ledger), count_line(ledger)]
    return "\n\n".join([*head, *_families(ledger)])


def abstract(ledger: Mapping[str, Any]) -> str:
    """The table of the abstract's claims."""
    lines = [f"| | {' | '.join(ROUTES)} | verdict |", f"|---|{'---|' * (len(ROUTES) + 1)}"]
    for sentence, row in words.answered(ledger):
        figures = [words.figure(sentence)] + [""] * (len(ROUTES) - 1)
        cells = figures if row is None else [evidence(row[route]) for route in ROUTES]
        lines.append(f"| {_escaped(sentence.claim)} | {' | '.join(cells)} | {words.verdict_of(row)} |")
    return "\n".join(lines)


def _families(ledger: Mapping[str, Any]) -> Iterator[str]:
    for family, rows in words.families(ledger).items():
        yield f"## {family.capitalize()}: {words.tally(rows)}"
        for row in rows:
            yield from _row(row)


def _row(row: Mapping[str, Any]) -> Iterator[str]:
    yield f"### `{row['name']}`: {words.verdict_of(row)}"
    yield f"{_escaped(row['statement'])} ({_escaped(row['source'])})"
    yield "\n".join(f"- {route}: {evidence(row[route])}" for route in ROUTES if row[route] is not None)
    yield _escaped(" ".join([row["reason"], row["note"]]).strip())


def _escaped(text: str) -> str:
    """Text whose stars, bars and brackets Markdown leaves alone."""
    return "".join("\\" + character if character in "\\*_|<[" else character for character in text)
