"""Processes on this machine that JAX connects by its own variables."""

import concurrent.futures
import os
import socket
import subprocess

import quick

LONGEST = 900


def connected(commands, devices, folders=None, **more):
    """What each process writes to standard output; all are ended as soon as one fails."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{one.getsockname()[1]}"
    shared = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": str(len(commands))}
    shared["XLA_FLAGS"] = quick.devices(devices)
    started = [
        subprocess.Popen(
            command,
            env={**os.environ, **shared, **more, "JAX_PROCESS_ID": str(index)},
            cwd=None if folders is None else folders[index],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index, command in enumerate(commands)
    ]
    with concurrent.futures.ThreadPoolExecutor(len(started)) as pool:
        said = {pool.submit(process.communicate, timeout=LONGEST): process for process in started}
        for done in concurrent.futures.as_completed(said):
            if done.exception() or said[done].returncode:
                for process in started:
                    process.kill()
                assert not done.exception(), done.exception()
                raise AssertionError(done.result()[1])
    return [done.result()[0] for done in said]
