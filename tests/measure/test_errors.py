"""Errors of a fixed direction against central differences of the loss itself."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from small_models import MINUTE

from signmag_jax import measure
from signmag_jax.evidence import InvalidInput
from signmag_jax.measure.error_response import is_deterministic
from signmag_jax.models import MATRICES, token_nll
from signmag_jax.perturb import Compose, MagnitudeShift, Prune, Scale, SignFlip, SignQuantize, Ternarize

ERRORS = {
    "shift": MagnitudeShift(0.02),
    "prune": Prune(0.3),
    "sign": SignQuantize(),
    "ternary": Ternarize(),
}
LAYER, STEP = 1, 1e-3


@pytest.fixture(scope="module")
def found(minute, minute_text):
    return measure.error_response(minute, minute_text[1], ERRORS, probes=20)


@pytest.fixture(scope="module")
def loss(minute, minute_text):
    """Mean loss at w + t·e, e an error in the named matrices of the given layers."""

    @quick.jit
    def of(errors):
        blocks = {name: w + errors[name] for name, w in minute.params["blocks"].items() if name in errors}
        params = minute.params | {"blocks": minute.params["blocks"] | blocks}
        return token_nll(MINUTE, params, jnp.asarray(minute_text[1])).mean()

    return lambda errors, t: float(of({name: t * e for name, e in errors.items()}))


@pytest.fixture(scope="module")
def errors(minute):
    """e of every matrix, by the name of the error."""

    @quick.jit
    def every(blocks):
        key = jax.random.key(1)
        return {
            name: {
                matrix: jnp.stack([error.apply(key, w) - w for w in blocks[matrix]]) for matrix in MATRICES
            }
            for name, error in ERRORS.items()
        }

    return jax.device_get(every(minute.params["blocks"]))


def only(error, matrix):
    """The error in that matrix of one layer, and none elsewhere."""
    found = {name: np.zeros_like(e) for name, e in error.items()}
    found[matrix][LAYER] = error[matrix][LAYER]
    return found


def differences(loss, error):
    """First and second derivative along e, by central differences."""
    up, middle, down = loss(error, STEP), loss(error, 0.0), loss(error, -STEP)
    return (up - down) / (2 * STEP), (up - 2 * middle + down) / STEP**2


@pytest.mark.parametrize("name", list(ERRORS))
def test_all_errors_together(minute, loss, found, errors, name):
    error = errors[name]
    first, second = differences(loss, error)
    cost = found.errors[name]
    assert cost.first.value == pytest.approx(first, rel=1e-4, abs=1e-8)
    assert cost.second.value == pytest.approx(second / 2, rel=1e-3, abs=1e-7)
    assert abs(cost.second.value - second) > 0.1 * abs(second)  # without the half it would be seen
    assert cost.measured.value == pytest.approx(loss(error, 1.0) - loss(error, 0.0), rel=1e-8)
    whole = {n: np.asarray(minute.params["blocks"][n]) for n in MATRICES}
    sizes = [sum((a**2).sum() for a in each.values()) for each in (error, whole)]
    assert cost.relative_norm == pytest.approx(np.sqrt(sizes[0] / sizes[1]), rel=1e-9)


def test_blocks_alone(loss, found, errors):
    distances = []
    for name in ERRORS:
        for matrix in MATRICES:
            first, second = differences(loss, only(errors[name], matrix))
            cost = found.errors[name]
            assert cost.each_first[matrix].value[LAYER] == pytest.approx(first, rel=1e-4, abs=1e-8)
            guess = cost.each_second[matrix]
            distances.append((guess.value[LAYER] - second / 2) / guess.standard_error[LAYER])
    assert np.abs(distances).max() < 4


def test_the_size_at_which_the_quadratic_model_is_meant_is_said(found):
    assert found.errors["shift"].meant
    shift = found.errors["shift"]
    assert shift.predicted.value == pytest.approx(shift.measured.value, rel=0.05, abs=1e-6)
    plain = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert plain["errors"]["shift"]["quadratic_model_meant"] is True
    assert plain["errors"]["sign"]["relative_norm"] > 0.3
    assert np.shape(plain["errors"]["sign"]["resolved"]["q_proj"]["second"]) == (MINUTE.layers,)


def test_random_errors_and_single_probes_are_refused(minute, minute_text):
    # One in a million flips shows in no sample of weights, and is drawn all the same.
    for flips in (SignFlip(0.1), SignFlip(1e-6), Compose(SignFlip(1e-6), Scale(2.0))):
        with pytest.raises(InvalidInput, match="deterministic errors"):
            measure.error_response(minute, minute_text[1], {"flip": flips})
    assert all(map(is_deterministic, (SignFlip(0.0), SignFlip(1.0), *ERRORS.values())))
    with pytest.raises(InvalidInput, match="probes >= 2"):
        measure.error_response(minute, minute_text[1], probes=1)
    assert measure.MEASUREMENTS["error-response"].passes(
        windows=4, window=1024, errors=dict.fromkeys("ab"), probes=3
    ) == 2 * 2 * (5 + 3 * 8)


def test_a_kind_of_matrix_is_the_sum_of_its_layers(found):
    for cost in found.errors.values():
        for each, whole in ((cost.each_first, cost.matrix_first), (cost.each_second, cost.matrix_second)):
            for name, layers in each.items():
                assert whole[name].value == pytest.approx(np.sum(layers.value), rel=1e-9, abs=1e-12)
                # One window's layers go together: their errors do not add in squares.
                assert whole[name].standard_error <= np.sum(layers.standard_error) * (1 + 1e-9)
    assert any("by matrix" in line for line in found.summary())
