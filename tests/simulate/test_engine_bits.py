"""The same bits from any number of devices, under any flags, and across interruptions."""

import json
import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from signmag_jax.evidence.files import sha256_of_json
from signmag_jax.simulate import pairs
from signmag_jax.simulate.block import BlockSample

RUN = """
import json, sys
import jax
from signmag_jax import simulate
folder, flags = sys.argv[1] or None, sys.argv[2]
if flags == "other":
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_default_prng_impl", "rbg")
found = simulate.block(512, [0.01, 0.05], inputs=64, networks=9, seed=3, resume=folder)
print(json.dumps([
    [e.value.tolist(), e.standard_error.tolist()]
    for e in (found.transverse_ratio, found.transverse_ratio_of_means, found.first.energy)
]))
"""


def start(devices: int, folder: str = "", flags: str = "") -> subprocess.Popen:
    environment = dict(os.environ, XLA_FLAGS=f"--xla_force_host_platform_device_count={devices}")
    return subprocess.Popen(
        [sys.executable, "-c", RUN, folder, flags], env=environment, stdout=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen) -> str:
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    return text


@pytest.fixture(scope="module")
def one_device() -> str:
    return finish(start(1))


@pytest.mark.parametrize(("devices", "flags"), [(2, ""), (4, "other")])
def test_devices_and_flags_change_no_bit(one_device, devices, flags):
    assert finish(start(devices, flags=flags)) == one_device


def test_killed_and_resumed_with_other_devices(one_device, tmp_path):
    folder = tmp_path / "run"
    process = start(1, str(folder))
    deadline = time.monotonic() + 200
    while not (folder / "record-00000000.json").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = {path.name: path.read_bytes() for path in folder.glob("record-*.json")}
    assert kept
    torn = folder / sorted(kept)[0]
    torn.write_bytes(kept[torn.name][:-40])
    assert finish(start(2, str(folder))) == one_device
    assert torn.read_bytes() == kept[torn.name]  # redone, to the last bit


def test_a_changed_record_changes_the_result(one_device, tmp_path):
    """Control: the resumed run really reads its records, so the comparison above can fail."""
    folder = tmp_path / "run"
    assert finish(start(1, str(folder))) == one_device
    path = folder / "record-00000000.json"
    record = json.loads(path.read_text())
    record["payload"][0]["ratio"][0] += 1e-3
    del record["sha256"]
    path.write_text(json.dumps(record | {"sha256": sha256_of_json(record)}))
    assert finish(start(1, str(folder))) != one_device


def test_a_vmap_over_networks_would_change_bits():
    """Control: why networks run through lax.map. One vmapped network is not one of four."""
    sample = BlockSample(
        512, 512, 512, 64, jax.nn.relu, "integrated", "linear", "float32", True, pairs.Matched()
    )
    rates = np.array([0.01, 0.05])
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        keys = jax.random.split(jax.random.key(0), 4)

        def first_ratio(through, count):
            program = jax.jit(lambda k: through(lambda key: sample(rates, key), k))
            return np.asarray(program(keys[:count])["ratio"][0])

        def vmap(function, k):
            return jax.vmap(function)(k)

        assert not np.array_equal(first_ratio(vmap, 1), first_ratio(vmap, 4))
        assert np.array_equal(first_ratio(jax.lax.map, 2), first_ratio(jax.lax.map, 4))
