"""The page of the ledger: every row with its statement, numbers, verdict, reason and quotations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from signmag_jax.claims.claim import ROUTES
from signmag_jax.report.numbers import evidence
from signmag_jax.report.table import count_line, rule_line


def page(ledger: Mapping[str, Any]) -> str:
    """The page as Markdown."""
    return "\n\n".join(
        ["# The ledger, row by row", rule_line(ledger), count_line(ledger), *_families(ledger)]
    )


def _families(ledger: Mapping[str, Any]) -> Iterator[str]:
    for family, rows in groupby(ledger["rows"], lambda row: row["name"].partition(".")[0]):
        yield f"## {family}"
        for row in rows:
            yield from _row(row)


def _row(row: Mapping[str, Any]) -> Iterator[str]:
    yield f"### `{row['name']}`: {row['verdict']}"
    yield f"{row['statement']} ({row['source']}; claimed by: {row['claimant']})"
    yield "\n".join(f"- {route}: {evidence(row[route])}" for route in ROUTES if row[route] is not None)
    yield row["reason"] + (f" {row['note']}" if row["note"] else "")
