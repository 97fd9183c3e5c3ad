"""A ledger in plain words: its verdicts, its families, its model, and where a claim does not hold."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from signmag_jax.claims import verdict as verdicts
from signmag_jax.claims.abstract import ABSTRACT, BESIDE, WHY, Sentence, family_of
from signmag_jax.claims.published import quotation

from .numbers import evidence

Row = Mapping[str, Any]

IN_WORDS = {
    verdicts.PROVED: "proved",
    verdicts.REPRODUCED: "reproduced",
    verdicts.DISAGREES: "does not hold",
    verdicts.UNRESOLVED: "unresolved",
    verdicts.IDENTITY: "true by construction",
    verdicts.NOT_COMPARABLE: "not comparable",
    verdicts.NOT_RUN: "not run",
}
NOT_ASKED = "not checked"
MEANING = {
    verdicts.PROVED: "derived step by step in proofs/ and, where it has numbers, equal to them.",
    verdicts.REPRODUCED: "independent numbers agree, and exclude the nearest wrong answer.",
    verdicts.DISAGREES: "independent numbers lie further apart than their errors allow.",
    verdicts.UNRESOLVED: "too few or too skewed samples to tell the claim from its nearest rival; "
    "more of them decide it.",
    verdicts.IDENTITY: "it would come out so whatever the weights are, and shows nothing.",
    verdicts.NOT_COMPARABLE: "the published figure is of another model, text or protocol: "
    "both are shown, neither tests the other.",
    verdicts.NOT_RUN: "this run has too few samples for it, or no model; `--all` says which.",
}
EXPLAINED = (verdicts.UNRESOLVED, verdicts.NOT_COMPARABLE)
"""Verdicts that are no answer: what they mean is said wherever they appear."""

CLAIMANTS = {"paper": "paper", "ours": "ours", "open": "nobody's"}
"""Claimants as a reader is told them."""

LIMIT, CARRIED_OVER = "theorem_3.limit", "trained.flips_over_shifts.p=0.01"
"""The rows of the question itself: in the block, and on a trained model."""

CARRIES = {
    verdicts.REPRODUCED: "carries over",
    verdicts.DISAGREES: "does not carry over",
    verdicts.UNRESOLVED: "may carry over or not: unresolved",
}

TOLD = 3
"""Sentences that are told of what does not hold."""


def by_name(ledger: Row) -> dict[str, Row]:
    """The rows of a ledger by their names."""
    return {row["name"]: row for row in ledger["rows"]}


def answered(ledger: Row) -> Iterator[tuple[Sentence, Row | None]]:
    """The claims of the abstract, and what a reader asks next, each with its row if the ledger has one."""
    rows = by_name(ledger)
    for sentence in (*ABSTRACT, *BESIDE):
        row = None if sentence.row is None else rows.get(sentence.row)
        if row is not None or sentence.row is None:
            yield sentence, row


def verdict_of(row: Row | None) -> str:
    """The claimant of a row and its verdict, in words."""
    whose, word = ("paper", NOT_ASKED) if row is None else (row["claimant"], IN_WORDS[row["verdict"]])
    return f"{CLAIMANTS[whose]}: {word}"


def figure(sentence: Sentence) -> str:
    """The published figure of a claim that no row holds."""
    return evidence(None) if sentence.quoted is None else f"{quotation(sentence.quoted).figure:g}"


def families(ledger: Row) -> dict[str, list[Row]]:
    """Rows by family, in reading order."""
    families: dict[str, list[Row]] = {}
    for row in ledger["rows"]:
        families.setdefault(family_of(row["name"]), []).append(row)
    return families


def tally(rows: Sequence[Row]) -> str:
    """How many rows of a family hold, and what the others are: "40 of 42 reproduced, 2 not run"."""
    counts = {word: sum(row["verdict"] == word for row in rows) for word in IN_WORDS}
    good = [word for word in (verdicts.PROVED, verdicts.REPRODUCED) if counts[word]]
    held = " or ".join(IN_WORDS[word] for word in good) or IN_WORDS[verdicts.REPRODUCED]
    parts = [f"{sum(counts[word] for word in good)} of {len(rows)} {held}"]
    parts += [_counted(counts[word], word) for word in IN_WORDS if counts[word] and word not in good]
    return ", ".join(parts)


def _counted(count: int, word: str) -> str:
    several = word == verdicts.DISAGREES and count > 1
    return f"{count} {'do not hold' if several else IN_WORDS[word]}"


def model_line(ledger: Row) -> str:
    """The measured model; that its weights were stored in few bits, where they were."""
    model = ledger["provenance"]["model"]
    stored = model.get("stored_dtypes") or {}
    kind = max(stored, key=lambda name: stored[name], default="")
    bits = re.match(r"I?Q(\d+)", kind)
    few = f", whose weights come from a {bits[1]}-bit file ({kind})" if bits else ""
    return f"{model['name']}{few}"


def failures(ledger: Row) -> list[str]:
    """Three sentences on where claims do not hold, and why; further ones are named.

    Of rows that differ in rate, layer or column the first stands for all.
    """
    wrong = [row for row in ledger["rows"] if row["verdict"] == verdicts.DISAGREES]
    groups: dict[str, list[Row]] = {}
    for row in sorted(wrong, key=lambda row: row["claimant"] != "ours"):
        groups.setdefault(row["name"].partition(".")[0], []).append(row)
    told = [f"Does not hold: {_failure(name, rows)}" for name, rows in groups.items()]
    if len(told) > TOLD:
        told = [*told[:TOLD], f"More do not hold, of {', '.join(list(groups)[TOLD:])}: see --all."]
    return told or ["No row of this run disagrees."]


def _failure(name: str, rows: Sequence[Row]) -> str:
    row = rows[0]
    numbers = ", ".join(f"{route} {evidence(row[route])}" for route in _compared(row))
    more = f", and {len(rows) - 1} more" if len(rows) > 1 else ""
    # Why a claim of the paper's or of ours fails, only its own note can say.
    why = WHY.get(name, "") if row["claimant"] == "open" else row["note"]
    said = f"{row['statement'].rstrip('.')} ({CLAIMANTS[row['claimant']]}; {numbers or row['reason']}{more})"
    return f"{said}: {why or row['reason']}".rstrip(".") + "."


def _compared(row: Row) -> list[str]:
    pairs = [pair["between"] for pair in row["comparisons"] if pair["disagrees"]]
    return list(dict.fromkeys(route for pair in pairs for route in pair))


def answer(ledger: Row) -> str:
    """The whole run in a paragraph."""
    rows = [row for sentence, row in answered(ledger) if sentence in ABSTRACT]
    checked = [row for row in rows if row is not None]
    count = {word: sum(row["verdict"] == word for row in checked) for word in IN_WORDS}
    parts = [_counted(number, word) for word, number in count.items() if number]
    if len(rows) > len(checked):
        parts.append(f"{len(rows) - len(checked)} {NOT_ASKED}")
    counted = f"Of {len(rows)} claims of the abstract: {', '.join(parts)}."
    return " ".join([*_of_the_block(ledger), *_of_the_model(ledger), counted])


def _of_the_block(ledger: Row) -> Iterator[str]:
    row = by_name(ledger).get(LIMIT)
    if row is not None and row["predicted"] is not None:
        yield (
            "In a random ReLU + RMSNorm block wrong signs do "
            f"{row['predicted']['value']:.3g} times the transverse damage of equally large errors of size "
            f"({IN_WORDS[row['verdict']]})."
        )


def _of_the_model(ledger: Row) -> Iterator[str]:
    row = by_name(ledger).get(CARRIED_OVER)
    if row is not None and row["measured"] is not None and "value" in row["measured"]:
        model, ratio = ledger["provenance"]["model"]["name"], evidence(row["measured"])
        carries = CARRIES[row["verdict"]]
        yield f"On the loss of {model} they do {ratio} times that of size: the block's factor {carries}."
