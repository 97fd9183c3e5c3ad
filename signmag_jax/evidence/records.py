"""Append-only records of finished work, so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import InvalidInput
from .files import sha256_of_json, strict_json, writable_folder, write_atomic

SCHEMA = 2


class Records:
    """A folder of numbered records that belong to one configuration.

    Each record is a JSON file with the schema, the hash of the configuration, its number, its payload and
    a checksum of all of these. It is written under another name and renamed, so that a reader, another
    process that writes the same record, and a kill at any moment see a whole record or none. What is read
    is therefore what was written: a record that is torn, altered or renamed counts as absent and is done
    again, and a whole one of another configuration is refused by name. A checksum is no signature: it
    does not tell who wrote a record.

    Any number of processes may share a folder. A folder that vanishes while it is in use is made again
    with what is written from then on.

    Args:
      folder: where the records lie; created if absent.
      configuration: everything that determines the payloads (JSON-serialisable).

    Raises:
      InvalidInput: if the folder holds the records of another configuration.
      MissingResource: if the folder cannot be written.
    """

    def __init__(self, folder: str | Path, configuration: Mapping[str, Any]) -> None:
        self.folder = writable_folder(Path(folder))
        self.configuration = json.loads(json.dumps(dict(configuration), allow_nan=False))
        self.identity = sha256_of_json(self.configuration)
        self._header = self.folder / "configuration.json"
        if self._header.exists():
            self._check_header()
        else:
            self._write_header()

    def _write_header(self) -> None:
        write_atomic(self._header, strict_json({"schema": SCHEMA, "configuration": self.configuration}))

    def _check_header(self) -> None:
        try:
            header = json.loads(self._header.read_text(encoding="utf-8"))
            schema, kept = header["schema"], dict(header["configuration"])
            identity = sha256_of_json(kept)
        except (ValueError, KeyError, TypeError, OSError, RecursionError):
            raise InvalidInput(
                f"{str(self._header)!r} is not a readable run configuration: resume from another folder"
            ) from None
        if schema != SCHEMA:
            raise InvalidInput(
                f"folder {str(self.folder)!r} holds records of schema {schema}, this version writes schema "
                f"{SCHEMA}: give another folder"
            )
        if identity != self.identity:
            changed = different(kept, self.configuration)
            raise InvalidInput(
                f"folder {str(self.folder)!r} holds the records of another run (different: "
                f"{', '.join(changed)}): give the same options as then, or another folder"
            )

    def _path(self, index: int) -> Path:
        return self.folder / f"record-{index:08d}.json"

    def write(self, index: int, payload: Any) -> None:
        """Store the payload of piece `index`, over a torn or shorter one.

        Raises:
          MissingResource: if it cannot be written; nothing half-written is left.
        """
        record = {"schema": SCHEMA, "configuration": self.identity, "index": index, "payload": payload}
        record["sha256"] = sha256_of_json(record)
        if not self._header.exists():
            self._write_header()
        write_atomic(self._path(index), strict_json(record, indent=None))

    def read(self, index: int) -> Any | None:
        """The payload of piece `index`, or None where it is absent, torn or altered.

        Raises:
          InvalidInput: if the record is whole but belongs to another configuration.
        """
        path = self._path(index)
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            checksum = record.pop("sha256")
            if checksum != sha256_of_json(record) or record["schema"] != SCHEMA or record["index"] != index:
                return None
            identity, payload = record["configuration"], record["payload"]
        # Deeply nested brackets, too, are no record.
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
        if identity != self.identity:
            raise InvalidInput(
                f"record {str(path)!r} was written by another run: remove it, or give another folder"
            )
        return payload


def foreign(index: int, folder: Path | str) -> InvalidInput:
    """The error for a record that is whole but holds something else than its reader writes."""
    return InvalidInput(
        f"record {index} in {str(folder)!r} holds other values than this version of the program computes: "
        "remove it, or give another folder"
    )


def different(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Both values of every name in which two configurations differ, inner names after a dot."""
    pairs: dict[str, tuple[Any, Any]] = {}
    for name in sorted({*one, *other}):
        here, there = one.get(name), other.get(name)
        if isinstance(here, Mapping) and isinstance(there, Mapping):
            pairs |= {f"{name}.{inner}": pair for inner, pair in different(here, there).items()}
        elif here != there:
            pairs[name] = here, there
    return pairs
