"""What an import loads: no room waits for libraries that few of its functions need, or starts a device.

Counted in modules: seconds would measure the machine. No platform has the name that these processes are
given, so that whoever asks JAX for a device ends in an error.
"""

import json
import os
import subprocess
import sys

import pytest

HEAVY = {
    "scipy",
    "sympy",
    "matplotlib",
    "transformers",
    "tokenizers",
    "gguf",
    "jsonschema",
    "jinja2",
    "torch",
}
LOADED = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def executed(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"JAX_PLATFORMS": "nowhere"},
        check=False,
    )


def loaded(*names):
    done = executed(LOADED, *names)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("rooms", "others"),
    [
        # Laws are arrays in and arrays out: they need neither a network's library nor a model's.
        (("theory", "simulate"), {"flax", "optax"}),
        (("measure", "models", "perturb", "frechet", "export"), {"flint"}),
    ],
)
def test_a_room_loads_what_all_of_it_needs_and_starts_no_device(rooms, others):
    found = loaded(*(f"signmag_jax.{room}" for room in rooms))
    assert not found & (HEAVY | others)
    assert "jax" in found


def test_reading_a_ledger_needs_no_jax_and_a_dry_run_no_proofs():
    assert not loaded("signmag_jax.claims") & {"jax", *HEAVY}
    assert not loaded("signmag_jax.claims.run") & HEAVY


def test_whoever_asks_for_a_device_would_be_seen():
    """Control of all of the above."""
    done = executed("import jax.numpy as jnp; jnp.zeros(1)")
    assert done.returncode != 0
    assert "nowhere" in done.stderr
