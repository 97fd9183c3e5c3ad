"""What a run tells before its end is what its ledger holds, in whatever order its parts end."""

import random

import pytest
from small_runs import TINY

from signmag_jax.claims import families, news
from signmag_jax.claims.abstract import ABSTRACT, BESIDE


class Heard:
    def __init__(self):
        self.rows, self.parts = {}, []

    def part(self, name, seconds):
        self.parts.append((name, seconds))

    def claim(self, sentence, row):
        assert sentence.row == row["name"] not in self.rows
        self.rows[row["name"]] = row


PIECES = [*families.experiments(TINY), *families.measurements()]


@pytest.mark.parametrize("seed", range(3))
def test_a_claim_is_told_once_as_soon_as_nothing_is_missing_and_as_the_ledger_has_it(
    results, all_proved, rows, seed
):
    heard = Heard()
    told = news.News(TINY, "no model", heard)
    at_once = set(heard.rows)
    assert "depth.plain.relu.L=6" in at_once  # a published figure and a law, which wait for nothing
    assert "theorem_3.limit" not in at_once
    steps = [{piece: results[piece]} for piece in PIECES] + [
        {name: held} for name, held in all_proved.items()
    ]
    random.Random(seed).shuffle(steps)
    for step in steps[:-1]:
        told.found(step)
    almost = set(heard.rows)
    told.found(steps[-1])
    assert at_once < almost <= set(heard.rows)
    asked = {each.row for each in (*ABSTRACT, *BESIDE)} & set(rows)
    assert set(heard.rows) == asked
    assert heard.rows == {name: rows[name] for name in asked}


def test_a_claim_waits_for_each_of_its_proofs(all_proved):
    heard = Heard()
    told = news.News(TINY, "no model", heard)
    told.found({"depth": True})
    assert "depth.no_compounding" not in heard.rows
    told.found({"residual_depth": False})
    assert heard.rows["depth.no_compounding"]["verdict"] == "DISAGREES"


def test_a_part_tells_its_name_and_time_and_nobody_need_listen():
    heard = Heard()
    for listener in (heard, None):
        with news.News(TINY, "no model", listener).part("a part") as found:
            found["no proof of ours"] = True
    ((name, seconds),) = heard.parts
    assert name == "a part"
    assert 0 <= seconds < 60
