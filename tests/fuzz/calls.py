"""Targets over running services: every method's bytes, the HTTP edge, the importers."""

import base64
import random
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import grpc
from google.longrunning import operations_pb2
from google.protobuf import descriptor_pool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import status_pb2

from services.common import rpc
from services.common.telemetry import OFF
from services.console.accounts import Accounts, hashed
from services.console.app import create_app
from services.console.web import Upstream
from tests.fuzz.mutate import TEXTS, mutated, scrambled
from tests.fuzz.target import Run, Target, Wrong
from tests.services_in_process import BEGAN_MS, in_process
from zhengming.ingest.v1 import ingest_pb2

SERVICES = (
    "ingest.v1.IngestService", "ingest.v1.TaxonomyService", "ingest.v1.NumberService",
    "features.v1.FeaturesService", "arbitration.v1.ArbitrationService",
    "arbitration.v1.DisputeService", "arbitration.v1.LedgerService",
    "arbitration.v1.ReferralService", "arbitration.v1.NoticeService", "scoring.v1.ScoringService",
    "reputation.v1.ReputationService", "reputation.v1.FeedService",
)  # fmt: skip
TYPED = {code for kind, code in rpc._CODES}
PASSWORD = "correct horse battery"
PEOPLE = (("ann", "reviewer", ""), ("vic", "vendor", "app-one"), ("olga", "operator", ""),
          ("audrey", "auditor", ""))  # fmt: skip


@contextmanager
def running(folder: Path) -> Iterator[Any]:
    """All services over a store of this process, with a few marks in it."""
    with in_process(folder / "store", folder / "services", follow=False, telemetry=OFF) as services:
        marks = ingest_pb2.SubmitMarksRequest(source="app-one")
        for at, number in enumerate(("+8613800138000", "+8613900139000", "+8695588")):
            mark = marks.marks.add(number=number, label="诈骗", reporter=f"r{at}", mark_id=f"m{at}")
            mark.occurred_time.FromMilliseconds(BEGAN_MS - 86_400_000)
        services.stubs.ingest.SubmitMarks(marks)
        yield services


# ---- methods ----------------------------------------------------------------------------------


def methods() -> dict[str, Any]:
    """Descriptors of all methods, by path."""
    pool = descriptor_pool.Default()
    found = {}
    for name in SERVICES:
        service = pool.FindServiceByName(f"zhengming.{name}")
        found |= {f"/{service.full_name}/{method.name}": method for method in service.methods}
    operations = operations_pb2.DESCRIPTOR.services_by_name["Operations"]
    for name in ("GetOperation", "WaitOperation"):
        found[f"/google.longrunning.Operations/{name}"] = operations.methods_by_name[name]
    return found


class Aborted(Exception):
    """What a context raises to end a call."""


class Context:
    """Of a call without a network, what a grpc.ServicerContext tells its handler."""

    def __init__(self) -> None:
        self.status: Any = None
        self.trailing: Any = ()

    def abort(self, code: grpc.StatusCode, details: str) -> Any:
        """End the call."""
        self.status = (code, details)
        raise Aborted(f"{code.name}: {details}")

    def abort_with_status(self, status: Any) -> Any:
        """End the call."""
        self.trailing = status.trailing_metadata
        return self.abort(status.code, status.details)

    def set_trailing_metadata(self, metadata: Any) -> None:
        """Keep what is told at the end."""
        self.trailing = metadata

    def add_callback(self, callback: Any) -> bool:
        """The caller leaves at once."""
        callback()
        return True

    def code(self) -> Any:
        """Of the status."""
        return self.status and self.status[0]

    def invocation_metadata(self) -> Any:
        """None."""
        return ()

    def auth_context(self) -> Any:
        """None."""
        return {}

    def time_remaining(self) -> float:
        """Seconds."""
        return 5.0

    def is_active(self) -> bool:
        """Whether the caller waits."""
        return True

    def peer(self) -> str:
        """Address."""
        return "ipv4:127.0.0.1:1"

    def set_code(self, code: Any) -> None:
        """Not used by handlers of ours."""
        raise Wrong(f"a status without a reason: {code}")

    set_details = set_code


