"""What a run tells before its end is what its ledger holds, in whatever order its parts end."""

import random

import pytest
from small_runs import TINY, results_of

from signmag_jax.claims import families, news
from signmag_jax.claims.abstract import ABSTRACT, BESIDE
from signmag_jax.claims.ledger import fill
from signmag_jax.theory import proof


class Heard:
    def __init__(self):
        self.rows, self.parts = {}, []

    def part(self, name, seconds):
        self.parts.append((name, seconds))

    def claim(self, sentence, row):
        assert sentence.row == row["name"] not in self.rows
        self.rows[row["name"]] = row


def begun(listener):
    told = news.News(TINY, "no model", listener)
    told.begin()
    return told


PIECES = [*families.experiments(TINY), *families.measurements()]


PROVED = dict.fromkeys(proof.names(), True)


@pytest.fixture(scope="module")
def rows(declared):
    """Where no piece gives anything, each row says so in its own words: none may say that it is pending."""
    return {row["name"]: row for row in fill(declared, PROVED)}


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_claim_is_told_once_as_soon_as_nothing_is_missing_and_as_the_ledger_has_it(rows, seed):
    heard, absent = Heard(), results_of(TINY, {})
    told = begun(heard)
    at_once = set(heard.rows)
    assert "depth.plain.relu.L=6" in at_once  # a published figure and a law, which wait for nothing
    assert "theorem_3.limit" not in at_once
    steps = [{piece: absent[piece]} for piece in PIECES] + [{name: True} for name in PROVED]
    random.Random(seed).shuffle(steps)
    for step in steps[: len(steps) // 2]:
        told.tell(step)
    half = set(heard.rows)
    for step in steps[len(steps) // 2 :]:
        told.tell(step)
    assert at_once <= half < set(heard.rows)
    asked = {each.row for each in (*ABSTRACT, *BESIDE)} & set(rows)
    assert set(heard.rows) == asked
    assert heard.rows == {name: rows[name] for name in asked}


def test_a_claim_waits_for_its_proof():
    heard = Heard()
    told = begun(heard)
    told.tell({"arccos_kernel": True})
    assert "theorem_3.limit" not in heard.rows
    told.tell({"theorem_3": False})
    assert heard.rows["theorem_3.limit"]["verdict"] == "DISAGREES"


def test_what_is_told_before_the_first_laws_is_decided_with_them():
    heard = Heard()
    told = news.News(TINY, "no model", heard)
    told.tell({"theorem_3": True, "arccos_kernel": True})
    assert not heard.rows
    told.begin()
    assert heard.rows["theorem_3.limit"]["verdict"] == "PROVED"


def test_a_part_tells_its_name_and_time_and_nobody_need_listen():
    heard = Heard()
    for listener in (heard, None):
        with begun(listener).part("a part") as found:
            found["no proof of ours"] = True
    ((name, seconds),) = heard.parts
    assert name == "a part"
    assert 0 <= seconds < 60
