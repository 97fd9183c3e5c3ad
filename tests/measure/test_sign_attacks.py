"""The game of single signs: scores are what edited weights cost, and no choice sees the evaluation text."""

import importlib
import json

import numpy as np
import pytest
from planted import SMALL, WEIGHTS, own_text, planted
from test_suspects import PAIR, backed_up, edited  # noqa: F401

from signmag_jax import measure
from signmag_jax.evidence import InvalidInput
from signmag_jax.measure import rules
from signmag_jax.measure.attacked import DNL, ONE_PASS, OURS, RULES, SUPER
from signmag_jax.measure.screening import excerpt
from signmag_jax.models import MATRICES, window_nll

KINDS = ("saturated gate", "down", "v")
OPTIONS = {"levels": (0.2, 0.5), "flips": 3, "protected": (2,)}


@pytest.fixture(scope="module")
def texts():
    model = planted(*KINDS)
    return own_text(model, 16, 5), own_text(model, 16, 9)


@pytest.fixture(scope="module")
def game(texts):
    return measure.attacks(planted(*KINDS), *texts, **OPTIONS)


def test_every_damage_is_that_of_edited_weights(game, texts):
    model = planted(*KINDS)
    assert {(each.rule, each.protected) for each in game.attacks} == {(r, n) for r in RULES for n in (0, 2)}
    for each in game.attacks:
        assert [len(places) for places in each.places] == [1, 2, 3][: len(each.places)]
        places, damage = each.places[-1], each.damage[-1]
        truth = window_nll(edited(model, places), texts[1], batch=16) - window_nll(model, texts[1], batch=16)
        assert damage.estimate.value == pytest.approx(truth.mean(), rel=1e-6, abs=1e-9)
        assert damage.low <= damage.estimate.value <= damage.high


def test_ours_needs_no_more_flips_and_protection_takes_effect(game):
    def needed(rule, level, protected=0):
        return game.attack(rule, protected).fewest(level) or 99

    for level in game.levels:
        assert all(needed(OURS, level) <= needed(rule, level) for rule in RULES)
        assert all(needed(rule, level, 2) >= needed(rule, level) for rule in RULES)
    assert needed(OURS, 0.2) == 1
    assert needed(OURS, 0.5, 2) > needed(OURS, 0.5)
    kept = set(game.kept)
    assert len(game.kept) == 2
    assert kept & {WEIGHTS[kind][0] for kind in KINDS}
    for rule in RULES:
        places = {place for each in game.attack(rule, 2).places for place in each}
        assert not places & kept
    # the control: unprotected, our own attack does flip them
    assert kept & {place for each in game.attack(OURS).places for place in each}


def test_the_rules_of_others_choose_as_on_their_own(game, texts):
    model, where = planted(*KINDS), (tuple(range(SMALL.layers)), MATRICES)
    chosen = {
        DNL: rules.largest_weights(model, *where, 3),
        ONE_PASS: rules.one_pass_weights(model, *where, 3, 0),
        SUPER: rules.super_weights(model, excerpt(texts[0]), where[0], 5)[:3],
    }
    for rule, places in chosen.items():
        assert game.attack(rule).places[-1] == tuple(places)


@pytest.mark.slow
def test_the_smallest_defence_is_the_first_that_holds(game, texts):
    """By every number of protected weights in turn, on the text that chose."""
    model, level, few = planted(*KINDS), 0.2, excerpt(texts[0], 256, 512)
    found = measure.attacks(model, *texts, **OPTIONS | {"defend": level})
    clean = window_nll(model, few).mean()
    order = rules.largest_weights(model, tuple(range(SMALL.layers)), MATRICES, 60)

    def holds(count):
        free = [place for place in order if place not in found.kept[:count]]
        sets = (tuple(free[: size + 1]) for size in range(3))
        return all(window_nll(edited(model, each), few).mean() - clean < level for each in sets)

    first = next(count for count in range(len(found.kept) + 1) if holds(count))
    assert found.defences[DNL] == first > 0
    assert found.defences.keys() == set(RULES)
    # What is asked besides changes none of the games.
    assert found.attack(OURS, 2).places == game.attack(OURS, 2).places
    assert not game.defences
    for rule, count in found.defences.items():
        if count is not None:
            assert all(each.estimate.standard_error > 0 for each in found.attack(rule, count).damage)
            assert f"by {count} weights protected" in found.summary()[f"defence against {rule}"]


def test_the_flips_of_a_level_have_a_range(game):
    """Upper ends of intervals reach a level by no more flips than means do, and lower ends by no fewer."""
    for each in game.attacks:
        for level in (*game.levels, 1e-3, 50.0):
            counts = (each.between(level)[0], each.fewest(level), each.between(level)[1])
            fewest, count, most = (99 if value is None else value for value in counts)
            assert fewest <= count <= most
    assert game.attack(OURS).between(50.0) == (None, None)
    assert all(len(row["between"]) == 2 for row in game.fewest())


