"""The check of a clean checkout leaves nothing behind where it fails."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci" / "run"


@pytest.mark.skipif(not SCRIPT.exists(), reason="only a checkout has it")
@pytest.mark.parametrize("pip", ["exit 3", "kill -INT $PPID; sleep 1"])
def test_a_failed_installation_leaves_nothing(tmp_path, pip):
    part = SCRIPT.read_text().partition("as a stranger installs it")[2]
    (tmp_path / "run").write_text(f'echo "{part}')
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    fake = tmp_path / ".venv" / "bin" / "pip"
    fake.write_text(f"#!/bin/sh\n{pip}\n")
    fake.chmod(0o755)
    (tmp_path / "temporary").mkdir()
    before = sorted(tmp_path.rglob("*"))
    environment = {**os.environ, "TMPDIR": str(tmp_path / "temporary")}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "run"], cwd=tmp_path, env=environment, capture_output=True, check=False
    )
    assert done.returncode != 0
    assert sorted(tmp_path.rglob("*")) == before
