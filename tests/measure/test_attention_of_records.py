"""Records of half precision on a card name what attention was made of."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest
from conftest import build
from small_models import TINY

from signmag_jax.evidence import InvalidInput
from signmag_jax.evidence.compiling import compiling_for
from signmag_jax.measure.setup import prepare
from signmag_jax.models import attention_kernel

WINDOWS = np.arange(8 * 12).reshape(8, 12) % TINY.vocabulary
ABSENT = "the kernel does not run here (Missing: libcudnn)"


@pytest.fixture
def opened(monkeypatch, tmp_path):
    """Opens the records of a measurement on a card whose kernel has that fault."""

    def open_records(model, fault, target="gpu"):
        monkeypatch.setattr(attention_kernel, "fault", lambda *_: fault)
        with compiling_for(target):
            prepare(model, None, WINDOWS, {"experiment": "any"}, resume=tmp_path)
        return json.loads((tmp_path / "configuration.json").read_text())["configuration"]

    return open_records


def test_records_of_the_kernel_are_refused_to_spans(opened):
    half = build(dtype=jnp.bfloat16)
    assert opened(half, "")["attention"] == attention_kernel.ONE_KERNEL
    assert opened(half, "")["attention"] == attention_kernel.ONE_KERNEL
    with pytest.raises(InvalidInput, match="different: attention"):
        opened(half, ABSENT)


@pytest.mark.parametrize(
    ("dtype", "sliding"), [(jnp.float32, None), (jnp.bfloat16, (4, None, None))], ids=["float32", "a window"]
)
def test_where_the_kernel_is_never_taken_its_fault_is_no_other_run(dtype, sliding, opened):
    model = build(config=dataclasses.replace(TINY, sliding=sliding), dtype=dtype)
    assert opened(model, "") == opened(model, ABSENT)
    assert opened(model, "")["attention"] == attention_kernel.SPANS


def test_two_reasons_for_spans_are_the_same_run(opened):
    half = build(dtype=jnp.bfloat16)
    assert opened(half, ABSENT) == opened(half, "the kernel is off by 0.5 of the largest number")


def test_a_processor_has_one_attention(opened):
    assert "attention" not in opened(build(dtype=jnp.bfloat16), "", target="cpu")
