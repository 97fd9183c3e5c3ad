"""`signmag doctor`: what is here, what is missing, and the command that installs it."""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import Any

from .options import emit, prepare, say

# Import name of each run-time dependency and the name under which pip installs it.
REQUIRED = {
    "jax": "jax",
    "jaxlib": "jaxlib",
    "flax": "flax",
    "optax": "optax",
    "jaxtyping": "jaxtyping",
    "numpy": "numpy",
    "scipy": "scipy",
    "sympy": "sympy",
    "flint": "python-flint",
    "transformers": "transformers",
    "safetensors": "safetensors",
    "gguf": "gguf",
    "tokenizers": "tokenizers",
    "rich": "rich",
    "matplotlib": "matplotlib",
    "jinja2": "jinja2",
}
OPTIONAL = {"datasets": "pip install 'signmag_jax[hub]'", "torch": "pip install 'signmag_jax[test]'"}


def doctor(*, json: bool = False, quiet: bool = False) -> int:
    """Devices, versions, caches, what is missing and the command that installs it.

    Example: signmag doctor --json
    """
    prepare(quiet=quiet)
    findings = examine()
    if json:
        emit(findings)
    else:
        for name, value in findings.items():
            say(f"{name}: {_plain(value)}")
    return 2 if findings["problems"] else 0


def examine() -> dict[str, Any]:
    """Everything that `signmag doctor` reports, as a JSON object."""
    from signmag_jax.evidence import provenance

    problems = [
        f"{package} is missing: pip install {package}"
        for module, package in REQUIRED.items()
        if importlib.util.find_spec(module) is None
    ]
    findings: dict[str, Any] = {"versions": provenance.versions(), "threads": provenance.threads()}
    findings["memory_gib"] = round(_memory() / 2**30, 1)
    findings["terminal"] = sys.stderr.isatty()
    findings["devices"] = [] if problems else _devices(problems)
    findings["embedded_model"] = None if problems else _embedded(problems)
    findings["optional"] = {
        name: "installed" if importlib.util.find_spec(name) else f"absent; {command}"
        for name, command in OPTIONAL.items()
    }
    findings["problems"] = problems
    return findings


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 0


def _devices(problems: list[str]) -> list[str]:
    import jax

    try:
        return [f"{device.platform}:{device.id} ({device.device_kind})" for device in jax.devices()]
    except RuntimeError as error:
        problems.append(f"JAX finds no device ({error}): set JAX_PLATFORMS=cpu")
        return []


def _embedded(problems: list[str]) -> str:
    from signmag_jax.evidence import SignmagError
    from signmag_jax.models import embedded

    try:
        found = embedded.find()
    except SignmagError as error:
        problems.append(str(error))
        return "unusable"
    if found is not None:
        return f"{found.path} ({found.origin})"
    if importlib.util.find_spec("pip") is None:
        problems.append(f"the embedded model is not here and pip is absent: {embedded.REMEDY}")
    return "not here yet; the first use fetches it with pip"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in value.items())
    if isinstance(value, list):
        return "; ".join(map(str, value)) or "none"
    return str(value)
