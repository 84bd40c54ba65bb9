"""A short load scenario against real services: `make load SCENARIO=smoke`, shorter."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(600)
def test_under_load_every_answer_is_right_and_every_acknowledged_mark_is_there(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "loadtests.load", "smoke", "--minutes", "0.25", "--out", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((tmp_path / "smoke.json").read_text())
    assert summary["broken"] == []
    assert summary["marks_acknowledged"] > 500
    assert summary["GetReputation"]["calls"] > 100
    assert "<html" in (tmp_path / "smoke.html").read_text()
