"""The ledger: every claim filled with its evidence and judged by one rule."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

from signmag_jax.evidence import Estimate, InvalidInput
from signmag_jax.evidence.files import strict_json, write_atomic
from signmag_jax.evidence.schemas import broken, finite
from signmag_jax.evidence.threads import in_threads

from .claim import ROUTES, Claim, Evidence, Missing
from .published import quotation
from .tails import FAMILY_LEVEL, POWER, SKEWNESS, telling, threshold
from .verdict import DISAGREES, Comparison, Verdict, decide, outside, resolving_standard_error

SCHEMA_VERSION = 3
FILE_NAME = "ledger.json"


def fill(claims: Sequence[Claim], proved: Mapping[str, bool], at_once: int = 1) -> list[dict[str, Any]]:
    """Gather the evidence of each claim, so many at a time, judge it, and return the rows as JSON objects.

    The threshold is fixed by the number of declared comparisons before any evidence is read; those of exact
    numbers with exact ones do not count.
    """
    names = [claim.name for claim in claims]
    if len(set(names)) != len(names):
        raise InvalidInput(f"claims are declared twice: {sorted({n for n in names if names.count(n) > 1})}")
    critical = threshold(sampled_comparisons(claims))
    rows = [partial(row_of, claim, proved, critical) for claim in claims]
    return in_threads(rows, at_once, lambda: None)


def sampled_comparisons(claims: Sequence[Claim]) -> int:
    """How many comparisons share the family-wise level."""
    return sum(claim.sampled for claim in claims)


def row_of(claim: Claim, proved: Mapping[str, bool], critical: float) -> dict[str, Any]:
    """A claim with its evidence and its verdict, as a JSON object; `critical` is the level's threshold."""
    rival = claim.rival() if claim.rival else None
    evidence: dict[Any, Evidence] = {route: supply() for route, supply in claim.routes.items()}
    _require_rival(claim, evidence, rival)
    verdict = decide(claim, evidence, proved, critical)
    return {
        "name": claim.name,
        "claimant": claim.claimant,
        "source": claim.source,
        "quotations": [asdict(quotation(path)) for path in claim.quotes],
        "statement": claim.statement,
        "unit": claim.unit,
        **{route: _evidence_json(evidence.get(route)) for route in ROUTES},
        "rival": None if rival is None else {"value": rival, "meaning": claim.rival_is},
        "resolving_standard_error": _resolution(claim, evidence, verdict, rival, critical),
        "proofs": list(claim.proofs),
        "verdict": verdict.word,
        "reason": "; ".join(filter(None, (verdict.reason, outside(claim, evidence, critical)))),
        "comparisons": [_comparison_json(comparison) for comparison in verdict.comparisons],
        "note": claim.note,
    }


def _require_rival(claim: Claim, evidence: Mapping[Any, Evidence], rival: float | None) -> None:
    """Sampled numbers that agree show nothing, unless the nearest wrong answer could have been told apart."""
    compared = [evidence[route] for pair in claim.compare for route in pair if route in evidence]
    sampled = any(isinstance(one, Estimate) and float(one.standard_error) > 0 for one in compared)
    absent = any(isinstance(one, Missing) for one in compared)
    if claim.kind == "equality" and sampled and rival is None and not absent:
        raise InvalidInput(f"claim {claim.name!r} compares sampled numbers and declares no rival: name one")


def _resolution(
    claim: Claim, evidence: Mapping[Any, Evidence], verdict: Verdict, rival: float | None, critical: float
) -> float | None:
    """The standard error that could tell the rival apart: the one that the strictest comparison applied.

    Where nothing was compared, that of many samples, from the best value known without sampling.
    """
    applied = [one.resolving for one in verdict.comparisons if one.resolving is not None]
    if applied:
        return min(applied)
    compared = {route for pair in claim.compare for route in pair}
    for route in ("predicted", "published"):
        known = evidence.get(route) if route in compared else None
        if rival is not None and isinstance(known, Estimate):
            return resolving_standard_error(float(known.value), rival, telling(critical, []))
    return None


def _evidence_json(evidence: Evidence | None) -> dict[str, Any] | None:
    if evidence is None:
        return None
    if isinstance(evidence, Missing):
        inner = None if evidence.estimate is None else evidence.estimate.to_json()
        return {"status": evidence.status, "reason": evidence.reason, "estimate": inner}
    return evidence.to_json()


