"""Files that are either whole or absent."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .errors import MissingResource


def writable_folder(folder: Path) -> Path:
    """Create `folder` if needed and make sure that a file can be written there.

    Raises:
      MissingResource: if it cannot be created or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".probe-"):
            pass
    except OSError as error:
        raise MissingResource(
            f"cannot write to folder {str(folder)!r} ({error.strerror or error}): "
            "choose another one or change its permissions"
        ) from None
    return folder


def user_path(name: str | Path) -> Path:
    """A path as a user names it, `~` expanded, whether it exists or not.

    Raises:
      MissingResource: if no file system can say whether it exists (too long, no such home, no permission).
    """
    try:
        path = Path(name).expanduser()
        path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise MissingResource(f"cannot look at {str(name)[:100]!r} ({why}): check the path") from None
    return path


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/signmag_jax`, by default `~/.cache/signmag_jax`."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if base else Path.home() / ".cache"
    return root / "signmag_jax"


def check_folder(folder: Path, option: str, names: Iterable[str] = ()) -> None:
    """Refuse a folder in which no file could be written, without creating it.

    Args:
      folder: where files are to be written later.
      option: what the user calls it, for instance "--out".
      names: those of the files, as far as they are known.

    Raises:
      MissingResource: if it lies on a file, neither it nor its nearest existing parent can be written, or it
        holds a folder of one of these names.
    """
    try:
        if taken := [name for name in names if (folder / name).is_dir()]:
            raise MissingResource(
                f"{option} {str(folder)!r} holds a folder named {taken[0]}: choose another folder"
            )
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        # The permission bits do not tell: only writing does.
        if existing.is_dir():
            with tempfile.TemporaryFile(dir=existing):
                return
    except (OSError, ValueError) as error:
        raise MissingResource(
            f"{option} {str(folder)!r} cannot be written ({getattr(error, 'strerror', None) or error}): "
            "choose another folder or change its permissions"
        ) from None
    raise MissingResource(
        f"{option} {str(folder)!r} lies on a file, {str(existing)!r}: choose another folder"
    )


@contextlib.contextmanager
def staged(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that replaces it on success and vanishes on any failure.

    Raises:
      MissingResource: if the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Named before it exists: an interruption at any moment after that comes to the end below.
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            temporary.touch(exist_ok=False)
            yield temporary
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
            _keep_names(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise MissingResource(
            f"cannot write {str(path)!r} ({error.strerror or error}): choose another folder or change its "
            "permissions"
        ) from None


def _keep_names(folder: Path) -> None:
    """Bring a folder's names to the disk: after a loss of power, a renamed file stands under its new one."""
    with contextlib.suppress(OSError):  # some file systems, and Windows, cannot; the file itself is written
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write `content` so that an interruption leaves the old file or none, never half of one."""
    with staged(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def strict_json(plain: Any, *, indent: int | None = 2, ascii_only: bool = False) -> str:
    """JSON text without NaN or Infinity, keys in insertion order."""
    return json.dumps(plain, indent=indent, allow_nan=False, ensure_ascii=ascii_only) + "\n"


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_json(plain: Any) -> str:
    """SHA-256 of the canonical JSON text of `plain`: the identity of a configuration."""
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
