"""The same bits from any number of devices and shares, under any flags, and across interruptions."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
import quick

from signmag_jax.evidence.files import sha256_of_json
from signmag_jax.simulate import pairs
from signmag_jax.simulate.block_network import BlockSample

# Nine blocks of networks, and a target that is met inside one of them.
RUN = """
import json, sys
import jax
from signmag_jax import simulate
folder, flags, share = sys.argv[1] or None, sys.argv[2], sys.argv[3]
if flags == "other":
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_default_prng_impl", "rbg")
def block(**target):
    share_of_it = simulate.parse_share(share) if share else None
    try:
        found = simulate.block(
            512, [0.01, 0.05], inputs=64, seed=3, resume=folder, share=share_of_it, **target
        )
    except simulate.ShareDone as done:
        return done.to_json()
    kept = (found.transverse_ratio, found.transverse_ratio_of_means, found.first.energy)
    return [found.networks, *([e.value.tolist(), e.standard_error.tolist()] for e in kept)]
print(json.dumps([block(standard_error=0.0085), block(networks=100)]))
"""
BLOCKS = 9


def start(devices: int, folder: str = "", flags: str = "", share: str = "") -> subprocess.Popen:
    environment = dict(os.environ, XLA_FLAGS=quick.devices(devices))
    return subprocess.Popen(
        [sys.executable, "-c", RUN, folder, flags, share], env=environment, stdout=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen) -> str:
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    return text


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return tmp_path_factory.mktemp("records") / "run"


@pytest.fixture(scope="module")
def one_device(records) -> str:
    return finish(start(1, str(records)))


def test_the_target_is_met_inside_a_block(one_device, records):
    """Or the comparisons below would not see which networks a run discards."""
    by_error, by_count = json.loads(one_device)
    assert 32 < by_error[0] < 90
    assert by_count[0] == 100
    sizes = [len(json.loads(path.read_text())["payload"]) for path in records.glob("record-*.json")]
    assert len(sizes) == BLOCKS
    assert by_error[0] % max(sizes) != 0


def test_eight_devices_and_other_flags_change_no_bit(one_device):
    assert finish(start(8, flags="other")) == one_device


@pytest.mark.slow
@pytest.mark.parametrize("flags", ["", "other"])
@pytest.mark.parametrize("devices", [1, 2, 4, 8])
def test_devices_and_shares_change_no_bit(one_device, tmp_path, devices, flags):
    assert finish(start(devices, flags=flags)) == one_device
    folder = str(tmp_path / "run")
    for running in [start(devices, folder, flags, f"{index}/2") for index in range(2)]:
        finish(running)
    assert finish(start(1, folder)) == one_device


@pytest.mark.slow  # four processes: within one, `test_share` starts a share again
def test_a_share_killed_and_started_again_on_other_devices(one_device, tmp_path):
    """Beside another that runs on; the last run has the bits of one process."""
    folder = tmp_path / "run"
    other = start(2, str(folder), share="1/2")
    process = start(1, str(folder), share="0/2")
    deadline = time.monotonic() + 200
    while not (folder / "record-00000000.json").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    torn = folder / "record-00000000.json"
    whole = torn.read_bytes()
    torn.write_bytes(whole[:-40])
    finish(other)
    done = [block["done"] for block in json.loads(finish(start(2, str(folder), share="0/2")))]
    assert done[1] == list(range(0, BLOCKS, 2))
    assert torn.read_bytes() == whole  # redone, to the last bit
    assert finish(start(1, str(folder))) == one_device


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_killed_at_random_moments_and_resumed_by_any_number(one_device, tmp_path, seed):
    """SIGKILL for all processes, at moments from before the first record to after the last."""
    rng = random.Random(seed)
    folder = str(tmp_path / "run")
    for _ in range(4):
        devices = rng.choice([1, 2, 4, 8])
        shares = rng.choice([[""], ["0/2", "1/2"]])
        running = [start(devices, folder, share=share) for share in shares]
        time.sleep(rng.uniform(2.0, 20.0))
        for process in rng.sample(running, len(running)):
            process.send_signal(signal.SIGKILL)
            process.communicate()
    assert finish(start(2, folder)) == one_device
    # What a kill leaves beside the records is no record.
    assert finish(start(8, folder)) == one_device


def test_a_changed_record_changes_the_result(one_device, records, tmp_path):
    """Control: the resumed run really reads its records, so the comparisons above can fail."""
    folder = shutil.copytree(records, tmp_path / "run")
    path = folder / "record-00000000.json"
    record = json.loads(path.read_text())
    record["payload"][0]["ratio"][0] += 1e-3
    del record["sha256"]
    path.write_text(json.dumps(record | {"sha256": sha256_of_json(record)}))
    assert finish(start(1, str(folder))) != one_device


@pytest.mark.slow
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