@contextmanager
def _calls(folder: Path) -> Iterator[Run]:
    """Input: the path of a method, a line feed, bytes of a request."""
    with running(folder) as services:
        handlers = services.application._running._server._state.registered_method_handlers
        interceptor = rpc.ErrorInterceptor()

        def run(content: bytes) -> None:
            name, _, body = content.partition(b"\n")
            path = name.decode("utf-8", "replace")
            if path not in handlers or path.startswith("/grpc."):
                return
            handler = interceptor.intercept_service(lambda _: handlers[path], _Details(path))
            answer(handler, patient(path, body))

        yield run


class _Details:
    def __init__(self, method: str) -> None:
        self.method = method


def patient(path: str, body: bytes) -> bytes:
    """The request without a wish to wait, which would only stop the clock."""
    if not path.endswith(("/ListChanges", "/WaitOperation")):
        return body
    message = GetMessageClass(methods()[path].input_type)()
    try:
        message.ParseFromString(body)
    except DecodeError:
        return body
    for field in ("wait", "timeout"):
        if field in message.DESCRIPTOR.fields_by_name:
            wanted = getattr(message, field)
            wanted.seconds = min(wanted.seconds, 0)
    return message.SerializeToString()


def answer(handler: Any, body: bytes) -> None:
    """Call a handler as its server does; a refusal is raised as the DomainError that it tells."""
    context = Context()
    try:
        request = handler.request_deserializer(body) if handler.request_deserializer else body
    except Exception as error:
        raise Wrong(f"answered INTERNAL: {error!r}") from error
    try:
        if handler.request_streaming:
            answers = list(handler.stream_stream(iter((request, request)), context))
        elif handler.response_streaming:
            answers = []
            for found in handler.unary_stream(request, context):
                answers.append(found)
                if len(answers) == 3:
                    break
        else:
            answers = [handler.unary_unary(request, context)]
    except Aborted as error:
        raise refusal(context) from error
    for found in answers:
        if handler.response_serializer:
            handler.response_serializer(found)


def refusal(context: Context) -> Exception:
    """What a context was aborted with."""
    if context.status[0] not in TYPED:
        return Wrong(str(context.status))
    for key, value in context.trailing or ():
        if key == "grpc-status-details-bin":
            found = rpc.from_status_proto(status_pb2.Status.FromString(value))
            return found or Wrong(f"without a reason: {context.status}")
    return Wrong(f"without a reason: {context.status}")


def _call_seeds() -> Iterator[bytes]:
    for path, method in sorted(methods().items()):
        message = GetMessageClass(method.input_type)()
        yield path.encode() + b"\n" + message.SerializeToString()
        rng = random.Random(path)
        for _ in range(6):
            scrambled(message, rng)
        yield path.encode() + b"\n" + message.SerializeToString()


_METHODS = methods()
_PATHS = sorted(_METHODS)


