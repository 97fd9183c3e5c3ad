"""Chunked causal attention against the definition written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from signmag_jax.evidence.compiling import compiling_for
from signmag_jax.models import chunks
from signmag_jax.models.attention import causal_attention


def _definition(q, k, v, window):
    """One query at a time, one head at a time, in float64."""
    q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
    batch, tokens, heads, width = q.shape
    group = heads // k.shape[2]
    out = np.zeros_like(q)
    for b, t, h in np.ndindex(batch, tokens, heads):
        first = 0 if window is None else max(0, t + 1 - window)
        scores = k[b, first : t + 1, h // group] @ q[b, t, h] / np.sqrt(width)
        weights = np.exp(scores - scores.max())
        out[b, t, h] = weights @ v[b, first : t + 1, h // group] / weights.sum()
    return out.reshape(batch, tokens, heads * width)


_attention = quick.jit(causal_attention, static_argnums=(4, 5))


def _random(tokens, heads=6, kv_heads=2, width=4):
    rng = np.random.default_rng(11)
    shapes = ((2, tokens, heads, width), (2, tokens, kv_heads, width), (2, tokens, kv_heads, width))
    return tuple(jnp.asarray(2 * rng.standard_normal(shape), jnp.float32) for shape in shapes)


@pytest.mark.parametrize(
    ("tokens", "window"), [(1, None), (16, None), (37, None), (37, 1), (37, 6), (5, 100)]
)
@pytest.mark.parametrize(("chunk", "spans"), [(5, 3), (64, 8)])
def test_every_chunking_gives_the_definition(tokens, window, chunk, spans):
    q, k, v = _random(tokens)
    limit = None if window is None else jnp.int32(window)
    ours = _attention(q, k, v, limit, chunk, spans)
    np.testing.assert_allclose(ours, _definition(q, k, v, window), atol=3e-6)


def test_large_scores_do_not_overflow():
    q, k, v = _random(9)
    out = _attention(q * 1e4, k, v, None, 4, 8)
    np.testing.assert_allclose(out, _definition(q * 1e4, k, v, None), atol=1e-5)


def test_no_query_sees_a_later_token():
    q, k, v = _random(12)
    base = _attention(q, k, v, None, 4, 2)
    changed = _attention(q, k.at[:, 7:].set(9.0), v.at[:, 7:].set(-9.0), None, 4, 2)
    assert np.array_equal(base[:, :7], changed[:, :7])
    assert not np.allclose(base[:, 7:], changed[:, 7:])


def test_gradient_equals_that_of_plain_softmax():
    q, k, v = _random(10)

    def plain(q, k, v):
        k, v = (jnp.repeat(x, 3, axis=2) for x in (k, v))
        scores = jnp.einsum("bqhd,bshd->bhqs", q, k) * 0.5
        scores = jnp.where(jnp.tril(jnp.ones((10, 10), bool))[None, None], scores, -jnp.inf)
        mixed = jnp.einsum("bhqs,bshd->bqhd", jax.nn.softmax(scores, axis=-1), v)
        return jnp.sum(jnp.sin(mixed))

    def chunked(q, k, v):
        return jnp.sum(jnp.sin(causal_attention(q, k, v, chunk=4, spans=2)))

    ours, expected = (quick.jit(jax.grad(f, (0, 1, 2)))(q, k, v) for f in (chunked, plain))
    for mine, theirs in zip(ours, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=2e-5)


@pytest.mark.parametrize("target", ["gpu", "tpu"])
def test_the_program_of_an_accelerator_does_not_grow_with_the_window(target):
    def size(tokens):
        shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in _random(tokens)]
        # A function of its own: JAX keeps what it traced by function and shape, not by platform.
        return len(str(jax.make_jaxpr(lambda *x: causal_attention(*x))(*shapes)).splitlines())

    with compiling_for(target):
        assert size(2048) == size(8192)
        assert size(1023) == size(128) < size(2048) / 3
    assert size(8192) > 3 * size(128)  # a CPU's spans


@pytest.mark.parametrize(("numbers", "window"), [(2**28, None), (2**19, 600)])
def test_the_spans_of_an_accelerator_give_what_those_of_a_cpu_give(numbers, window, monkeypatch):
    q, k, v = _random(1030)
    limit = None if window is None else jnp.int32(window)
    monkeypatch.setattr(chunks, "UNTOLD", numbers)  # chunks within a span, where memory is small
    with compiling_for("gpu"):
        ours = quick.jit(lambda q, k, v: causal_attention(q, k, v, limit))(q, k, v)
    # Scores of up to 50 are rounded by 3e-6 of a weight; values are up to 8.
    np.testing.assert_allclose(ours, _attention(q, k, v, limit, 64, 4), atol=2e-5)


@pytest.mark.parametrize("window", [None, 6])
def test_an_accelerator_gives_the_definition(window):
    q, k, v = _random(37)
    limit = None if window is None else jnp.int32(window)
    with compiling_for("gpu"):
        ours = causal_attention(q, k, v, limit)
    np.testing.assert_allclose(ours, _definition(q, k, v, window), atol=3e-6)


def test_an_accelerator_has_a_cpus_derivatives():
    q, k, v = x = _random(12)
    along = (v.repeat(3, 2), q[:, :, 2:4], k)

    def products(x, along):
        """The loss, its gradient and the Hessian times `along`."""

        def loss(x):
            return jnp.sum(jnp.sin(causal_attention(*x)))

        return loss(x), jax.jvp(jax.grad(loss), (x,), (along,))

    expected = quick.jit(lambda *x: products(*x))(x, along)
    with compiling_for("gpu"):
        ours = quick.jit(lambda *x: products(*x))(x, along)
    for mine, theirs in zip(jax.tree.leaves(ours), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5 * np.abs(theirs).max())
