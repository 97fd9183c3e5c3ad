"""Memory of loading and reading a checkpoint of TinyLlama's own shape, in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import benchmark_scripts
import pytest

SCRIPT = Path(__file__).with_name("memory_of.py")
GIB = 2**30


def measured(folder, dtype, window):
    done = subprocess.run(
        [sys.executable, SCRIPT, folder, dtype, str(window)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def tinyllama(tmp_path_factory):
    """2.2 GB on disk, removed again."""
    folder = tmp_path_factory.mktemp("tinyllama") / "model"
    bigger = benchmark_scripts.imported("bigger_models")
    bigger.write(folder, bigger.TINYLLAMA)
    yield folder
    for file in folder.iterdir():
        file.unlink()


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "itemsize"), [("bfloat16", 2), ("float32", 4)])
def test_a_checkpoint_of_tinyllamas_shape_loads_lean_and_is_read_within_10_gib(tinyllama, dtype, itemsize):
    found = measured(tinyllama, dtype, 512)
    print(json.dumps(found))
    assert found["parameters"] == 1_100_048_384
    assert found["weights"] == itemsize * found["parameters"]
    assert found["dtypes"] == {"BF16": 201}
    assert found["files"] == 23
    # The measurement sees a copy of half the weights, and the weights themselves.
    assert found["ballast"] > 0.49 * found["weights"]
    assert found["weights"] < found["loading"] < 1.3 * found["weights"]
    assert found["reading"] < 10 * GIB
    # Random tokens under random weights: no better than chance, ln 32000 = 10.37, by little.
    assert 10 < found["loss"] < 12
