"""The environment that JAX reads: what it cannot start with is said in one line."""

from __future__ import annotations

import functools
import os
import subprocess
import sys

READ = ("JAX_", "XLA_FLAGS", "CUDA_VISIBLE_DEVICES")
START = "import jax; jax.devices()"


def fault(error: Exception) -> str | None:
    """What to say of an error that comes of JAX's start; None where JAX starts: it has another cause."""
    try:
        exec(START, {})  # whichever module came first has failed here, or would have
    except Exception as again:
        return _said(_line(error) or _line(again) or type(again).__name__)
    return None


def check_flags() -> None:
    """Refuse XLA's flags where XLA would end the process by itself, without an exception.

    Raises:
      MissingResource: naming the variables that are set.
    """
    refused = _refused(os.environ.get("XLA_FLAGS"))
    if refused is not None:
        from signmag_jax.evidence import MissingResource

        raise MissingResource(_said(refused))


@functools.cache
def _refused(flags: str | None) -> str | None:
    """What XLA says of flags that it does not start with, asked once a process; None where it starts."""
    if flags is None:
        return None
    tried = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, check=False)
    return (tried.stderr.splitlines() or [""])[-1].rpartition("] ")[2] if tried.returncode else None


def _said(why: str) -> str:
    names = [name for name in sorted(os.environ) if name.startswith(READ)]
    shown = ", ".join(f"{name}={os.environ[name][:60]}" for name in names)
    return f"JAX does not start ({why[:300]}): mend or unset {shown or 'what its configuration says'}"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
