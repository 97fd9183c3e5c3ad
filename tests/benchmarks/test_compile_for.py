"""Compiled for accelerators on a machine without: all programs compile, into no more kernels than before."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RESULTS = {
    target: json.loads((BENCHMARKS / "results" / f"compile_for_{target}.json").read_text())["programs"]
    for target in ("tpu", "h200")
}
# Two minutes of a core: the fast estimator, small programs, a pass through the model, its quantisers.
CHOSEN = (
    "block_fast",
    "single_flip",
    "column_pool",
    "flips of 512 tokens on 1x1",
    "quantisers of 512 tokens on 1x1",
)


@pytest.fixture
def compile_for(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr(sys, "argv", ["compile_for.py"])
    import compile_for

    return compile_for


def test_what_the_compiler_made_is_counted(compile_for):
    two = compile_for.compiled(lambda: jax.jit(lambda x: jnp.sort(x @ x)).lower(jnp.ones((4, 4))))
    assert two["error"] is None
    assert two["kernels"] >= 2
    one = compile_for.compiled(lambda: jax.jit(lambda x: x @ x).lower(jnp.ones((4, 4))))
    assert 1 <= one["kernels"] < two["kernels"]


def test_a_loops_body_is_counted_once_and_a_kernels_parts_are_not(compile_for):
    product = lambda x: jnp.tanh(jnp.sort(x @ x) + 1) * 2  # noqa: E731
    many = jnp.ones((3, 4, 4))
    once = compile_for.compiled(lambda: jax.jit(product).lower(many[0]))
    looped = compile_for.compiled(lambda: jax.jit(lambda x: jax.lax.map(product, x)).lower(many))
    assert (once["loops"], looped["loops"]) == (0, 1)
    assert once["kernels"] <= looped["kernels"] < 2 * once["kernels"] + 4  # slices in and out of the loop


def test_a_program_that_does_not_compile_is_an_error(compile_for):
    def broken():
        raise ValueError("no such program")

    assert compile_for.compiled(broken)["error"] == "ValueError: no such program"


@pytest.mark.parametrize("results", RESULTS.values(), ids=RESULTS)
def test_the_results_hold_what_is_compared(results):
    assert set(CHOSEN) <= set(results)
    assert all(one["error"] is None and one["kernels"] > 0 for one in results.values())


def compiled_anew(target, folder=""):
    path = os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH", ""))))
    command = [sys.executable, str(BENCHMARKS / "compile_for.py"), target, *CHOSEN]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, text=True)
    return done.returncode, json.loads(done.stdout)["programs"]


def check(target, status, programs):
    assert set(CHOSEN) <= set(programs)
    wrong = {
        name: found
        for name, found in programs.items()
        if found["error"] or found["kernels"] > 2 * RESULTS[target][name]["kernels"]
    }
    assert wrong == {}
    assert status == 0


@pytest.mark.slow
def test_every_kind_of_program_compiles_for_a_tpu():
    """Where `libtpu` is: in this environment, or in the folder that LIBTPU_FOLDER names."""
    folder = os.environ.get("LIBTPU_FOLDER", "")
    if not folder and importlib.util.find_spec("libtpu") is None:
        pytest.skip("libtpu, the compiler of TPUs, is not installed: pip install --target FOLDER libtpu")
    check("tpu", *compiled_anew("tpu", folder))


@pytest.mark.slow
def test_every_kind_of_program_compiles_for_an_h200():
    if importlib.util.find_spec("jax_cuda13_plugin") is None:
        pytest.skip("the compiler of NVIDIA's cards is not installed: pip install 'jax[cuda13]'")
    check("h200", *compiled_anew("h200"))