def _mutated_call(content: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    name, _, body = content.partition(b"\n")
    if rng.random() < 0.15:
        return name + b"\n" + mutated(body, (), rng)
    method = _METHODS.get(name.decode("utf-8", "replace")) or _METHODS[rng.choice(_PATHS)]
    message: Message = GetMessageClass(method.input_type)()
    try:
        if rng.random() < 0.8:
            message.ParseFromString(body)
    except DecodeError:
        pass
    for _ in range(rng.choice((1, 1, 2, 4))):
        scrambled(message, rng)
    return name + b"\n" + message.SerializeToString()


# ---- HTTP -------------------------------------------------------------------------------------


@contextmanager
def _pages(folder: Path) -> Iterator[Run]:
    """Input: method, path, account and type of content, divided by spaces; line feed; the body.

    The text CSRF in a body stands for the visitor's token.
    """
    with running(folder) as services:
        accounts = Accounts(folder / "accounts.json")
        for name, role, source in PEOPLE:
            accounts.put(hashed(name, role, source, PASSWORD))
        upstream = Upstream(**{f.name: getattr(services.stubs, f.name) for f in fields(Upstream)})
        app = create_app(upstream, accounts, services.clock, b"k" * 32, 1e5)
        clients = {name: app.test_client() for name, _, _ in (*PEOPLE, ("nobody", "", ""))}
        tokens = {}
        for name, client in clients.items():
            page = client.get("/login").get_data(as_text=True)
            tokens[name] = re.search(r'name="csrf" value="([^"]+)"', page)[1]
            if name != "nobody":
                form = {"csrf": tokens[name], "name": name, "password": PASSWORD}
                client.post("/login", data=form)

        def run(content: bytes) -> None:
            line, _, body = content.partition(b"\n")
            method, path, name, kind = (line.decode("latin-1").split(" ") + [""] * 4)[:4]
            if method not in ("GET", "POST", "HEAD", "PUT") or "logout" in path:
                return
            name = name if name in clients else "nobody"
            value = base64.b64encode(f"{name}:{PASSWORD}".encode()).decode()
            answered = clients[name].open(
                "/" + path.lstrip("/").split("#")[0],
                method=method,
                data=body.replace(b"CSRF", tokens[name].encode()),
                headers={} if name == "nobody" else {"Authorization": f"Basic {value}"},
                content_type=kind if kind.isprintable() and kind.isascii() else "",
            )
            if answered.status_code >= 500:
                raise Wrong(f"{answered.status_code}: {answered.get_data(as_text=True)[:300]}")

        yield run


_JSON, _FORM = "application/json", "application/x-www-form-urlencoded"
_BODIES = (
    ("GET /api/v1/reputations/+8613800138000 nobody", b""),
    ("GET /api/v1/numbers/10086 nobody", b""),
    ("POST /api/v1/reputations:batchGet vic", b'{"numbers":["+8613800138000","10086"]}'),
    ("POST /api/v1/reputations:searchSha1 vic", b'{"sha1_prefix":"00ff"}'),
    ("POST /api/v1/marks vic", b'{"marks":[{"markId":"a","number":"13800138000","label":"fraud",'
     b'"occurredTime":"2026-09-01T00:00:00Z","reporter":"r"}]}'),
    ("POST /api/v1/marks:getStatus vic", b'{"markIds":["m0"]}'),
    ("POST /api/v1/disputes nobody", b'{"number":"+8613800138000","requestId":"q1"}'),
    ("POST /api/v1/disputes:batchFile vic", b'{"disputes":[{"number":"+8613800138000"}]}'),
    *((f"POST /api/v1/disputes:{verb} nobody", b'{"caseNumber":"x"}')
      for verb in ("get", "sendCode", "prove", "appeal", "withdraw", "subscribe")),
)  # fmt: skip


def _page_seeds() -> Iterator[bytes]:
    for line, body in _BODIES:
        yield f"{line} {_JSON}\n".encode() + body
    # The routes as they are: a page that comes is a target without a word here.
    app = create_app(*_NOTHING)
    values = {"number": "+8613800138000"}
    for rule in sorted(app.url_map.iter_rules(), key=str):
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda found: values.get(found[1], "1"), str(rule))
        for method in sorted((rule.methods or set()) & {"GET", "POST"}):
            if method == "GET":
                yield f"GET {path} ann \n".encode()
                yield f"GET {path}?number=%2B8613800138000&page=1&q=1 nobody \n".encode()
            elif "/api/" not in path:
                yield f"POST {path} ann {_FORM}\ncsrf=CSRF&number=13800138000&text=x".encode()


_NOWHERE: Any = [None] * len(fields(Upstream))
_NOTHING: Any = (Upstream(*_NOWHERE), None, lambda: 0, b"k" * 32)


# ---- importers --------------------------------------------------------------------------------


@contextmanager
def _imports(folder: Path) -> Iterator[Run]:
    """Input: kind and ending of the file, divided by a space; line feed; the file."""
    from services.cli import importing, kinds
    from services.cli.arbitrate import arbitrate_file
    from services.cli.cdr.run import aggregate_files
    from services.cli.evaluate import evaluate
    from services.cli.model import read_edges, read_texts

    with running(folder) as services, ExitStack() as stack:
        where = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder)))

        def run(content: bytes) -> None:
            line, _, body = content.partition(b"\n")
            kind, _, ending = line.decode("latin-1").partition(" ")
            path = where / f"file.{ending if ending in ('csv', 'csv.gz', 'parquet') else 'csv'}"
            path.write_bytes(body)
            if kind == "cdr":
                aggregate_files([path], where / "out.csv", "CMCC")
            elif kind == "refused":
                (where / "calls.csv").write_text("caller,callee,started_at,duration_s\n")
                aggregate_files([where / "calls.csv"], where / "out.csv", "CMCC", refusals=path)
            elif kind == "truth":
                (where / "r.csv").write_text(_REPUTATIONS)
                evaluate(path, where / "r.csv")
            elif kind == "answers":
                arbitrate_file(path, where / "out.csv", gold=path)
            elif kind == "table":
                read_texts(path)
            elif kind == "edges":
                read_edges(path)
            elif kind in kinds.KINDS:
                tally = importing.Tally()
                try:
                    for first, table in importing.read_tables(path):
                        kinds.KINDS[kind](services.stubs, path, first, table, {}, tally)
                except grpc.RpcError as error:
                    raise rpc.to_domain_error(error) or Wrong(str(error)) from error
                for *_, reason in tally.rejected:
                    if "INTERNAL" in reason or not reason:
                        raise Wrong(reason)

        yield run


