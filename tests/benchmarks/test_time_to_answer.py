"""What a plain draw scatters by, and intervals that hold what is needed, on arms of known law."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from benchmark_scripts import BENCHMARKS, imported

CHANCE, WINDOWS = 0.02, 6
COSTS = np.array([[3.0], [1.0]]) * np.linspace(0.5, 1.5, WINDOWS)
DAMAGE = {"outlier": 1.0, "rest": 0.05}


@pytest.fixture(scope="module")
def script():
    return imported("time_to_answer")


def arm(script, rng, draws, damage):
    """Draws twice as skewed as those measured; a control variate takes half of their deviation of 0.3."""
    luck = damage * 0.3 * (rng.gamma(3, size=(draws, 1)) - 3) / math.sqrt(3)
    plain = damage + luck + np.zeros(WINDOWS)
    chances = np.full(len(COSTS), CHANCE)
    heavy = damage * COSTS
    whole = plain - luck / 2 + chances @ heavy
    return script.Arm(plain, whole, np.zeros((0, WINDOWS)), chances, heavy, 0.0)


def answer(script, rng, draws):
    return {name: arm(script, rng, draws, damage) for name, damage in DAMAGE.items()}


def test_a_plain_draw_scatters_by_heavy_weights_and_by_the_rest(script):
    """Against draws that flip the heavy weights by chance, reading all windows and one."""
    rng, draws = np.random.default_rng(0), 40_000
    found = arm(script, rng, draws, 1.0)
    hit = rng.random((draws, len(COSTS))) < CHANCE
    damage = found.plain + hit @ COSTS
    for known, tables in ((found.theirs, damage.mean(axis=1)[:, None]), (found.spread, damage)):
        squares = ((tables - tables.mean(axis=0)) ** 2).mean(axis=1)
        error = squares.std() / math.sqrt(draws)
        assert error < 0.03 * known
        assert abs(squares.mean() - known) < 5 * error
        assert squares.mean() - found.plain.var() > 20 * error


def test_what_is_needed_follows_from_the_law(script):
    """Seconds of draws whose variances are known, as many in each arm as are cheapest."""
    rng = np.random.default_rng(1)
    seconds = script.Seconds(ours=1.0, theirs=2.0, spread=0.5, beside=30.0)
    found = script.needed([answer(script, rng, 20_000)], seconds)
    mean = 1 + CHANCE * float(COSTS.mean(axis=1).sum())
    own, other = 0.15**2 / mean**2, (0.09 + CHANCE * (1 - CHANCE) * 10) / mean**2
    assert found["draws_of_ours_in_each_arm"] == pytest.approx(2 * own / 0.01, rel=0.05)
    assert found["seconds_of_ours"] == pytest.approx(30 + 2 * found["draws_of_ours_in_each_arm"])
    assert found["draws_of_theirs_in_both_arms"] == pytest.approx(4 * other / 0.01, rel=0.05)
    assert found["seconds_of_theirs"] == pytest.approx(2 * found["draws_of_theirs_in_both_arms"])
    assert found["seconds_of_theirs_spread"] < found["seconds_of_theirs"] / 3
    assert found["times_sooner"] == pytest.approx(found["seconds_of_theirs"] / found["seconds_of_ours"])


@pytest.mark.slow
def test_intervals_cover_what_is_needed_and_short_plain_runs_do_not_see_it(script):
    rng, repeats = np.random.default_rng(2), 150
    seconds = script.Seconds(ours=1.0, theirs=2.0, spread=0.5, beside=3.0)
    truth = script.needed([answer(script, rng, 200_000)], seconds)
    hits, below = dict.fromkeys(("draws_of_ours_in_each_arm", "times_sooner"), 0), 0
    for _ in range(repeats):
        answers = [answer(script, rng, 12) for _ in range(2)]
        for name in hits:
            low, high = script.interval(answers, lambda some, n=name: script.needed(some, seconds)[n])
            hits[name] += low <= truth[name] <= high
        plain = answers[0]["outlier"].plain[:, 0] + (rng.random((12, 2)) < CHANCE) @ COSTS.mean(axis=1)
        below += plain.var(ddof=1) < answers[0]["outlier"].theirs / 2
    print({name: hit / repeats for name, hit in hits.items()}, below / repeats)
    assert min(hits.values()) > 0.88 * repeats
    assert below > 0.5 * repeats


def test_the_page_says_what_was_found():
    found = json.loads((BENCHMARKS / "results" / "time_to_answer.json").read_text())
    page = (Path(__file__).parents[2] / "docs" / "pages" / "speed.md").read_text()
    needed, seconds = found["needed"]["processor"], found["seconds"]["processor"]
    dearer = seconds["theirs"] / seconds["ours"]
    assert f"a pass gives {dearer:.1f};" in page
    said = {name: [one["value"], *one["interval"]] for name, one in needed.items()}
    said["alike"] = [value / dearer for value in said["times_sooner"]]
    for name in ("draws_of_theirs_in_both_arms", "draws_of_ours_in_each_arm", "seconds_of_ours"):
        assert "{:.0f} ({:.0f} to {:.0f})".format(*said[name]) in page, name
    for name in ("times_sooner", "times_sooner_than_spread", "alike"):
        assert "{:.0f} ({:.0f} to {:.0f})".format(*said[name]) in page, name
    assert f"{seconds['beside']:.0f} of them beside the draws" in page
    wanted = needed["seconds_of_theirs"]["value"] / dearer / 30
    assert f"no more than {wanted:.0f} CPU seconds" in page