def _comparison_json(comparison: Comparison) -> dict[str, Any]:
    return {
        "between": list(comparison.between),
        "difference": comparison.difference,
        "standard_error": comparison.standard_error,
        "standard_errors_apart": comparison.distance,
        "threshold": comparison.threshold,
        "agrees": comparison.agrees,
        "limit": comparison.limit,
        "disagrees": comparison.disagrees,
        "resolved": comparison.resolved,
        "resolving_standard_error": comparison.resolving,
    }


def assemble(
    rows: list[dict[str, Any]],
    *,
    level: Mapping[str, Any],
    provenance: Mapping[str, Any],
    pictures: Mapping[str, Any],
    comparisons: int,
) -> dict[str, Any]:
    """The whole ledger as one JSON object of the shipped schema."""
    return {
        "schema": SCHEMA_VERSION,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "level": dict(level),
        "rule": {
            "family_level": FAMILY_LEVEL,
            "comparisons": comparisons,
            "threshold_standard_errors": threshold(comparisons),
            "power": POWER,
            "skewness": SKEWNESS,
        },
        "summary": summary(rows),
        "rows": rows,
        "figures": dict(pictures),
        "provenance": dict(provenance),
    }


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many rows have each verdict, and how many claims of ours fail."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["verdict"]] = counts.get(row["verdict"], 0) + 1
    counts["claims of ours that fail"] = sum(failed(row) for row in rows)
    return counts


def failed(row: Mapping[str, Any]) -> bool:
    """Whether this row is a claim of ours that does not hold."""
    return row["claimant"] == "ours" and row["verdict"] == DISAGREES


def save(ledger: Mapping[str, Any], folder: Path) -> Path:
    """Write `ledger.json`, whole or not at all."""
    path = folder / FILE_NAME
    write_atomic(path, strict_json(ledger))
    return path


def read(folder: Path) -> dict[str, Any]:
    """Read a saved ledger from a run folder, or from the file itself.

    Raises:
      InvalidInput: if it is absent, not JSON, of another schema version, or damaged.
    """
    path = folder / FILE_NAME if folder.is_dir() else folder
    if path.is_char_device():  # /dev/zero never ends
        raise InvalidInput(f"{str(path)!r} is a device: give a folder that `signmag reproduce --out` wrote")
    try:
        text = path.read_text(encoding="utf-8")
        ledger = json.loads(text, parse_constant=finite, parse_float=finite, parse_int=_integer)
    except FileNotFoundError:
        raise InvalidInput(
            f"no ledger at {str(path)!r}: give a folder that `signmag reproduce --out` wrote"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{str(path)!r} is not a readable ledger ({error}): run it again") from None
    if not isinstance(ledger, dict) or ledger.get("schema") != SCHEMA_VERSION:
        raise InvalidInput(
            f"{str(path)!r} is not a ledger of schema {SCHEMA_VERSION}: "
            "use the version of signmag_jax that wrote it, or run it again"
        )
    damage = broken(ledger, schema()) or _inconsistency(ledger)
    if damage:
        raise InvalidInput(f"{str(path)!r} is a damaged ledger ({damage}): run it again")
    return ledger


def _integer(literal: str) -> int:
    finite(literal)  # an integer beyond every float is no number of ours
    return int(literal)


def _inconsistency(ledger: Mapping[str, Any]) -> str | None:
    """What a schema cannot say: names that recur, estimates and series whose parts do not fit together."""
    names = [row["name"] for row in ledger["rows"]]
    if len(set(names)) < len(names):
        return "a row stands in it twice"
    for row in ledger["rows"]:
        for route in ROUTES:
            cell = row[route]
            inner = cell["estimate"] if cell is not None and "status" in cell else cell
            try:
                _ = None if inner is None else Estimate.from_json(inner)
            except (InvalidInput, ValueError) as error:
                return f"row {row['name']}, {route}: {error}"
    return None if _is_rectangular(ledger["figures"]) else "series of a picture differ in length"


def _is_rectangular(picture: Any) -> bool:
    """Whether all series side by side, in an object or in an array, have the same length, at every depth."""
    inner = (
        list(picture.values()) if isinstance(picture, dict) else picture if isinstance(picture, list) else []
    )
    lengths = {len(series) for series in inner if isinstance(series, list)}
    return len(lengths) <= 1 and all(map(_is_rectangular, inner))


def schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) that every ledger satisfies."""
    return json.loads(
        resources.files("signmag_jax.claims").joinpath("ledger.schema.json").read_text(encoding="utf-8")
    )