def test_lines_rows_and_picture(game):
    lines = game.summary()
    assert "0.2 nats by 1 flip:" in lines["ours"]
    assert set(RULES) <= lines.keys()
    assert f"{DNL}, 2 weights protected" in lines
    rows = game.rows()
    assert len(rows) == sum(len(each.damage) for each in game.attacks)
    assert {row["flips"] for row in rows} == {1, 2, 3}
    assert len(game.picture().arguments["series"]) == 2 * len(RULES)
    plain = json.loads(json.dumps(game.to_json(), allow_nan=False))
    assert len(plain["fewest"]) == 2 * 2 * len(RULES)


def test_windows_that_are_not_finite_are_counted(game, texts, monkeypatch):
    """Every set breaks the second of 16 windows: it counts as ln V, and result, table and lines say so."""
    sets = {}
    for each in game.attacks:
        sets.setdefault(each.protected, {})[each.rule] = list(each.places)
    broken = np.full(16, 2.0)
    broken[1] = np.nan
    module = importlib.import_module("signmag_jax.measure.attacks")
    monkeypatch.setattr(module, "_chosen", lambda setup: (list(game.kept), sets, {}))
    monkeypatch.setattr(module, "_loss", lambda setup, places: broken if places else np.ones(16))
    found = measure.attacks(planted(*KINDS), *texts, **OPTIONS)
    for each in found.attacks:
        assert each.not_finite == (1,) * len(each.places)
        assert each.damage[0].estimate.value == pytest.approx((15 + np.log(SMALL.vocabulary)) / 16)
    assert all(row["not_finite"] == 1 for row in found.rows())
    assert "1 window is not finite" in found.summary()["ours"]
    assert found.to_json()["attacks"][0]["not_finite"][0] == 1
    # The control: of finite losses nothing is said.
    assert "not finite" not in "".join(game.summary().values())


@pytest.mark.slow
def test_a_run_resumes_and_its_choice_does_not_see_the_evaluation_text(game, texts, tmp_path):
    model = planted(*KINDS)
    first = measure.attacks(model, *texts, **OPTIONS, resume=tmp_path)
    (tmp_path / "record-00000003.json").unlink()
    again = measure.attacks(model, *texts, **OPTIONS, resume=tmp_path)
    assert json.dumps(first.to_json()) == json.dumps(again.to_json())
    other = measure.attacks(model, texts[0], texts[1][::-1, ::-1].copy(), **OPTIONS)
    assert [each.places for each in other.attacks] == [each.places for each in game.attacks]
    assert other.attacks[0].damage[0].estimate.value != game.attacks[0].damage[0].estimate.value


@pytest.mark.slow
def test_a_pair_that_is_harmless_alone_is_attacked_together(backed_up):  # noqa: F811
    """No rule by single costs finds it: each weight alone costs nothing, on either text."""
    text, other = own_text(backed_up, 16, 5), own_text(backed_up, 4, 9)
    found = measure.attacks(backed_up, text, other, levels=(0.3,), flips=2, protected=(1,))
    assert set(found.attack(OURS).places[1]) == set(PAIR)
    damage = [each.estimate.value for each in found.attack(OURS).damage]
    assert damage[1] > damage[0]
    alone = [window_nll(edited(backed_up, (place,)), other).mean() for place in PAIR]
    assert np.abs(np.asarray(alone) - window_nll(backed_up, other).mean()).max() < 0.02


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"levels": ()}, "levels > 0"),
        ({"levels": (0.0,)}, "levels > 0"),
        ({"flips": 0}, "flips >= 1"),
        ({"protected": (-1,)}, "protected >= 0"),
        ({"defend": 0.0}, "defend > 0"),
        ({"layers": (9,)}, "layers in 0..1"),
    ],
)
def test_bad_options_are_refused(texts, change, message):
    with pytest.raises(InvalidInput, match=message):
        measure.attacks(planted(*KINDS), *texts, **{**OPTIONS, **change})


@pytest.mark.slow
def test_no_more_weights_are_protected_than_are_suspected(texts):
    with pytest.raises(InvalidInput, match=r"protected <= \d\d"):
        measure.attacks(planted(*KINDS), *texts, flips=1, protected=(200,), matrices=("k_proj",))


def test_cost_counts_every_game():
    passes = measure.MEASUREMENTS["attacks"].passes
    one = passes(windows=4, window=512, flips=8, protected=(0,))
    two = passes(windows=4, window=512, flips=8, protected=(4,))
    assert two - one > 4 * 8
    assert passes(windows=8, window=512, flips=8, protected=(0,)) - one == 1 + 4 * 8
