"""Single weights that any of several criteria names are flipped: no ranking rests on one of them alone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from conftest import build, with_block
from planted import SATURATED, SMALL, WEIGHTS, flipped, own_text, planted

from signmag_jax import measure
from signmag_jax.evidence import InvalidInput, keys
from signmag_jax.measure import joint, rules, suspects
from signmag_jax.measure.screening import input_scales
from signmag_jax.measure.singles import shortlist
from signmag_jax.models import MATRICES, logits, token_nll, window_nll

LAYERS = tuple(range(SMALL.layers))


def named(model, text):
    steepest = [place for place, _ in shortlist(model, text, 16, LAYERS, MATRICES, 0)]
    scales = input_scales(measure.alpha(model, text), MATRICES)
    return suspects.suspects(model, text, scales, LAYERS, MATRICES, steepest), steepest


@pytest.mark.parametrize("kind", [SATURATED, "down", "v"])
def test_a_planted_weight_leads_the_suspects(kind):
    model, (where, _) = planted(kind), WEIGHTS[kind]
    text = own_text(model, 16, 5)
    found, steepest = named(model, text)
    assert where in [each.place for each in found[:3]]
    costs = [each.cost for each in found]
    assert costs == sorted(costs, reverse=True)
    assert len({each.place for each in found}) == len(found)
    if kind == SATURATED:  # the control: derivatives alone do not name it
        assert where not in steepest


@pytest.mark.slow
def test_a_column_that_a_saturated_gate_decides_is_protected_first():
    """By derivatives alone it is not; and of two such gates the one that was left unflipped is told."""
    kinds = (SATURATED, "saturated gate, no outlier")
    model = planted(*kinds)
    text, other = own_text(model, 8, 5), own_text(model, 8, 9)
    options = {"probes": 2, "singles": 1, "layers": (1,), "matrices": ("gate_proj",)}
    mapped = measure.columns(model, text, other, **options)
    first = mapped.protect_first(1)[0]
    ((row, flip),) = first.flipped
    places = {WEIGHTS[kind][0] for kind in kinds}
    (where,) = [one for one in places if (one.row, one.column) == (row, first.column)]
    truth = float((window_nll(flipped(model, where), other) - window_nll(model, other)).mean())
    assert flip.value == pytest.approx(truth, rel=1e-6)
    lines = [line for name, line in mapped.summary().items() if name.startswith("against sign flips")]
    assert f"[{row}, {where.column}] alone" in lines[0]
    left = {each.place: each.cost for each in mapped.suspects if each.place != where}
    (unflipped,) = places - {where}
    assert mapped.missed() == left[unflipped] == max(left.values()) > 0.1
    shown = mapped.protect_first(len(lines))
    assert [line.endswith("uncertain") for line in lines] == [one.slope < mapped.missed() for one in shown]
    assert f"{mapped.missed():.2g} nat/token" in mapped.summary()["may be missed"]
    control = measure.columns(model, text, other, **options, shortlist="fisher").protect_first(1)
    assert not control or control[0].slope < 0.5 * first.slope


def sorted_by(scores, count):
    flat = [
        (float(value), measure.Place(MATRICES.index(name), *map(int, at)))
        for name, table in scores.items()
        for at, value in np.ndenumerate(table)
    ]
    return [place for _, place in sorted(flat, key=lambda one: (-one[0], one[1]))[:count]]


@pytest.fixture(scope="module")
def plain():
    return build(seed=3, config=SMALL, loud=1.0, dtype=np.float64)


def test_the_largest_weights_are_numpys(plain):
    blocks = {name: np.abs(np.asarray(plain.params["blocks"][name])) for name in MATRICES}
    assert rules.largest_weights(plain, LAYERS, MATRICES, 9) == sorted_by(blocks, 9)
    first = {name: table * (np.arange(SMALL.layers) == 0)[:, None, None] for name, table in blocks.items()}
    only = rules.largest_weights(plain, (0,), ("q_proj", "down_proj"), 5)
    assert only == sorted_by({name: first[name] for name in ("q_proj", "down_proj")}, 5)
    assert only != rules.largest_weights(plain, (1,), ("q_proj", "down_proj"), 5)


def test_dnl_reads_the_first_five_blocks():
    deep = build(seed=3, config=dataclasses.replace(SMALL, layers=7), loud=1.0)
    huge = np.array(deep.params["blocks"]["o_proj"])
    huge[5] *= 100
    found = rules.largest_weights(with_block(deep, "o_proj", huge), range(7), MATRICES, 5)
    assert all(place.layer < 5 for place in found)


def test_one_pass_is_equation_3_of_its_paper(plain):
    """The gradient of the summed logits by differences of the whole model, on the same random ids."""
    key = keys.fold(keys.root(4), "one random pass")
    ids = jax.random.randint(key, (1, 64), 0, SMALL.vocabulary, "int32")
    total = jax.jit(lambda params: logits(SMALL, params, ids).astype("float64").sum())
    names = ("v_proj", "down_proj")

    def slope(name, at, step=1e-5):
        ends = []
        for sign in (1, -1):
            table = np.array(plain.params["blocks"][name])
            table[at] += sign * step
            ends.append(float(total(with_block(plain, name, table).params)))
        return (ends[0] - ends[1]) / (2 * step)

    scores = {}
    for name in names:
        w = np.asarray(plain.params["blocks"][name])
        g = np.asarray([slope(name, at) for at in np.ndindex(w.shape)]).reshape(w.shape)
        scores[name] = np.abs(w) + np.abs(g * w + (g * w) ** 2 / 2)
    assert rules.one_pass_weights(plain, LAYERS, names, 6, 4) == sorted_by(scores, 6)
    assert rules.one_pass_weights(plain, LAYERS, names, 6, 4) != rules.largest_weights(
        plain, LAYERS, names, 6
    )


def test_super_weights_stand_where_the_spikes_meet(plain):
    """Against the largest input and output of every down_proj, in NumPy, with what was found removed."""
    text = own_text(plain, 2, 5)
    inputs_of_down = quick.jit(
        lambda params: token_nll(SMALL, params, jnp.asarray(text), observe=lambda x, *_: x)[1]["mlp_mid"]
    )
    model, found = plain, []
    for place in rules.super_weights(plain, text, LAYERS, 3):
        x = np.asarray(inputs_of_down(model.params), np.float64)
        w = np.asarray(model.params["blocks"]["down_proj"], np.float64)
        into = np.abs(x).max(axis=(1, 2))
        out = np.abs(np.einsum("lbtf,lof->lbto", x, w)).max(axis=(1, 2))
        product = into.max(axis=-1) * out.max(axis=-1)
        spikes = [
            measure.Place(MATRICES.index("down_proj"), int(at), int(out[at].argmax()), int(into[at].argmax()))
            for at in np.argsort(-product)
        ]
        assert place == next(one for one in spikes if one not in found)
        found.append(place)
        table = np.array(model.params["blocks"]["down_proj"])
        table[place[1:]] = 0
        model = with_block(model, "down_proj", table)


PAIR = tuple(measure.Place(MATRICES.index("gate_proj"), 1, 4, column) for column in (0, 9))
"""Two weights that hold a gate shut: one alone opens nothing, as SiLU(0) is 0."""


@pytest.fixture(scope="module")
def backed_up():
    model, names = planted(), ("o_proj", "down_proj", "gate_proj")
    o, down, gate = (np.array(model.params["blocks"][name]) for name in names)
    embedding = np.array(model.params["embed"])
    # Both columns of the stream are the same number for every token when it reaches the gate.
    embedding[:, [0, 9]] = 5
    o[:, [0, 9]] = down[0, [0, 9]] = 0
    down[1, :, 4] *= 5  # what the gate opens is heard
    gate[1, 4] = 0
    for place in PAIR:
        gate[place[1:]] = -12
    blocks = model.params["blocks"] | dict(zip(names, map(jnp.asarray, (o, down, gate)), strict=True))
    return model.replace(params=model.params | {"blocks": blocks, "embed": jnp.asarray(embedding)})


def edited(model, places):
    for place in places:
        model = flipped(model, place)
    return model


def test_a_pair_that_is_harmless_alone_is_found_and_by_adding_it_is_not(backed_up):
    text, other = own_text(backed_up, 16, 5), own_text(backed_up, 16, 9)
    few, (found, _) = text[:, :9], named(backed_up, text)
    cost = joint.joint_cost(backed_up, few, 3)
    alone = [cost((place,)) for place in PAIR]
    candidates = [each.place for each in sorted(found, key=lambda one: one.turn)]
    sets = joint.costliest_sets(cost, candidates, 3)
    assert set(sets[1]) == set(PAIR)
    assert max(map(abs, alone)) < 0.02 * cost(sets[1])
    assert cost(sets[2]) >= cost(sets[1]) - 0.2
    # the control: by the sum of what each costs alone, another pair is first
    ranked = sorted(candidates, key=lambda place: -cost((place,)))
    assert set(ranked[:2]) != set(PAIR)
    assert cost(tuple(ranked[:2])) < cost(sets[1])
    # and what it costs is that of edited weights, on other text too
    truth = float((window_nll(edited(backed_up, PAIR), other) - window_nll(backed_up, other)).mean())
    assert joint.joint_cost(backed_up, other, 3)(PAIR) == pytest.approx(truth, rel=1e-6)


@pytest.mark.slow
def test_deciding_weights_see_the_pair(backed_up):
    text, other = own_text(backed_up, 16, 5), own_text(backed_up, 4, 9)
    found = measure.deciding_weights(backed_up, text, other, shortlisted=6, verified=3, probes=0, joint=2)
    (pair,) = found.joint
    assert set(pair.places) == set(PAIR)
    assert pair.flip.value > 0.3
    assert abs(pair.alone.value) < 0.02 * pair.flip.value
    line = next(line for name, line in found.summary().items() if name.startswith("2 together"))
    assert "alone in sum" in line
    assert set(PAIR) <= {each.place for each in found.weights}
    for change, message in (({"joint": -1}, "joint >= 0"), ({"shortlist": "all"}, "shortlist in")):
        with pytest.raises(InvalidInput, match=message):
            measure.deciding_weights(backed_up, text, other, **change)


def test_the_costliest_sets_of_a_known_cost():
    """Weights 0 to 5 alone cost their number; 0 and 1 together 20, and no set is looked for beyond enough."""
    places = [measure.Place(0, 0, 0, number) for number in range(6)]

    def cost(chosen):
        numbers = {place.column for place in chosen}
        return sum(numbers) + 20.0 * ({0, 1} <= numbers)

    sets = joint.costliest_sets(cost, places, 3)
    assert [{place.column for place in each} for each in sets] == [{5}, {0, 1}, {0, 1, 5}]
    assert len(joint.costliest_sets(cost, places, 3, enough=5.0)) == 1
    # what another names is judged as well, and on a text of its own
    named = (places[2], places[3])
    judged = joint.costliest_sets(
        cost, places, 2, others=[named], judge=lambda chosen: 99.0 * (chosen == named)
    )
    assert judged[1] == named
    assert [len(each) for each in joint.costliest_sets(cost, places[:2], 5)] == [1, 2]
    assert joint.costliest_sets(cost, [], 3) == []
    # where nothing is left to suspect, what others name is still judged
    assert joint.costliest_sets(cost, [], 3, others=[named[:1], named]) == [named[:1], named]
