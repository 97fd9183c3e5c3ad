"""Which proofs there are, and where: known without SymPy, which only their steps need."""

from collections.abc import Iterable
from pathlib import Path

from signmag_jax.evidence import MissingResource, invalid


def folder() -> Path:
    """Where the proofs are: beside the package in a checkout, inside it when installed."""
    package = Path(__file__).resolve().parents[1]
    for candidate in (package / "proofs", package.parent / "proofs"):
        if (candidate / "theorem_3.py").is_file():
            return candidate
    raise MissingResource(
        f"no `proofs` folder in {package} or beside it: reinstall signmag_jax, or run from a full checkout"
    )


def names() -> list[str]:
    """Names of all proofs."""
    return sorted(path.stem for path in folder().glob("*.py") if not path.stem.startswith("_"))


def select(wanted: Iterable[str] | None = None) -> list[str]:
    """The names asked for, checked; all of them by default.

    Raises:
        InvalidInput: for an unknown name.
    """
    known = names()
    chosen = known if wanted is None else [wanted] if isinstance(wanted, str) else list(wanted)
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise invalid("name of a proof", ", ".join(map(str, unknown)), f"choose from {', '.join(known)}")
    return chosen
