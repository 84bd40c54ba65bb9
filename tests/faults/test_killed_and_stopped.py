"""Every service is killed and stopped at random moments, while marks and disputes come in."""

import os
import random
import signal
import threading

import pytest

from services.common.store import open_store
from services.configuration import NAMES
from tests.e2e.test_services_apart import Apart, Called
from tests.faults.world import Sender, check_all

ROUNDS = int(os.environ.get("ZHENGMING_FAULT_ROUNDS", "1"))
"""How often each fault comes to each service: five times with ZHENGMING_FAULT_ROUNDS=5."""
SEED = int(os.environ.get("ZHENGMING_FAULT_SEED", "0")) or random.randrange(1, 1 << 31)
LONGER_THAN_A_LEASE_S = 4.0


@pytest.fixture
def apart(server, tmp_path):
    running = Apart(server.url("killed"), tmp_path)
    for name in NAMES:
        running.start(name)
    yield running
    for name, process in running.processes.items():
        process.send_signal(signal.SIGCONT)
        if process.poll() is None:
            running.end(name, signal.SIGKILL)


@pytest.mark.timeout(400 + 300 * ROUNDS)
def test_whatever_dies_or_hangs_nothing_acknowledged_is_lost_or_doubled(apart, server, tmp_path):
    print(f"ZHENGMING_FAULT_SEED={SEED}")
    chance, pause = random.Random(SEED), threading.Event()
    called = {name: Called(apart.addresses[name]) for name in NAMES}
    stubs = {name: called[name].stubs for name in NAMES}
    faults = [
        (name, fault) for name in NAMES for fault in (signal.SIGKILL, signal.SIGSTOP)
    ] * ROUNDS
    chance.shuffle(faults)

    with Sender(
        SEED, lambda: stubs["ingest"].ingest, lambda: stubs["arbitration"].disputes
    ) as sender:
        sender.wait_for(20)
        for name, fault in faults:
            print(f"{fault.name} {name}")
            apart.processes[name].send_signal(fault)
            if fault is signal.SIGKILL:
                apart.processes[name].wait()
                pause.wait(chance.random())
                apart.start(name)
            else:
                pause.wait(chance.choice((0.5, LONGER_THAN_A_LEASE_S)))
                apart.processes[name].send_signal(signal.SIGCONT)
            pause.wait(2 * chance.random())  # the next one may come before this one is mended
        sender.wait_for(20)

    store = open_store(server.url("killed"))
    check_all(store, sender, stubs, called["reputation"].channel, tmp_path / "copy")
    assert all(process.poll() is None for process in apart.processes.values())
    store.close()
    for one in called.values():
        one.channel.close()
