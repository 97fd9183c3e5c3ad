"""A model of the hub: which of a repository's files make it up, what they weigh, and fetching no others."""

from __future__ import annotations

import fnmatch
import glob
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signmag_jax.evidence import MissingResource, invalid
from signmag_jax.evidence.progress import shown, tell

from .foreign import heard, reason
from .sources import shards_of

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_DESCRIPTION = (
    *("config.json", "adapter_config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model"),
    *("special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt"),
    *("spiece.model", "sentencepiece.bpe.model"),
)
# Names from the top of the repository: what lies in folders (training checkpoints, original/, onnx/) and
# weights of another layout (consolidated.safetensors) are the same numbers again.
PATTERNS = (*_DESCRIPTION, SINGLE, INDEX, "model-*-of-*.safetensors")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_PART = re.compile(r"-\d{5}-of-(\d{5})\.gguf$")

# The hub client's errors whose text is long and says no more than this.
OFFLINE = ("LocalEntryNotFoundError", "OfflineModeIsEnabled")
UNREACHED = "it is not in the cache, and the hub was not reached"


@dataclass(frozen=True)
class Listing:
    """What a repository holds at a commit: the size of each file in bytes."""

    commit: str
    sizes: Mapping[str, int]


def ask_hub(name: str, revision: str | None = None, file: str | None = None) -> None:
    """Whether the hub, or its cache here, has a model of that name; says what would be fetched.

    Raises:
      MissingResource: as `fetch`.
    """
    contents = listing(name, revision)
    if contents is not None:
        _say(name, contents, chosen(name, contents, file, lambda: _index(name, contents.commit)))
        return
    from huggingface_hub import hf_hub_download

    asked(name, revision, lambda: hf_hub_download(name, file or "config.json", revision=revision))


def fetch(name: str, revision: str | None = None, file: str | None = None) -> tuple[Path, str]:
    """Fetch a model's files; the folder or the GGUF file, and the commit.

    Args:
      name: of the repository.
      revision: branch, tag or commit.
      file: of its GGUF files, the one to take.

    Raises:
      MissingResource: if it is not to be had, or holds no weights that the port reads.
    """
    from huggingface_hub import snapshot_download

    bar = None if shown() else _hidden_bar()
    contents = listing(name, revision)
    if contents is None:  # no hub: the cache may have it
        patterns = [*PATTERNS] if file is None else [*map(glob.escape, parts_of(file))]
    else:
        files = chosen(name, contents, file, lambda: _index(name, contents.commit))
        _say(name, contents, files)
        patterns = [*map(glob.escape, files)]
    folder = asked(
        name,
        revision,
        lambda: snapshot_download(name, revision=revision, allow_patterns=patterns, tqdm_class=bar),
    )
    # A snapshot's folder is named by the commit it holds.
    return folder if file is None else folder / file, folder.name


def listing(name: str, revision: str | None) -> Listing | None:
    """What the repository holds; None where the hub does not say, for whatever reason fetching will name."""
    from huggingface_hub import HfApi

    try:
        with heard():
            info = HfApi().model_info(name, revision=revision, files_metadata=True)
        sizes = {each.rfilename: each.size or 0 for each in info.siblings or ()}
    except Exception:
        return None
    return Listing(str(info.sha), sizes) if info.sha and sizes else None


def chosen(
    name: str, contents: Listing, file: str | None, index: Callable[[], Path] | None = None
) -> tuple[str, ...]:
    """Which files make up the model.

    Args:
      name: of the repository.
      contents: what it holds.
      file: of its GGUF files, the one to take.
      index: where weights are spread over shards, fetches the file that names them.

    Raises:
      MissingResource: naming what it holds instead of weights that are read.
    """
    if file is not None:
        return _gguf(name, contents, file)
    weights = _weights(contents, index)
    if not weights or "config.json" not in contents.sizes:
        raise MissingResource(f"{name} on the hub {_instead(contents, bool(weights))}")
    return (*(each for each in _DESCRIPTION if each in contents.sizes), *weights)


