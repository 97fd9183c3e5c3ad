"""One self-contained HTML page, made only from a saved run folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from signmag_jax.claims import ledger as ledgers
from signmag_jax.claims.claim import ROUTES
from signmag_jax.claims.published import PAPER
from signmag_jax.evidence.files import write_atomic

from . import words
from .numbers import evidence
from .pictures import draw
from .table import rule_line

FILE_NAME = "report.html"
OF_THE_RUN = ("versions", "platform", "device", "threads", "processor", "model")
"""Parts of a number's provenance that the page states once for the whole run."""


def render(ledger: Mapping[str, Any]) -> str:
    """HTML text of a ledger: answer, abstract, pictures, rows, provenance; it loads nothing from anywhere."""
    answered, pictures = list(words.answered(ledger)), draw(ledger)
    return (
        _environment()
        .get_template("report.html")
        .render(
            ledger=ledger,
            paper=PAPER,
            routes=ROUTES,
            abstract=answered,
            answer=words.answer(ledger),
            failures=words.failures(ledger),
            model=words.model_line(ledger),
            in_words=words.IN_WORDS,
            meaning=words.MEANING,
            explained=words.EXPLAINED,
            claimants=words.CLAIMANTS,
            not_asked=words.NOT_ASKED,
            families=words.families(ledger),
            counts={word: count for word, count in ledger["summary"].items() if word in words.IN_WORDS},
            pictures=pictures,
            beside={sentence.picture for sentence, _ in answered},
            rule=rule_line(ledger),
            provenance=_json(ledger["provenance"]),
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__ or "signmag_jax.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "evidence": evidence,
        "figure": words.figure,
        "origin": _origin,
        "tally": words.tally,
        "value": _value,
    }
    return environment


def _origin(record: Mapping[str, Any]) -> str:
    """The origin of a number in words, or why there is none."""
    if "status" in record:
        inner = record["estimate"]
        return record["reason"] if inner is None else f"{record['reason']}\n{_origin(inner)}"
    own = {name: each for name, each in record.get("provenance", {}).items() if name not in OF_THE_RUN}
    return f"{record['estimator']}; n = {record['n']}; unit {record['unit']}\n{_json(own)}"


def _value(record: Mapping[str, Any] | None) -> str:
    """The number by which a row is sorted; empty where there is none."""
    inner = record if record is None or "status" not in record else record["estimate"]
    return "" if inner is None or isinstance(inner["value"], list) else repr(inner["value"])


def _json(plain: Any) -> str:
    return json.dumps(plain, indent=1, ensure_ascii=False)


def write(folder: Path) -> Path:
    """Read `ledger.json` in `folder`, write `report.html` beside it, and return its path."""
    ledger = ledgers.read(folder)
    target = (folder if folder.is_dir() else folder.parent) / FILE_NAME
    write_atomic(target, render(ledger))
    return target
