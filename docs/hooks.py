"""What the site takes from the package and a run: laws, proofs, the ledger, and every number in its prose."""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path
from typing import Any

import laws_page
import ledger_page
import proofs_page
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

from signmag_jax.claims import ledger as ledgers
from signmag_jax.report.numbers import evidence

CHECKOUT = Path(__file__).parents[1]
# {{ row.name route }} stands for a cell of the run's ledger.
CELL = re.compile(r"\{\{ (\S+) (published|predicted|simulated|measured|verdict) \}\}")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages and pictures that are made here."""
    made = {
        "laws.md": laws_page.page(),
        "proofs.md": proofs_page.page(),
        "ledger.md": ledger_page.page(_ledger()),
        **{f"pictures/law_{name}.svg": text for name, text in laws_page.pictures().items()},
    }
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the run's numbers where a page names them."""
    return CELL.sub(lambda match: _cell(*match.groups()), markdown)


def _cell(name: str, route: str) -> str:
    rows = {row["name"]: row for row in _ledger()["rows"]}
    if name not in rows:
        raise PluginError(f"no row {name} in the ledger: mend the page, or run `signmag reproduce`")
    return rows[name]["verdict"] if route == "verdict" else evidence(rows[name][route])


@functools.cache
def _ledger() -> Any:
    folder = CHECKOUT / os.environ.get("SIGNMAG_LEDGER", "signmag-run")
    if not (folder / ledgers.FILE_NAME).exists():
        raise PluginError(f"the site quotes a run, and {folder} holds none: run `signmag reproduce` first")
    return ledgers.read(folder)
