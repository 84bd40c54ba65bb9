"""The bare peer: a grpc.server that answers one fixed message for each method. Nothing of ours."""

import sys
import threading
from concurrent import futures
from pathlib import Path

import grpc

from zhengming.reputation.v1 import reputation_pb2 as pb

LARGE_MESSAGES = [
    ("grpc.max_send_message_length", 64 << 20),
    ("grpc.max_receive_message_length", 64 << 20),
]


def main(folder: Path) -> None:
    """Serve the answers in a folder: file NAME is the answer of method /echo.Echo/NAME."""
    server = grpc.server(futures.ThreadPoolExecutor(16), options=LARGE_MESSAGES)
    kinds = {
        "GetReputation": (pb.GetReputationRequest, pb.Reputation),
        "BatchGetReputations": (pb.BatchGetReputationsRequest, pb.BatchGetReputationsResponse),
    }
    handlers = {}
    for path in folder.iterdir():
        if path.name not in kinds:
            continue
        request, answer = kinds[path.name]
        message = answer.FromString(path.read_bytes())
        handlers[path.name] = grpc.unary_unary_rpc_method_handler(
            lambda _request, _context, message=message: message,
            request_deserializer=request.FromString,
            response_serializer=answer.SerializeToString,
        )
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("echo.Echo", handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"serving on 127.0.0.1:{port}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
