"""Compiled programs are kept between commands, so that a second one need not wait for the compiler."""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path

from signmag_jax.evidence import MissingResource
from signmag_jax.evidence.files import cache_folder, check_folder, sha256_of_json

GIVEN = ("JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE")
"""Variables by which users keep compiled programs elsewhere, or not at all."""


def folder() -> Path:
    """The folder of this machine's compiled programs, in the user's cache, one for each kind of processor.

    A folder that several machines share would otherwise hand one's vector instructions to another.
    """
    from signmag_jax.evidence.provenance import processor

    return cache_folder() / "programs" / sha256_of_json(processor())[:16]


def keep() -> None:
    """Let JAX keep what it compiles, unless the user decided otherwise or the folder cannot be written.

    Before the first program is compiled; a caller of the library decides for themselves.
    """
    if any(name in os.environ for name in GIVEN) or _refusal():
        return
    import jax

    jax.config.update("jax_compilation_cache_dir", str(folder()))
    # Hundreds of programs that take a tenth of a second each are most of what a short command waits for.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    # On a GPU, the choice of kernels is kept too: timed again, it could fall otherwise. XLA's own cache of
    # kernels is not: it forgets how a Hopper card loads their tiles, and a kernel taken from it ends the
    # process with an illegal instruction (openxla/xla, issue 35951).
    jax.config.update("jax_persistent_cache_enable_xla_caches", "xla_gpu_per_fusion_autotune_cache_dir")
    # Half-written, by a command that runs beside this one or was killed: it is compiled anew.
    warnings.filterwarnings("ignore", "Error reading persistent compilation cache entry")


def state() -> str:
    """What `signmag doctor` says of the kept programs."""
    given = [f"{name}={os.environ[name]}" for name in GIVEN if name in os.environ]
    if given:
        return f"as {' '.join(given)} says"
    refusal = _refusal()
    if refusal:
        return f"not kept: {refusal}"
    files = [path for path in folder().rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files) / 2**20
    return f"{folder()} ({len(files)} files, {size:.0f} MiB; `signmag doctor --clear-programs` removes them)"


def clear() -> None:
    """Remove all kept programs, those of other processors too."""
    shutil.rmtree(cache_folder() / "programs", ignore_errors=True)


def _refusal() -> str | None:
    """Why nothing can be kept; None where it can."""
    try:
        check_folder(folder(), "the cache folder")
    except MissingResource as error:
        return str(error)
    return None
