"""From what the user names to files: the default model, a GGUF file, a folder, or a hub repository."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signmag_jax.evidence import MissingResource, invalid
from signmag_jax.evidence.files import user_path

from .embedded import WHEEL, embedded
from .hub import PATTERNS, ask_hub, fetch

__all__ = ["DEFAULT_NAME", "PATTERNS", "Resolved", "ask_hub", "is_local", "resolve"]

DEFAULT_NAME = "SmolLM2-135M-Instruct"


@dataclass(frozen=True)
class Resolved:
    """A GGUF file or a folder in hub format, and where it came from.

    Args:
      path: the file or folder.
      origin: name, kind ("embedded", "file", "folder", "hub") and, from a hub, the pinned revision.
    """

    path: Path
    origin: dict[str, Any]


def resolve(name: str | Path | None = None, revision: str | None = None, file: str | None = None) -> Resolved:
    """Find a model: None is the embedded default; then a path that exists; then a hub repository.

    Args:
      name: what the user names.
      revision: branch, tag or commit of a hub repository.
      file: of the GGUF files of a repository or folder, the one to take.

    Raises:
      InvalidInput: for a revision of what is not a hub repository, or a file of what is one itself.
      MissingResource: if nothing of that name is here and it cannot be fetched.
    """
    if name is None:
        for option, value in (("revision", revision), ("file", file)):
            if value is not None:
                raise invalid(
                    f"a {option} with the name of a hub repository", value, "name the model as well"
                )
        default = embedded()
        return Resolved(
            default.path, {"name": DEFAULT_NAME, "kind": "embedded", "wheel": WHEEL, "from": default.origin}
        )
    path = user_path(name)
    if revision is not None and (path.exists() or _is_path(name)):
        raise invalid(
            "a revision with the name of a hub repository",
            str(name),
            "a path has none: leave the revision out",
        )
    if path.is_dir() and file is not None:
        path = path / file
        if path.suffix.lower() != ".gguf" or not path.is_file():
            raise MissingResource(f"{path} is no GGUF file: leave --file out, or name one of that folder")
        return Resolved(path, {"name": str(name), "kind": "file", "file": file})
    if file is not None and (path.exists() or _is_path(name)):
        raise invalid("a file of a folder or of a hub repository", str(name), "leave --file out")
    if path.is_dir():
        return Resolved(path, {"name": str(name), "kind": "folder"})
    if path.exists():
        if path.is_file() and path.suffix.lower() == ".gguf":
            return Resolved(path, {"name": str(name), "kind": "file"})
        raise MissingResource(
            f"{path} is neither a .gguf file nor a folder: give the folder that holds config.json"
        )
    if _is_path(name):
        raise MissingResource(f"{path} does not exist: check the path")
    local, commit = fetch(str(name), revision, file)
    origin = {"name": str(name), "kind": "hub", "revision": commit} | ({} if file is None else {"file": file})
    if file is not None and not local.is_file():
        raise MissingResource(f"{name} in the cache of the hub lacks {file}: check the name and the network")
    return Resolved(local, origin)


def is_local(name: str | Path | None) -> bool:
    """Whether this names a file or folder, which `resolve` finds or refuses without a network."""
    return name is not None and (user_path(name).exists() or _is_path(name))


def _is_path(name: str | Path) -> bool:
    """Whether this can only be meant as a path, never as the name of a repository."""
    return str(name).lower().endswith(".gguf") or str(name).startswith((".", "~")) or Path(name).is_absolute()
