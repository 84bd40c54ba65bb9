"""The store, or what keeps its replicas together, goes away and comes back."""

import os
import signal
import threading

import grpc
import pytest

from services.cli.session import run_pipeline
from services.common.store import open_store
from tests.cluster import Cluster
from tests.e2e.conftest import Services
from tests.faults.world import CALL_S, FIRST, Sender, acknowledged, check_all, one_mark, until_true
from zhengming.reputation.v1 import reputation_pb2

LEASE_S = "3"
GONE_S = 5.0
"""Longer than a lease."""


@pytest.fixture
def own_cluster():
    with Cluster(shards=1, replicas=2) as running:
        yield running


def begun(url, folder):
    return Services(url, folder, ZHENGMING_LEASE_S=LEASE_S)


def checked(services, url, sender, folder):
    store = open_store(url)
    stubs = dict.fromkeys(("reputation", "arbitration"), services.stubs)
    check_all(store, sender, stubs, services.channel, folder)
    store.close()


def sending(services, seed):
    return Sender(seed, lambda: services.stubs.ingest, lambda: services.stubs.disputes)


def lookup(services):
    request = reputation_pb2.GetReputationRequest(number=str(FIRST))
    return services.stubs.reputation.GetReputation(request, timeout=CALL_S)


def refused(services, request):
    """The status of marks that the store cannot take."""
    with pytest.raises(grpc.RpcError) as failed:
        services.stubs.ingest.SubmitMarks(request, timeout=CALL_S)
    return failed.value.code()


@pytest.mark.timeout(600)
def test_a_store_that_dies_or_hangs_costs_time_and_nothing_else(server, tmp_path):
    url = server.url("gone")
    services, pause = begun(url, tmp_path), threading.Event()
    with sending(services, 1) as sender:
        until_true(lambda: lookup(services).mark_count > 0)

        os.kill(server.pid, signal.SIGSTOP)
        seen_while_it_hangs = lookup(services)
        pause.wait(GONE_S)
        os.kill(server.pid, signal.SIGCONT)
        sender.wait_for(50)

        server.kill()
        seen_without_it = lookup(services)
        pause.wait(GONE_S)
        server.start()
        sender.wait_for(50)

    assert seen_while_it_hangs.mark_count > 0
    assert seen_without_it.mark_count > 0
    checked(services, url, sender, tmp_path / "copy")
    run_pipeline(services.stubs, None, lambda step: None)
    checked(services, url, sender, tmp_path / "copy")
    assert services.end(signal.SIGTERM) == 0


@pytest.mark.timeout(600)
@pytest.mark.parametrize("how", ["hangs", "is dead"])
def test_a_process_ends_although_its_store_does_not_answer(server, tmp_path, how):
    url = server.url("ending")
    services, pause = begun(url, tmp_path), threading.Event()
    with sending(services, 2) as sender:
        sender.wait_for(50)
        if how == "hangs":
            os.kill(server.pid, signal.SIGSTOP)
        else:
            server.kill()
        pause.wait(1.0)  # so that statements wait for it

        code = services.end(signal.SIGTERM)  # within a minute; a statement waits for five

        if how == "hangs":
            os.kill(server.pid, signal.SIGCONT)
        else:
            server.start()
        services.start()
        sender.wait_for(50)
    assert code == 0
    checked(services, url, sender, tmp_path / "copy")
    services.end(signal.SIGTERM)


@pytest.mark.timeout(600)
def test_without_zookeeper_nothing_is_acknowledged_and_all_comes_back(own_cluster, tmp_path):
    url = own_cluster.url("keeper")
    services, pause = begun(url, tmp_path), threading.Event()
    request = one_mark("late")
    with sending(services, 3) as sender:
        until_true(lambda: lookup(services).mark_count > 0)
        own_cluster.keeper.kill()
        pause.wait(GONE_S)

        before = lookup(services)
        status = refused(services, request)

        own_cluster.keeper.start()
        own_cluster.begin_again()
        sender.wait_for(50)
        own_cluster.keeper.kill()
        code = services.end(signal.SIGTERM)
        own_cluster.keeper.start()
        own_cluster.begin_again()
        services.start()
        sender.wait_for(50)

    assert before.mark_count > 0
    assert status in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    assert code == 0
    # A call that failed says nothing of its marks: the store may have taken them after all.
    acknowledged(lambda: services.stubs.ingest.SubmitMarks(request, timeout=CALL_S))
    sender.marks.update(mark.number for mark in request.marks)
    acknowledged(lambda: lookup(services))
    checked(services, url, sender, tmp_path / "copy")
    services.end(signal.SIGTERM)
