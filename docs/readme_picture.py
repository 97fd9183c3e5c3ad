"""Draws the README's picture from a run: `python docs/readme_picture.py signmag-run`."""

import sys
from pathlib import Path

from signmag_jax.claims import ledger as ledgers
from signmag_jax.report import pictures, style

PICTURE = Path(__file__).parent / "pages" / "transverse_ratio.svg"

if __name__ == "__main__":
    data = ledgers.read(Path(sys.argv[1]))["figures"]["transverse_ratio"]
    style.save(pictures.transverse_ratio(data), PICTURE)
