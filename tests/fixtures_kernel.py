"""The theory with a wrong kernel: what rests on it must be seen to fail."""

import importlib
import pkgutil

import jax
import pytest

from signmag_jax import theory
from signmag_jax.theory import kernel


@pytest.fixture
def wrong_kernel(monkeypatch):
    """The theory with a kernel whose gap to the linear part is five times too large."""
    names = ("gap", "sine_minus_angle_cosine", "cubic_factor")
    originals = {getattr(kernel, name): name for name in names}
    modules = [
        importlib.import_module(f"signmag_jax.theory.{found.name}")
        for found in pkgutil.iter_modules(theory.__path__)
    ]
    patched = 0
    for module in modules:
        for original, name in originals.items():
            if getattr(module, name, None) is original:
                monkeypatch.setattr(module, name, lambda *args, f=original: 5 * f(*args))
                patched += 1
    # The gap of a given input, a sum over its columns, is another piece of code.
    shares = importlib.import_module("signmag_jax.theory.profile").gap_of_shares
    for module in modules:
        if getattr(module, "gap_of_shares", None) is shares:
            monkeypatch.setattr(module, "gap_of_shares", lambda *args: 5 * shares(*args))
    width = importlib.import_module("signmag_jax.theory.width")
    original = width._gap_of_angle
    monkeypatch.setattr(width, "_gap_of_angle", lambda theta: 5 * original(theta))
    # The 1/m term of the finite-width chain inverts the kernel, which a wrong one does not allow.
    chain = importlib.import_module("signmag_jax.theory.depth_width")
    monkeypatch.setattr(chain, "realised", lambda apart, m: apart)
    assert patched >= 3
    _forget(width)
    yield
    monkeypatch.undo()
    _forget(width)


def _forget(width):
    jax.clear_caches()
    for value in vars(width).values():
        if hasattr(value, "cache_clear"):
            value.cache_clear()
