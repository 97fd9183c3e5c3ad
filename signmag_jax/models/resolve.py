"""From what the user names to files: the default model, a GGUF file, a folder, or a hub repository."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signmag_jax.evidence import MissingResource, invalid
from signmag_jax.evidence.files import user_path
from signmag_jax.evidence.progress import shown

from .embedded import WHEEL, embedded
from .foreign import heard, reason

PATTERNS = ("*.json", "*.safetensors", "tokenizer*", "*.model", "merges.txt", "vocab.txt")
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


# The hub client's errors whose text is long and says no more than this.
OFFLINE = ("LocalEntryNotFoundError", "OfflineModeIsEnabled")
UNREACHED = "it is not in the cache, and the hub was not reached"


def resolve(name: str | Path | None = None, revision: str | None = None) -> Resolved:
    """Find a model: None is the embedded default; then a path that exists; then a hub repository.

    Raises:
      InvalidInput: for a revision of what is not a hub repository.
      MissingResource: if nothing of that name is here and it cannot be fetched.
    """
    if name is None:
        if revision is not None:
            raise invalid("a revision with the name of a hub repository", revision, "name the model as well")
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
    return _from_hub(str(name), revision)


def is_local(name: str | Path | None) -> bool:
    """Whether this names a file or folder, which `resolve` finds or refuses without a network."""
    return name is not None and (user_path(name).exists() or _is_path(name))


def _is_path(name: str | Path) -> bool:
    """Whether this can only be meant as a path, never as the name of a repository."""
    return str(name).lower().endswith(".gguf") or str(name).startswith((".", "~")) or Path(name).is_absolute()


def ask_hub(name: str, revision: str | None = None) -> None:
    """Whether the hub, or its cache here, has a model of that name, without fetching more than its config.

    Raises:
      MissingResource: as `resolve`.
    """
    from huggingface_hub import hf_hub_download

    _asked(name, revision, lambda: hf_hub_download(name, "config.json", revision=revision))


def _from_hub(name: str, revision: str | None) -> Resolved:
    from huggingface_hub import snapshot_download

    bar = None if shown() else _hidden_bar()
    patterns: list[str] = list(PATTERNS)
    folder = _asked(
        name,
        revision,
        lambda: snapshot_download(name, revision=revision, allow_patterns=patterns, tqdm_class=bar),
    )
    # A snapshot's folder is named by the commit it holds.
    return Resolved(folder, {"name": name, "kind": "hub", "revision": folder.name})


def _asked(name: str, revision: str | None, fetch: Callable[[], str]) -> Path:
    """What the hub's client fetches."""
    try:
        with heard():
            return Path(fetch())
    # The hub's client raises many types; each means that the model is not to be had.
    except Exception as error:
        why = UNREACHED if type(error).__name__ in OFFLINE else f"{type(error).__name__}: {reason(error)}"
        at = "" if revision is None else f" at revision {revision!r}"
        raise MissingResource(
            f"no model {name!r}{at} here or on the hub ({why}): check the name "
            "and the network, log in for a gated model, or pass a local folder or .gguf file"
        ) from None


def _hidden_bar() -> Any:
    """The client's own progress bar, where ours would not be shown either."""
    from huggingface_hub.utils import tqdm

    class Hidden(tqdm):  # pyright: ignore[reportGeneralTypeIssues, reportUntypedBaseClass]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **{**options, "disable": True})

    return Hidden
