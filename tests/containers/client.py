"""A client in a container: calls by the policy of docs/kubernetes.md until it is told to end.

Prints one line of JSON: how many calls, which failed, and which marks were acknowledged.
"""

import json
import signal
import sys
import time
import uuid
from pathlib import Path

import grpc

from zhengming.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from zhengming.reputation.v1 import reputation_pb2, reputation_pb2_grpc

INGEST, REPUTATION, LOOKUP = sys.argv[1:4]
POLICY = Path(sys.argv[4]).read_text()
IDENTITY = Path(sys.argv[5])
DEADLINE_S = 90
PAUSE_S = 0.05


def channel(address: str) -> grpc.Channel:
    ca, key, certificate = ((IDENTITY / n).read_bytes() for n in ("ca.crt", "tls.key", "tls.crt"))
    return grpc.secure_channel(
        f"dns:///{address}",
        grpc.ssl_channel_credentials(ca, key, certificate),
        options=[
            ("grpc.service_config", POLICY),
            ("grpc.dns_min_time_between_resolutions_ms", 1000),
        ],
    )


def marks(count: int) -> list[ingest_pb2.Mark]:
    made = []
    for _ in range(count):
        item = ingest_pb2.Mark(
            mark_id=uuid.uuid4().hex,
            number=f"138{uuid.uuid4().int % 10**8:08}",
            label="广告推销",
            reporter=uuid.uuid4().hex[:8],
        )
        item.occurred_time.FromMilliseconds(time.time_ns() // 1_000_000 - 60_000)
        made.append(item)
    return made


def main() -> int:
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda signum, _: stop.append(signum))
    ingest = ingest_pb2_grpc.IngestServiceStub(channel(INGEST))
    lookups = [
        reputation_pb2_grpc.ReputationServiceStub(channel(address))
        for address in (REPUTATION, LOOKUP)
    ]
    calls, failed, acknowledged = 0, [], []
    print("calling", flush=True)
    while not stop:
        sent = marks(5)
        for what, call in (
            ("mark", lambda sent=sent: ingest.SubmitMarks(
                ingest_pb2.SubmitMarksRequest(source="app-one", marks=sent), timeout=DEADLINE_S)),
            *(("lookup", lambda stub=stub, sent=sent: stub.GetReputation(
                reputation_pb2.GetReputationRequest(number=sent[0].number), timeout=DEADLINE_S))
              for stub in lookups),
        ):  # fmt: skip
            calls += 1
            try:
                answer = call()
            except grpc.RpcError as error:
                failed.append(f"{what} {error.code().name} {error.details()[:300]}")
                continue
            if what == "mark":
                acknowledged += [
                    mark.mark_id
                    for mark, result in zip(sent, answer.results, strict=True)
                    if result.outcome in (1, 2)
                ]
        time.sleep(PAUSE_S)
    print(json.dumps({"calls": calls, "failed": failed, "acknowledged": acknowledged}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