def _weights(contents: Listing, index: Callable[[], Path] | None) -> tuple[str, ...]:
    if SINGLE in contents.sizes:  # beside shards it is the same again
        return (SINGLE,)
    if INDEX in contents.sizes and index is not None:
        return (INDEX, *shards_of(index()))
    return ()


def _gguf(name: str, contents: Listing, file: str) -> tuple[str, ...]:
    parts = parts_of(file)
    absent = [part for part in parts if part not in contents.sizes]
    if absent or not file.lower().endswith(".gguf"):
        there = _listed([each for each in contents.sizes if each.lower().endswith(".gguf")], contents.sizes)
        raise MissingResource(
            f"{name} on the hub holds no GGUF file {absent[0] if absent else file!r}: "
            + (f"give --file one of {there}" if there else "it has none, leave --file out")
        )
    return parts


def parts_of(file: str) -> tuple[str, ...]:
    """The files over which a GGUF file is split; itself where it is not."""
    split = _PART.search(file)
    if split is None:
        return (file,)
    count = int(split[1])
    if not 0 < count < 10_000:
        raise invalid("a part N-of-M.gguf with M in 1..9999", file, "check the name of the file")
    return tuple(f"{file[: split.start()]}-{n:05d}-of-{count:05d}.gguf" for n in range(1, count + 1))


def _instead(contents: Listing, weighed: bool) -> str:
    """What a repository without a model holds, and what to do."""
    names = sorted(contents.sizes)
    top = [name for name in names if "/" not in name]
    if weighed:
        return "holds weights but no config.json: give the repository that describes them"
    if "adapter_config.json" in names:
        return "is an adapter (LoRA), not a model: merge it into its base model and give that folder"
    ggufs = [name for name in names if name.lower().endswith(".gguf")]
    if ggufs:
        return f"holds GGUF files: choose one by --file ({_listed(ggufs, contents.sizes)})"
    pickles = [name for pattern in _PICKLES for name in fnmatch.filter(top, pattern)]
    if pickles:
        listed = _listed(pickles, contents.sizes)
        return (
            f"holds its weights as pickle ({listed}), which can run code when read and "
            "is never opened: take a revision or another repository with model.safetensors"
        )
    others = [name for name in names if name.endswith(".safetensors")]
    if others:
        listed = _listed(others, contents.sizes)
        return f"holds weights of another layout ({listed}): give a repository with {SINGLE}"
    return f"holds no weights ({', '.join(top[:6])}): check the name"


def _listed(names: list[str], sizes: Mapping[str, int]) -> str:
    shown = [f"{name}, {amount(sizes[name])}" for name in names[:8]]
    return "; ".join(shown) + (f"; and {len(names) - 8} more" if len(names) > 8 else "")


def amount(size: int) -> str:
    """A number of bytes in words."""
    return f"{size / 1e9:.2f} GB" if size >= 1e7 else f"{size / 1e6:.2f} MB"


def _say(name: str, contents: Listing, files: tuple[str, ...]) -> None:
    """State what is to be fetched before it is; refuse what the disk cannot hold."""
    from huggingface_hub import constants, try_to_load_from_cache

    absent = [
        file
        for file in files
        if not isinstance(try_to_load_from_cache(name, file, revision=contents.commit), str)
    ]
    size = sum(contents.sizes.get(file, 0) for file in absent)
    if not absent:
        return
    cache = Path(constants.HF_HUB_CACHE)
    # The nearest folder that exists already: only of such a one the system tells what is free.
    cache = next(path for path in (cache, *cache.parents) if path.exists())
    free = shutil.disk_usage(cache).free
    if size > free:
        raise MissingResource(
            f"{name} takes {amount(size)} and {amount(free)} are free at {cache}: make room, or set HF_HOME"
        )
    tell(f"{name} at {contents.commit[:12]}: {len(absent)} files to fetch, {amount(size)}")


def _index(name: str, commit: str) -> Path:
    from huggingface_hub import hf_hub_download

    return asked(name, commit, lambda: hf_hub_download(name, INDEX, revision=commit))


def asked(name: str, revision: str | None, fetch: Callable[[], str]) -> Path:
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
