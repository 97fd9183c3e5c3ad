"""What the terminal shows: the abstract's claims, whole numbers within 80 columns, and plain words."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signmag_jax.claims import abstract
from signmag_jax.claims.claim import ROUTES
from signmag_jax.claims.published import quotation
from signmag_jax.report import table, words
from signmag_jax.report.numbers import evidence


def renamed(ledger, **changes):
    """The ledger with its first row in the place of the abstract's first claim."""
    ledger = copy.deepcopy(ledger)
    ledger["rows"][0] |= {"name": abstract.ABSTRACT[0].row, **changes}
    return ledger


def text(lines):
    return [line for line, _ in lines]


def number(value, error):
    return {"value": value, "standard_error": error, "n": 9, "unit": "1"}


sizes = st.floats(-1e300, 1e300), st.floats(0, 1e300)


@settings(max_examples=50)
@given(st.lists(st.builds(number, *sizes), min_size=4, max_size=4))
def test_no_line_is_wider_than_80_columns_and_no_number_is_cut(numbers):
    row = {"name": "a.b", "claimant": "open", "verdict": "NOT COMPARABLE", "reason": "r", "statement": "s"}
    row |= dict(zip(ROUTES, numbers, strict=True))
    ledger = {"rows": [row], "level": {"name": "tiny"}, "summary": {}, "rule": RULE}
    for lines in (text(table.every_line(ledger)), text(table.abstract_lines([(abstract.ABSTRACT[0], row)]))):
        assert max(map(len, lines)) <= table.WIDTH
        joined = " ".join(" ".join(lines).split())
        assert all(evidence(each) in joined for each in numbers)


RULE = {"comparisons": 2, "family_level": 0.01, "threshold_standard_errors": 3.0}


def test_the_abstract_stands_first_then_the_families_then_what_does_not_hold(small_ledger):
    lines = text(table.summary_lines(renamed(small_ledger)))
    order = [f" 1. {abstract.ABSTRACT[0].claim}", "theorem 3: 1 of 1 reproduced"]
    places = [lines.index(line) for line in order]
    (failing,) = (i for i, line in enumerate(lines) if line.startswith("Does not hold: A wrong claim (ours;"))
    assert places == sorted(places)
    assert failing > places[-1]
    assert lines[places[0] + 1].split() == ["ours:", "reproduced", "2.6390(30)", "2.64408", "2.6448(13)", "–"]
    assert any("a model" in line for line in lines)


def test_a_family_counts_what_holds_and_what_does_not(small_ledger):
    assert words.tally(small_ledger["rows"]) == "1 of 3 reproduced, 1 does not hold, 1 not run"
    twice = [row for row in small_ledger["rows"] if row["verdict"] == "DISAGREES"] * 2
    assert words.tally(twice) == "0 of 2 reproduced, 2 do not hold"
    assert words.tally(small_ledger["rows"][1:2]) == "0 of 1 reproduced, 1 not run"


def test_what_a_reader_asks_next_is_no_claim_of_the_abstract(small_ledger):
    """Also in a ledger that lacks rows of the abstract."""
    ledger = renamed(small_ledger)
    ledger["rows"][1] |= {"name": abstract.BESIDE[0].row, "verdict": "DISAGREES"}
    assert words.answer(ledger).endswith("Of 2 claims of the abstract: 1 reproduced, 1 not checked.")


@pytest.mark.parametrize("word", words.EXPLAINED)
def test_a_verdict_that_is_no_answer_is_explained_where_it_appears(small_ledger, word):
    said = f"{words.IN_WORDS[word]}: {words.MEANING[word]}"
    assert said not in " ".join(text(table.summary_lines(small_ledger)))
    for lines in (table.summary_lines, table.every_line):
        assert said in " ".join(text(lines(renamed(small_ledger, verdict=word))))


def test_weights_of_few_bits_are_named_with_the_model(small_ledger):
    assert words.model_line(small_ledger) == "a model"
    model = small_ledger["provenance"]["model"]
    model["stored_dtypes"] = {"F32": 61, "Q4_1": 210, "Q8_0": 1}
    assert words.model_line(small_ledger) == "a model, whose weights come from a 4-bit file (Q4_1)"
    model["stored_dtypes"] = {"BF16": 272}
    assert words.model_line(small_ledger) == "a model"


def test_the_claims_of_the_abstract_are_short_and_quote_what_exists():
    for sentence in (*abstract.ABSTRACT, *abstract.BESIDE):
        assert len(sentence.claim) <= abstract.LONGEST, sentence.claim
        assert sentence.row is not None or quotation(sentence.quoted).section == "abstract"


def test_every_row_is_printed_when_asked(small_ledger, capsys):
    from signmag_jax import report

    report.print_ledger(small_ledger, every=True)
    every = capsys.readouterr().out
    assert all(row["name"] in every for row in small_ledger["rows"])
    report.print_ledger(small_ledger)
    assert "a.not_run" not in capsys.readouterr().out
