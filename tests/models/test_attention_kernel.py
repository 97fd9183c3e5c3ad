"""When attention is one kernel of cuDNN, and that a kernel which errs is not used."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec

from signmag_jax.evidence.compiling import compiling_for
from signmag_jax.models import attention, attention_kernel
from signmag_jax.models.attention_kernel import fault, has_kernel, taken

SHAPE, KV_HEADS = (2, 24, 4, 8), 2


def _definition(q, k, v, causal=True, scale=1.0, group=jnp.repeat):
    """What the kernel computes."""
    q, k, v = (x.astype(jnp.float32) for x in (q * jnp.asarray(scale, q.dtype), k, v))
    k, v = (group(x, q.shape[2] // KV_HEADS, 2) for x in (k, v))
    scores = jnp.einsum("bqhd,bshd->bhqs", q, k) * q.shape[3] ** -0.5
    scores = jnp.where(np.tri(q.shape[1], dtype=bool) | (not causal), scores, -jnp.inf)
    mixed = jnp.einsum("bhqs,bshd->bqhd", jax.nn.softmax(scores), v)
    return mixed.reshape(*q.shape[:2], -1)


WRONG = {
    "sees later tokens": lambda q, k, v: _definition(q, k, v, causal=False),
    "another scale": lambda q, k, v: _definition(q, k, v, scale=0.875),
    "another head's keys": lambda q, k, v: _definition(
        q, k, v, group=lambda x, times, axis: jnp.concatenate([x] * times, axis)
    ),
    "another window": lambda q, k, v: _definition(q, k, v)[::-1],
    "not a number": lambda q, k, v: _definition(q, k, v).at[0, -1, 3].set(jnp.nan),
}


def _fault(dtype="bfloat16", described=False):
    return fault.__wrapped__(SHAPE, KV_HEADS, jnp.dtype(dtype), described)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_kernel_that_gives_the_definition_is_proven_while_a_program_is_traced(dtype, monkeypatch):
    monkeypatch.setattr(attention_kernel, "one_kernel", _definition)
    found = []
    jax.eval_shape(lambda x: found.append(_fault(dtype)) or x, 1.0)
    assert found == [""]


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_kernel_that_errs_is_not(wrong, monkeypatch):
    monkeypatch.setattr(attention_kernel, "one_kernel", wrong)
    assert _fault().startswith("the kernel is off by ")  # it ran, and was found wrong


def test_where_there_is_no_such_library_nothing_is_proven():
    assert _fault().startswith("the kernel does not run here (")  # a CPU


SUITABLE = {"target": "gpu", "dtype": "bfloat16", "features": 64, "window": None, "fault": ""}


@pytest.mark.parametrize(
    ("other", "used"),
    [
        ({}, True),
        ({"dtype": "float16", "features": 128}, True),
        ({"target": "tpu"}, False),
        ({"target": "cpu"}, False),
        ({"dtype": "float32"}, False),
        ({"features": 60}, False),
        ({"features": 136}, False),
        ({"window": jnp.int32(4)}, False),
        ({"fault": "it errs"}, False),
    ],
)
def test_the_rule(other, used, monkeypatch):
    case = SUITABLE | other
    monkeypatch.setattr(attention_kernel, "fault", lambda *_: case["fault"])
    monkeypatch.setattr(attention_kernel, "_taken", {})
    queries, keys = (jnp.zeros((2, 24, heads, case["features"]), case["dtype"]) for heads in (4, KV_HEADS))
    with compiling_for(case["target"]):
        assert has_kernel(queries, keys, case["window"]) is used
    spans = "spans of queries: it errs" if case["fault"] else "spans of queries"
    of = f"{case['dtype']}, 2 x 24 tokens, 4 heads of {case['features']}"
    assert taken() == {of: "one kernel of cuDNN" if used else spans}


@pytest.mark.parametrize("devices", [1, 2])
def test_no_kernel_over_several_devices(devices, monkeypatch):
    monkeypatch.setattr(attention_kernel, "fault", lambda *_: "")
    mesh = AbstractMesh((devices,), ("data",), axis_types=(AxisType.Auto,))
    queries = jax.ShapeDtypeStruct(SHAPE, jnp.bfloat16, sharding=NamedSharding(mesh, PartitionSpec("data")))
    found = []
    with compiling_for("gpu"):
        jax.jit(lambda x: found.append(has_kernel(x, x, None)) or x).trace(queries)
    assert found == [devices == 1]


def test_a_pass_takes_the_kernel_and_derivatives_do_not(monkeypatch):
    taken = []
    monkeypatch.setattr(attention, "has_kernel", lambda *_: True)
    monkeypatch.setattr(attention, "one_kernel", lambda q, k, v: taken.append(1) or _definition(q, k, v))
    rng = np.random.default_rng(3)
    shapes = [(1, 8, heads, 8) for heads in (4, KV_HEADS, KV_HEADS)]
    q, k, v = (jnp.asarray(rng.standard_normal(shape, np.float32)) for shape in shapes)

    def loss(q):
        return jnp.sum(jnp.square(attention.causal_attention(q, k, v)))

    with compiling_for("gpu"):
        value = jax.jit(loss)(q)
        assert len(taken) == 1
        again, slope = jax.jit(lambda q: jax.jvp(jax.value_and_grad(loss), (q,), (q,))[0])(q)
        assert len(taken) == 1
    np.testing.assert_allclose(again, value, rtol=1e-5)
    assert np.abs(slope).max() > 0
