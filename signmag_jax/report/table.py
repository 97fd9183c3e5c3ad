"""The ledger as a table on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from signmag_jax.claims.claim import ROUTES

from .numbers import evidence

STYLES = {
    "PROVED": "bold green",
    "REPRODUCED": "green",
    "DISAGREES": "bold red",
    "UNRESOLVED": "yellow",
    "IDENTITY": "cyan",
    "NOT COMPARABLE": "blue",
    "NOT RUN": "dim",
}


def ledger_table(ledger: Mapping[str, Any]) -> RenderableType:
    """Claim, its routes side by side, verdict and reason; below it the rule and the counts."""
    table = Table(title="signmag ledger", show_lines=False, expand=False)
    table.add_column("claim", overflow="fold")
    table.add_column("by")
    for route in ROUTES:
        table.add_column(route, justify="right")
    table.add_column("verdict")
    table.add_column("why", overflow="fold")
    for row in ledger["rows"]:
        verdict = Text(row["verdict"], style=STYLES[row["verdict"]])
        cells = [evidence(row[route]) for route in ROUTES]
        table.add_row(row["name"], row["claimant"], *cells, verdict, row["reason"])
    return Group(table, Text(rule_line(ledger)), Text(count_line(ledger)))


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


def print_ledger(ledger: Mapping[str, Any]) -> None:
    """Print the table on standard output; where that is not a terminal, wide enough not to fold."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    console.print(ledger_table(ledger))
