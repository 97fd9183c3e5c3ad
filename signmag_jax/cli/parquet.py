"""Results as a table in a Parquet file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from .options import check_file

MISSING = "--parquet needs pyarrow, which is not installed: run `pip install pyarrow`"


def check_parquet(path: Path | None) -> None:
    """Refuse a table that could not be written, before anything is computed for it.

    Raises:
      MissingResource: without pyarrow, or where no file could be written.
      BadParameter: for a folder.
    """
    if path is not None:
        check_file("--parquet", path)
        _pyarrow()


def write_parquet(rows: list[dict[str, Any]], path: Path) -> None:
    """Write flat rows, whole or not at all; a column that a row lacks is null there."""
    from signmag_jax.evidence.files import write_atomic

    pyarrow, parquet = _pyarrow()
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = pyarrow.table({name: [row.get(name) for row in rows] for name in names})
    buffer = io.BytesIO()
    parquet.write_table(table, buffer)
    write_atomic(path, buffer.getvalue())


def _pyarrow() -> tuple[Any, Any]:
    from signmag_jax.evidence import MissingResource

    try:
        import pyarrow  # pyright: ignore[reportMissingImports]
        import pyarrow.parquet  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise MissingResource(MISSING) from None
    return pyarrow, pyarrow.parquet
