"""What the site takes from the package and a run: laws, proofs, rows, pictures, numbers in its prose."""

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
from signmag_jax.report import pictures, words
from signmag_jax.report.numbers import evidence

CHECKOUT = Path(__file__).parents[1]
# {{ cell ROW ROUTE }}, {{ picture NAME }}, {{ abstract }} and {{ answer }} stand for what the run has.
MARK = re.compile(r"\{\{ (\w+)(?: (\S+))?(?: (\S+))? \}\}")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made here."""
    pages = {
        "laws.md": laws_page.page(),
        "proofs.md": proofs_page.page(),
        "ledger.md": ledger_page.page(_ledger()),
    }
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Put in what the run has where a page names it."""

    def put(match: re.Match[str]) -> str:
        name, *arguments = match.groups()
        if name not in MARKS:
            raise PluginError(f"{page.file.src_uri}: {match.group()} is none of {', '.join(MARKS)}")
        return MARKS[name](*(each for each in arguments if each is not None))

    # Formulas and code of the generated pages may hold braces of their own.
    return markdown if page.file.generated_by else MARK.sub(put, markdown)


def _cell(name: str, route: str) -> str:
    row = words.by_name(_ledger()).get(name)
    if row is None:
        raise PluginError(f"no row {name} in the ledger: mend the page, or run `signmag reproduce`")
    return words.IN_WORDS[row["verdict"]] if route == "verdict" else evidence(row[route])


def _picture(name: str) -> str:
    drawn = _pictures()
    if name not in drawn:
        raise PluginError(f"the ledger holds no picture {name}, only {', '.join(drawn)}")
    return f"<figure>{drawn[name][1]}</figure>"


MARKS = {
    "cell": _cell,
    "picture": _picture,
    "abstract": lambda: ledger_page.abstract(_ledger()),
    "answer": lambda: words.answer(_ledger()),
}


@functools.cache
def _pictures() -> dict[str, tuple[str, str]]:
    return pictures.draw(_ledger())


@functools.cache
def _ledger() -> Any:
    folder = CHECKOUT / os.environ.get("SIGNMAG_LEDGER", "signmag-run")
    if not (folder / ledgers.FILE_NAME).exists():
        raise PluginError(f"the site quotes a run, and {folder} holds none: run `signmag reproduce` first")
    return ledgers.read(folder)
