"""A JSON object of one of this room's schemas, from a file or a folder."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from signmag_jax.evidence import InvalidInput
from signmag_jax.evidence.schemas import broken, finite


def read_json(path: Path, name: str, make: str) -> dict[str, Any]:
    """A JSON object from a file, or from the file `name` in a folder.

    Args:
      path: file or folder.
      name: of the file in a folder.
      make: how such a file is made, for the error.

    Raises:
      InvalidInput: if there is none, or it is no JSON object of finite numbers.
    """
    file = path / name if path.is_dir() else path
    others = sorted(each.name for each in path.glob(f"{file.stem}-*.json")) if path.is_dir() else []
    if others:  # one of that name alone may be of another run
        several = ", ".join([*([name] if file.exists() else []), *others])
        raise InvalidInput(f"{str(path)!r} holds several: give one, {several}")
    if file.exists() and not file.is_file():  # /dev/zero never ends
        raise InvalidInput(f"{str(file)!r} is no file: {make}")
    try:
        plain = json.loads(file.read_text(encoding="utf-8"), parse_constant=finite, parse_float=finite)
    except FileNotFoundError:
        raise InvalidInput(f"no file {str(file)!r}: {make}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{str(file)!r} is not readable JSON ({error}): {make}") from None
    if not isinstance(plain, dict):
        raise InvalidInput(f"{str(file)!r} holds no JSON object: {make}")
    return plain


def check(plain: Mapping[str, Any], path: Path, what: str, make: str) -> None:
    """Refuse an object that breaks the schema of this room for `what`, a mask or a plan.

    Raises:
      InvalidInput: naming where, and how such a file is made.
    """
    if damage := broken(plain, _schema(f"{what}.schema.json")):
        raise InvalidInput(f"{str(path)!r} is no {what} ({damage}): {make}")


@functools.cache
def _schema(name: str) -> dict[str, Any]:
    return json.loads(resources.files("signmag_jax.export").joinpath(name).read_text(encoding="utf-8"))


def family_of(provenance: Mapping[str, Any]) -> str:
    """Family of the model that a result is of; empty where it does not say."""
    return str(provenance.get("family", ""))


def files_of(provenance: Mapping[str, Any]) -> dict[str, str]:
    """sha256 of the files of the model that a result is of, by name; empty where it does not say."""
    model = provenance.get("model", {})
    files = model.get("files", {}) if isinstance(model, dict) else {}
    return files if isinstance(files, dict) else {}
