"""Seeds and record folders of the parts of a run."""

from __future__ import annotations

import hashlib
from pathlib import Path


def subseed(seed: int, part: str) -> int:
    """A seed for one part of a run: parts that share a root seed must not share random numbers."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{part}".encode()).digest()[:4], "big")


def records(resume: Path | None, part: str) -> str | None:
    """The folder of records of one part of a run."""
    return None if resume is None else str(resume / part)
