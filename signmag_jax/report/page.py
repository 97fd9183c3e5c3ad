"""One self-contained HTML page, made only from a saved run folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from signmag_jax.claims import ledger as ledgers
from signmag_jax.claims.claim import ROUTES
from signmag_jax.evidence.files import write_atomic

from .figures import draw
from .numbers import evidence
from .table import count_line, rule_line

FILE_NAME = "report.html"


def render(ledger: Mapping[str, Any]) -> str:
    """HTML text of a ledger: verdicts, pictures, provenance; it loads nothing from anywhere."""
    environment = Environment(
        loader=PackageLoader(__package__ or "signmag_jax.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["evidence"] = evidence
    return environment.get_template("report.html").render(
        ledger=ledger,
        routes=ROUTES,
        pictures=draw(ledger),
        rule=rule_line(ledger),
        counts=count_line(ledger),
        provenance=json.dumps(ledger["provenance"], indent=2, ensure_ascii=False),
    )


def write(folder: Path) -> Path:
    """Read `ledger.json` in `folder`, write `report.html` beside it, and return its path."""
    ledger = ledgers.read(folder)
    target = (folder if folder.is_dir() else folder.parent) / FILE_NAME
    write_atomic(target, render(ledger))
    return target