_REPUTATIONS = (
    "number,category,probability,risk,level,state\n+8613800138000,A3101,0.9,0.9,3,ESTABLISHED\n"
)
_FILES = {
    "marks": "source,number,label,occurred_at,reporter,kind,call_at,withdrawn\n"
    "app-one,13800138000,诈骗,2026-09-01T00:00:00Z,r1,USER,,0\n",
    "ftc-dnc": "company_phone_number,created_date,violation_date,consumer_area_code,subject\n"
    "2025550123,2026-09-01 00:00:00,2026-08-31 00:00:00,212,Medical\n",
    "behaviour": "number,day,carrier,calls,sequential_ratio\n13800138000,2026-09-01,CMCC,7,0.5\n",
    "lifecycle": "number,event,occurred_at,carrier\n13800138000,RELEASED,2026-09-01,CMCC\n",
    "registry": "number,holder,identity,purpose,outbound_allowed,valid_from,valid_until\n"
    "95588,工商银行,C04,A4200,1,2026-01-01,2027-01-01\n",
    "service-numbers": "number,organization,category,number_type\n95588,工商银行,银行,95_short\n",
    "refusals": "number,callee,occurred_at,industry\n13800138000,13900139000,2026-09-01,loan\n",
    "decisions": "number,category,decided_at,authority,valid_until\n"
    "13800138000,A3101,2026-09-01,police,2027-01-01\n",
    "cdr": "caller,callee,started_at,answered_at,ended_at,duration_s,ringing_s,released_by,"
    "direction\n"
    "13800138000,13900139000,2026-09-01T08:00:00+08:00,,,5,2,CALLER,OUT\n",
    "refused": "number,callee,occurred_at,industry\n13800138000,13900139000,2026-09-01,loan\n",
    "truth": "number,valid_from,valid_until,category,bad\n13800138000,1756684800000,,A3101,1\n",
    "answers": "task,worker,label\na,w1,x\na,w2,y\nb,w1,y\n",
    "table": "id,a,b\n1,2,x\n",
    "edges": "a,b,weight\n1,2,0.5\n",
}  # fmt: skip


def _import_seeds() -> Iterator[bytes]:
    import gzip
    import io

    import pyarrow.csv
    import pyarrow.parquet

    for kind, text in _FILES.items():
        yield f"{kind} csv\n{text}".encode()
    for kind in ("marks", "truth", "answers"):
        yield f"{kind} csv.gz\n".encode() + gzip.compress(_FILES[kind].encode(), mtime=0)
        file = io.BytesIO()
        pyarrow.parquet.write_table(
            pyarrow.csv.read_csv(io.BytesIO(_FILES[kind].encode())), file, compression="none"
        )
        yield f"{kind} parquet\n".encode() + file.getvalue()


def _mutated_file(content: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    line, _, body = content.partition(b"\n")
    if line.endswith(b" csv") and rng.random() < 0.7:
        rows = [row.split(b",") for row in body.split(b"\n")]
        row = rng.choice(rows)
        row[rng.randrange(len(row))] = rng.choice(TEXTS).encode("utf-8", "surrogatepass")
        return line + b"\n" + b"\n".join(b",".join(row) for row in rows)
    return line + b"\n" + mutated(body, (), rng)


TARGETS = (
    Target("rpc", _calls, _call_seeds, _mutated_call),
    Target("http", _pages, _page_seeds),
    Target("imports", _imports, _import_seeds, _mutated_file),
)
