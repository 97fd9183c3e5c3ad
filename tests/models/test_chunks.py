"""How much exists together: what a CPU's caches reward; elsewhere what the device's memory holds."""

import dataclasses

import jax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import HUB

from signmag_jax.evidence.compiling import compiling_for
from signmag_jax.models import chunks
from signmag_jax.models.chunks import UNTOLD, numbers_at_once, rows_at_once, windows_at_once

LLAMA = dataclasses.replace(HUB, vocabulary=64, intermediate=64, layers=2, positions=4096, tied=True)


@dataclasses.dataclass
class Device:
    """One that has so many bytes, of which some are taken."""

    limit: int | None
    taken: int = 0

    def memory_stats(self):
        return None if self.limit is None else {"bytes_limit": self.limit, "bytes_in_use": self.taken}


@pytest.mark.parametrize("target", ["gpu", "tpu"])
@given(rows=st.integers(1, 1024), numbers=st.integers(1, 2**34))
def test_an_accelerator_fills_its_bound(target, rows, numbers):
    with compiling_for("cpu"):
        assert rows_at_once(rows, numbers) == rows
    with compiling_for(target):
        together = rows_at_once(rows, numbers)
    assert together % rows == 0
    assert together == rows or together * numbers <= UNTOLD
    assert (together + rows) * numbers > UNTOLD


def test_the_bound_follows_from_the_devices_memory():
    assert numbers_at_once(Device(16 * 2**30)) == 2**28  # a TPU v5e: 1 of its 16 GiB
    assert (
        numbers_at_once(Device(int(0.75 * 139 * 2**30))) == 2**30
    )  # an H200, of which JAX takes three quarters
    assert numbers_at_once(Device(None)) == numbers_at_once(None) == UNTOLD


@given(limit=st.integers(2**30, 2**40), taken=st.integers(0, 2**30))
def test_an_intermediate_array_takes_between_a_32nd_and_a_16th(limit, taken):
    numbers = numbers_at_once(Device(limit))
    assert limit / 32 < 4 * numbers <= limit / 16
    assert numbers_at_once(Device(limit, taken)) == numbers  # or a second call would split its work otherwise


@pytest.mark.parametrize("target", ["gpu", "tpu"])
def test_windows_of_a_measurement_go_together_where_they_fit(target, monkeypatch):
    with compiling_for("cpu"):
        assert windows_at_once(LLAMA, 64, 3) == 3
    with compiling_for(target):
        few = windows_at_once(LLAMA, 64, 3)
        assert windows_at_once(LLAMA, 128, 3) == few // 2
        # A device of this platform, were this process to have one.
        monkeypatch.setattr(jax, "default_backend", lambda: target)
        monkeypatch.setattr(chunks.jax, "local_devices", lambda: [Device(64 * 2**30)])
        assert few * 4 <= windows_at_once(LLAMA, 64, 3) < (few + 1) * 4
        monkeypatch.setattr(chunks.jax, "local_devices", lambda: [Device(2**20)])
        assert windows_at_once(LLAMA, 4096, 3) == 1
