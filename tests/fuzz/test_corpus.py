"""Every kept input is answered, or refused with a reason."""

import subprocess
import sys

import pytest

from tests.fuzz import files
from tests.fuzz.calls import TARGETS as OVER_SERVICES
from tests.fuzz.run import check
from tests.fuzz.target import corpus
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("target", files.TARGETS, ids=lambda target: target.name)
def test_kept_inputs_are_read_or_refused(target, tmp_path):
    with target.opened(tmp_path) as run:
        for path in corpus(target.name):
            check(run, path.read_bytes())


# The engine opens one path in a process, and the other tests have theirs.
@pytest.mark.parametrize("target", OVER_SERVICES, ids=lambda target: target.name)
def test_services_answer_kept_inputs_or_refuse_them(target, tmp_path):
    command = [sys.executable, "-m", "tests.fuzz.replay", target.name, str(tmp_path)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr[-2000:]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_target_has_kept_inputs(target):
    assert corpus(target.name)
