"""Append-only records of finished work, so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import InvalidInput
from .files import sha256_of_json, strict_json, writable_folder, write_atomic

SCHEMA = 1


class Records:
    """A folder of numbered records that belong to one configuration.

    Each record is a JSON file, written atomically, that carries the schema number, the hash of the
    configuration and a checksum of its payload. A torn record counts as absent and is redone; a record
    of another configuration is refused by name.

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
        header = self.folder / "configuration.json"
        if header.exists():
            self._check_header(header)
        else:
            write_atomic(header, strict_json({"schema": SCHEMA, "configuration": self.configuration}))

    def _check_header(self, header: Path) -> None:
        try:
            found = json.loads(header.read_text())["configuration"]
        except (ValueError, KeyError, TypeError, OSError):
            raise InvalidInput(
                f"{str(header)!r} is not a readable run configuration: resume from another folder"
            ) from None
        if sha256_of_json(found) != self.identity:
            changed = sorted(
                name
                for name in {*found, *self.configuration}
                if found.get(name) != self.configuration.get(name)
            )
            raise InvalidInput(
                f"folder {str(self.folder)!r} holds the records of another run (different: "
                f"{', '.join(changed)}): give the same options as then, or another folder"
            )

    def _path(self, index: int) -> Path:
        return self.folder / f"record-{index:08d}.json"

    def write(self, index: int, payload: Any) -> None:
        """Store the payload of piece `index`."""
        record = {
            "schema": SCHEMA,
            "configuration": self.identity,
            "index": index,
            "sha256": sha256_of_json(payload),
            "payload": payload,
        }
        write_atomic(self._path(index), strict_json(record, indent=None))

    def read(self, index: int) -> Any | None:
        """The payload of piece `index`, or None where it is absent or torn.

        Raises:
          InvalidInput: if the record is whole but belongs to another configuration.
        """
        path = self._path(index)
        try:
            record = json.loads(path.read_text())
            whole = record["schema"] == SCHEMA and record["sha256"] == sha256_of_json(record["payload"])
            identity = record["configuration"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if not whole or record.get("index") != index:
            return None
        if identity != self.identity:
            raise InvalidInput(
                f"record {str(path)!r} was written by another run: remove it, or give another folder"
            )
        return record["payload"]
