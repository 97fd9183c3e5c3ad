"""Trained networks: they begin at the law, they learn, and more of them leave the first ones alone."""

import hashlib
import re

import jax
import numpy as np
import pytest

from signmag_jax import theory
from signmag_jax.claims.training import LAWS, compare
from signmag_jax.evidence import InvalidInput, MissingResource
from signmag_jax.training import train
from signmag_jax.training import training as module
from signmag_jax.training.fit import fit

SMALL = {"width": 64, "networks": 6, "steps": 60, "samples": 64, "draws": 4, "rate": 0.05}
TEXT = b"the cat sat on the mat. " * 400


@pytest.fixture(scope="module")
def learned():
    return train(**SMALL)


@pytest.fixture(scope="module")
def beside_laws(learned):
    return compare(learned)


@pytest.fixture(scope="module")
def of_text():
    """Of the other kind, briefly."""
    few = {"width": 32, "networks": 3, "steps": 10}
    return train(task="text", text=TEXT, activation="swiglu", blocks=1, **SMALL | few)


def test_the_loss_falls_and_the_first_snapshot_is_the_initialisation(learned):
    losses = [at.loss for at in learned.snapshots]
    assert [at.step for at in learned.snapshots] == [0, 10, 30, 60]
    assert losses[-1].value + 5 * losses[-1].standard_error < 0.7 * losses[0].value


def test_untrained_networks_obey_the_law():
    found = train(width=128, networks=16, steps=10, samples=128, draws=8, blocks=1, rate=0.05)
    ratio = found.snapshots[0].blocks[0].ratio
    law = float(theory.finite_width_ratio(0.05, 128))
    assert abs(float(ratio.value) - law) < 4 * ratio.standard_error
    # The error tells it from Laplace weights and from the limit of small rates.
    others = [theory.finite_width_ratio(0.05, 128, "laplace"), theory.transverse_ratio_limit()]
    for other in map(float, others):
        assert abs(float(ratio.value) - other) > 8 * ratio.standard_error


def test_the_first_networks_stay_what_they_are(learned):
    fewer = train(**SMALL | {"networks": 4})
    for more, few in zip(learned.snapshots, fewer.snapshots, strict=True):
        for one, other in zip(more.blocks, few.blocks, strict=True):
            np.testing.assert_allclose(one.ratios[:4], other.ratios, rtol=2e-4)


def test_another_seed_gives_other_networks(learned):
    other = train(**SMALL, seed=1)
    assert not np.any(np.isclose(other.snapshots[0].blocks[0].ratios, learned.snapshots[0].blocks[0].ratios))


@pytest.mark.slow
def test_a_text_is_learned_and_what_is_held_out_is_scored():
    found = train(task="text", text=TEXT, activation="swiglu", blocks=1, **SMALL)
    first, last = found.snapshots[0].loss, found.snapshots[-1].loss
    assert last.value < 0.5 * first.value
    # A text whose end is another: what was learned does not help there.
    other = train(task="text", text=TEXT[:8000] + b"qzxwvj!?#%" * 90, activation="swiglu", blocks=1, **SMALL)
    assert other.snapshots[-1].loss.value > 3 * last.value


def test_laws_stand_beside_every_snapshot(beside_laws):
    for each in beside_laws.blocks:
        for at in each:
            assert all(at.ratio[name].gap is not None for name in ("Gaussian weights", "own weights"))
    row = beside_laws.rows()[0]
    assert row["law: Gaussian weights"] == pytest.approx(float(theory.finite_width_ratio(0.05, 64)))
    assert {f"law: {name}" for name in LAWS} <= row.keys()


def test_a_wrong_law_is_parted_from_at_the_start(learned, beside_laws, monkeypatch):
    right = beside_laws.leaving(1, "Gaussian weights")
    assert right is not None
    assert right.before == 0 or right.step is None
    monkeypatch.setitem(LAWS, "Gaussian weights", lambda run, weights, state: 1.5)
    wrong = compare(learned).leaving(1, "Gaussian weights")
    assert wrong is not None
    assert (wrong.before, wrong.step) == (None, 0)


def test_more_trainings_beside_it_ask_for_more(learned, beside_laws):
    """One percent is shared by all of them."""
    assert compare(learned, 8).limit > beside_laws.limit


def test_a_law_that_does_not_answer_is_left_out(of_text):
    found = compare(of_text)
    assert found.leaving(1, "own weights and inputs") is None
    assert "–" in next(iter(found.summary().values()))


def test_a_result_says_of_which_text_and_in_which_unit(learned, of_text):
    assert of_text.provenance["text_sha256"] == hashlib.sha256(TEXT).hexdigest()
    assert of_text.snapshots[0].loss.unit == "nat/byte"
    assert "text_sha256" not in learned.provenance
    assert learned.snapshots[0].loss.unit == "1"


MISTAKES = [
    ({"activation": "gelu"}, "`activation in "),
    ({"task": "chess"}, "`task in "),
    ({"task": "text"}, "a text with the task"),
    ({"text": TEXT}, "a text with the task"),
    ({"task": "text", "text": b"short"}, "`text of 4096 bytes at least`"),
    ({"task": "text", "text": TEXT, "width": 68}, "a multiple of 8"),
    ({"blocks": 0}, "`1 <= blocks <= 8`"),
    ({"width": 8}, "`32 <= width <= 2048`"),
    ({"rate": 0.0}, "`0 < rate <= 0.5`"),
    ({"rate": 1e-4}, "one flip among the outlier columns"),
    ({"networks": 2}, "`3 <= networks <= 256`"),
    ({"steps": 3}, "`steps >= 10`"),
    ({"step_size": float("nan")}, "`0 < step_size < 1`"),
    ({"draws": 0}, "`draws >= 1`"),
    ({"seed": -1}, "`0 <= seed"),
]


@pytest.mark.parametrize(("given", "said"), MISTAKES)
def test_what_is_wrong_is_said(given, said):
    with pytest.raises(InvalidInput, match=re.escape(said)):
        train(**SMALL | given)


@pytest.mark.parametrize(
    "said", ["RESOURCE_EXHAUSTED: no more", "INTERNAL: Out of memory allocating 343 bytes."]
)
def test_networks_that_do_not_fit_are_one_line(monkeypatch, said):
    def full(*given, **sizes):
        raise jax.errors.JaxRuntimeError(said)

    monkeypatch.setattr(module, "fit", full)
    with pytest.raises(MissingResource, match="the networks do not fit in memory: lower"):
        train(**SMALL)


def test_a_training_that_ends_in_silence_is_no_result(monkeypatch):
    def silent(network, task, each, **sizes):
        for step, params in fit(network, task, each, **sizes):
            yield step, params | {"down": 0 * params["down"]}
            return

    monkeypatch.setattr(module, "fit", silent)
    with pytest.raises(InvalidInput, match="received 'none at step 0'"):
        train(**SMALL)
