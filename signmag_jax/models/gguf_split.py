"""The files of a GGUF model that was split: named NAME-00001-of-00003.gguf, the metadata in the first."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from signmag_jax.evidence import MissingResource, invalid

_NAMED = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)


def parts(path: Path, metadata: Mapping[str, Any]) -> tuple[Path, ...]:
    """All files of the model that `path` belongs to, the first of them first.

    Args:
      path: any of them.
      metadata: its own.

    Raises:
      InvalidInput: if its name does not say which the others are.
      MissingResource: naming those that are not beside it.
    """
    count = metadata.get("split.count", 1)
    if count in (0, 1):
        return (path,)
    remedy = "it is one part of a split model: give it the name that it was downloaded by"
    if not isinstance(count, int):
        raise invalid("split.count a number", str(count)[:40], remedy)
    named = _NAMED.fullmatch(path.name)
    if named is None or int(named["count"]) != count:
        raise invalid(f"a name that ends in -0000N-of-{count:05d}.gguf", path.name, remedy)
    # The name tells the count with five digits, so that no damaged number asks for more.
    files = [
        path.with_name(f"{named['stem']}-{number:05d}-of-{count:05d}.gguf") for number in range(1, count + 1)
    ]
    absent = [file.name for file in files if not file.is_file()]
    if absent:
        shown = ", ".join(absent[:8]) + (" ..." if len(absent) > 8 else "")
        raise MissingResource(f"{path.parent} lacks {shown}: download every part of the split model")
    return tuple(files)


def check_part(path: Path, number: int, count: int, metadata: Mapping[str, Any]) -> None:
    """Refuse a file that says of itself to be another part, or a part of another split.

    Raises:
      InvalidInput: naming it.
    """
    said = metadata.get("split.no"), metadata.get("split.count")
    if said != (number, count):
        raise invalid(
            f"split.no, split.count = {number}, {count} in {path.name}",
            str(said)[:60],
            "the parts do not belong together: download them again",
        )
