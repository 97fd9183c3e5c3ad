"""Every experiment by name: the same bits from any number of devices, and when killed and resumed."""

import json
import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
import quick

from signmag_jax import simulate
from signmag_jax.simulate.crossing_network import CrossingSample

# Two networks a block, so that few of them are many blocks: eight devices have one and a half each.
RUN = """
import json, sys
from signmag_jax import simulate
from signmag_jax.simulate import batch
batch.CPU_BLOCK_RANGE = (2, 2)
names, folder = sys.argv[1].split(","), sys.argv[2]
sizes = json.loads(sys.argv[3])
def numbers(plain):
    if not isinstance(plain, dict):
        return []
    if "standard_error" in plain:
        return [plain["value"], plain["standard_error"], plain["n"]]
    return [numbers(value) for value in plain.values()]
for name in names:
    entry = simulate.experiment(name)
    own = {key: value for key, value in sizes.items() if key in entry.arguments}
    if "hidden" not in entry.defaults:
        own.pop("hidden", None)
    found = entry(**own, resume=f"{folder}/{name}" if folder else None)
    print(json.dumps([name, numbers(found.to_json())]), flush=True)
"""
NETWORKS = 23
SMALL = {"width": 128, "rate": [0.05, 0.1], "depth": 2, "inputs": 32, "networks": NETWORKS, "seed": 7}
SMALL |= {"alpha": 0.3, "hidden": 96}
WIDE = {"width": 512, "rate": [0.01, 0.05], "inputs": 64, "networks": NETWORKS, "seed": 7}


def start(devices, names, folder="", sizes=SMALL):
    environment = dict(os.environ, XLA_FLAGS=quick.devices(devices))
    command = [sys.executable, "-c", RUN, ",".join(names), str(folder), json.dumps(sizes)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def finish(process):
    text, _ = process.communicate(timeout=580)
    assert process.returncode == 0
    return dict(map(json.loads, text.splitlines()))


@pytest.fixture(scope="module")
def one_device():
    return finish(start(1, simulate.EXPERIMENTS))


@pytest.fixture(scope="module", params=[2, 4, 8])
def several(request):
    return finish(start(request.param, simulate.EXPERIMENTS))


@pytest.mark.slow
@pytest.mark.parametrize("name", simulate.EXPERIMENTS)
def test_devices_change_no_bit(one_device, several, name):
    assert several[name] == one_device[name]
    assert len(one_device[name]) >= 3


def killed(name, folder, sizes=SMALL):
    """SIGKILL after the first record; what it leaves, of which one record is torn."""
    process = start(1, [name], folder, sizes)
    deadline = time.monotonic() + 300
    place = folder / name
    while not list(place.glob("record-*.json")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = sorted(place.glob("record-*.json"))
    assert kept
    torn = kept[0]
    whole = torn.read_bytes()
    torn.write_bytes(whole[: len(whole) // 2])
    return torn, whole


@pytest.mark.slow
@pytest.mark.parametrize("name", simulate.EXPERIMENTS)
def test_killed_with_a_torn_record_and_resumed_on_other_devices(one_device, tmp_path, name):
    torn, whole = killed(name, tmp_path)
    assert finish(start(4, [name], tmp_path))[name] == one_device[name]
    assert torn.read_bytes() == whole  # redone, to the last bit
    assert len(list(torn.parent.glob("record-*.json"))) == -(-NETWORKS // 2)


@pytest.mark.slow
def test_the_fast_estimator_at_full_width(tmp_path):
    """Its default share of roulette, all of whose networks are drawn on different devices."""
    names = ["block_fast"]
    alone = finish(start(1, names, sizes=WIDE))
    for devices in (2, 4, 8):
        assert finish(start(devices, names, sizes=WIDE)) == alone
    killed(names[0], tmp_path, WIDE)
    assert finish(start(8, names, tmp_path, WIDE)) == alone
    assert finish(start(8, names, sizes=WIDE | {"seed": 8})) != alone


@pytest.mark.slow
def test_a_vmap_over_networks_would_change_bits_of_the_fast_estimator():
    """Control: one vmapped network is not one of four, and `lax.map` is what mends it."""
    sample = CrossingSample(512, 64, 64, 64, 1.0, "realised", "float32")
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        rates = jax.numpy.array([0.01, 0.05])
        keys = jax.random.split(jax.random.key(0), 4)

        def first(through, count):
            found = jax.jit(lambda k: through(lambda key: sample(rates, key), k))(keys[:count])
            return np.concatenate([np.ravel(leaf[0]) for leaf in found.values()])

        def vmap(function, k):
            return jax.vmap(function)(k)

        assert not np.array_equal(first(vmap, 1), first(vmap, 4))
        assert np.array_equal(first(jax.lax.map, 2), first(jax.lax.map, 4))
