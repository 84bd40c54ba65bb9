"""A process is killed while it trains a model, or while it writes a snapshot."""

import random
import shutil
import signal
import threading
import time
from contextlib import suppress

import grpc
import pytest

from services.cli import importing
from services.cli.kinds import KINDS
from services.cli.session import run_pipeline
from services.common import operations
from services.consumer.sync import Consumer
from tests import marked_history
from tests.e2e.conftest import Services
from tests.faults.world import CALL_S, acknowledged
from tests.marked_history import SELDOM
from zhengming.reputation.v1 import feed_pb2
from zhengming.scoring.v1 import scoring_pb2

DAY_S = 86_400
KILLS = 3


@pytest.fixture
def services(tmp_path):
    marked_history.write(tmp_path / "marks.csv", time.time_ns() // 1_000_000)
    running = Services(
        f"chdb:{tmp_path / 'store'}", tmp_path, ZHENGMING_SNAPSHOTS=str(tmp_path / "snapshots")
    )
    for line, table in importing.read_tables(tmp_path / "marks.csv"):
        KINDS["marks"](running.stubs, tmp_path, line, table, {}, importing.Tally())
    run_pipeline(running.stubs, None, lambda step: None)
    yield running
    if running.process.poll() is None:
        running.end(signal.SIGTERM)


def killed_within(services, call, seconds, chance):
    """Begin a call, kill the process at a random moment after, and begin it anew."""

    def made():
        # The latter of a channel that was closed meanwhile.
        with suppress(grpc.RpcError, ValueError):
            call()

    thread = threading.Thread(target=made)
    thread.start()
    threading.Event().wait(chance.uniform(0, seconds))
    services.end(signal.SIGKILL)
    thread.join()
    services.start()


def begin_training(services):
    request = scoring_pb2.TrainModelRequest(name="risk", horizon_days=30)
    request.as_of_time.FromSeconds(int(time.time()) - 30 * DAY_S)
    return services.stubs.scoring.TrainModel(request, timeout=CALL_S)


def models(services):
    request = scoring_pb2.ListModelsRequest(name="risk")
    return services.stubs.scoring.ListModels(request, timeout=CALL_S).models


@pytest.mark.timeout(300)
def test_a_training_that_is_killed_changes_no_model(services):
    chance = random.Random()
    before = [model.version for model in models(services) if model.active]
    for _ in range(KILLS):
        killed_within(services, lambda: begin_training(services), 3.0, chance)
        assert [model.version for model in models(services) if model.active] == before

    learned = scoring_pb2.Model()
    operations.wait(services.stubs.operations, begin_training(services), learned)

    assert learned.version in [model.version for model in models(services)]
    run_pipeline(services.stubs, None, lambda step: None)


@pytest.mark.timeout(300)
def test_a_snapshot_that_is_killed_is_written_anew(services, tmp_path):
    chance = random.Random()
    before, _ = Consumer(services.channel, tmp_path / "before").catch_up()
    shutil.rmtree(tmp_path / "snapshots")
    for _ in range(KILLS):
        killed_within(
            services,
            lambda: services.stubs.feed.GetSnapshot(feed_pb2.GetSnapshotRequest(), timeout=CALL_S),
            0.05,
            chance,
        )

    copy, _ = acknowledged(lambda: Consumer(services.channel, tmp_path / "copy").catch_up())

    assert len(copy.rows) >= SELDOM
    assert copy.rows.tobytes() == before.rows.tobytes()
