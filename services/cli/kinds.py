"""How a table of each import kind becomes a request, and its answer a tally."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from services.cli.importing import (
    Tally,
    days,
    derived_ids,
    flags,
    integers,
    reason_of,
    require,
    texts,
    times_ms,
)
from services.common.errors import InvalidArgument
from zhengming.arbitration.v1 import arbitration_pb2
from zhengming.ingest.v1 import ingest_pb2

FTC_SOURCE = "ftc-dnc"
BATCH = 10_000
SEND_TIMEOUT_S = 120

Sender = Callable[[Any, Path, int, pa.Table, dict[bytes, int], Tally], None]


def _reject(tally: Tally, path: Path, line: int, rejected: Sequence[Any]) -> None:
    for item in rejected:
        field, reason = reason_of(item.error)
        tally.rejected.append((path.name, line + item.index, field, reason))


def _send_marks(
    stubs: Any,
    path: Path,
    lines: "np.ndarray[Any, Any]",
    source: str,
    region: str,
    columns: dict[str, Any],
    tally: Tally,
) -> None:
    labels = list(dict.fromkeys(columns["labels"]))
    place = {label: i for i, label in enumerate(labels)}
    answer = stubs.ingest.SubmitMarkColumns(
        ingest_pb2.SubmitMarkColumnsRequest(
            source=source,
            region=region,
            mark_ids=columns["mark_ids"],
            numbers=columns["numbers"],
            labels=labels,
            label_indexes=[place[label] for label in columns["labels"]],
            occurred_ms=columns["occurred_ms"],
            reporters=columns.get("reporters", ()),
            call_ms=columns.get("call_ms", ()),
            kinds=columns.get("kinds", ()),
            withdrawn=columns.get("withdrawn", ()),
            origins=columns.get("origins", ()),
        ),
        timeout=SEND_TIMEOUT_S,
    )
    tally.committed += answer.committed_count
    tally.duplicate += answer.duplicate_count
    for item in answer.rejected:
        field, reason = reason_of(item.error)
        tally.rejected.append((path.name, int(lines[item.index]), field, reason))


def marks(
    stubs: Any, path: Path, line: int, table: pa.Table, seen: dict[bytes, int], tally: Tally
) -> None:
    """Marks of any sources, sent source by source."""
    require(table, path, ("source", "number", "label", "occurred_at"))
    source, number, label = (texts(table, n) for n in ("source", "number", "label"))
    occurred, reporter = texts(table, "occurred_at"), texts(table, "reporter")
    ids = texts(table, "mark_id")
    derived = derived_ids((source, number, label, occurred, reporter), seen)
    ids = [given or made for given, made in zip(ids, derived, strict=True)]
    kind_names = {"": 0, "USER": 1, "IMPORT": 2, "SELF": 3, "RULE": 4, "AUTHORITY": 5}
    kinds = [kind_names.get(k.strip().upper(), 99) for k in texts(table, "kind")]
    columns: dict[str, Any] = {
        "mark_ids": np.array(ids, dtype=object),
        "numbers": np.array(number, dtype=object),
        "labels": np.array(label, dtype=object),
        "occurred_ms": times_ms(occurred, absent=-1),
        "reporters": np.array(reporter, dtype=object),
        "call_ms": times_ms(texts(table, "call_at")),
        "kinds": np.array(kinds),
        "withdrawn": np.array(flags(texts(table, "withdrawn"))),
        "origins": np.array(texts(table, "origin"), dtype=object),
    }
    sources = np.array(source, dtype=object)
    lines = np.arange(line, line + len(table))
    for name in dict.fromkeys(source):
        chosen = sources == name
        part = {key: column[chosen].tolist() for key, column in columns.items()}
        try:
            _send_marks(stubs, path, lines[chosen], name, "CN", part, tally)
        except InvalidArgument as error:
            tally.rejected += [
                (path.name, int(at), error.metadata.get("field", ""), f"{error.reason}: {error}")
                for at in lines[chosen]
            ]


def ftc(
    stubs: Any, path: Path, line: int, table: pa.Table, seen: dict[bytes, int], tally: Tally
) -> None:
    """The FTC's Do Not Call complaints: each is one mark by an unknown reporter."""
    require(table, path, ("company_phone_number", "created_date"))
    number, created = texts(table, "company_phone_number"), texts(table, "created_date")
    area, subject = texts(table, "consumer_area_code"), texts(table, "subject")
    called = texts(table, "violation_date")
    call_ms = times_ms(called)
    columns = {
        "mark_ids": derived_ids((number, created, area, subject, called), seen),
        "numbers": number,
        "labels": subject,
        "occurred_ms": times_ms(created, absent=-1).tolist(),
        # A call dated after its complaint or before 2000 is a slip of the consumer's pen.
        "call_ms": np.where(
            (call_ms >= 946_684_800_000) & (call_ms <= times_ms(created) + 86_400_000), call_ms, 0
        ).tolist(),
        "origins": [code[:16] for code in area],
    }
    lines = np.arange(line, line + len(table))
    _send_marks(stubs, path, lines, FTC_SOURCE, "US", columns, tally)


def behaviour(
    stubs: Any, path: Path, line: int, table: pa.Table, seen: dict[bytes, int], tally: Tally
) -> None:
    """Daily aggregates, sent carrier by carrier."""
    require(table, path, ("number", "day", "carrier"))
    carrier = np.array(texts(table, "carrier"), dtype=object)
    lines = np.arange(line, line + len(table))
    fields = [f.name for f in ingest_pb2.SubmitBehaviourRequest.DESCRIPTOR.fields]
    for name in dict.fromkeys(carrier.tolist()):
        chosen = np.flatnonzero(carrier == name)
        part = table.take(pa.array(chosen))
        request = ingest_pb2.SubmitBehaviourRequest(
            carrier=name, numbers=texts(part, "number"), days=days(texts(part, "day")).tolist()
        )
        for column in fields[3:]:
            if column not in part.column_names:
                continue
            if column == "sequential_ratio":
                values = [_ratio(v) for v in texts(part, column)]
                request.sequential_ratio.extend(values)
            else:
                getattr(request, column).extend(integers(texts(part, column)))
        answer = stubs.ingest.SubmitBehaviour(request, timeout=SEND_TIMEOUT_S)
        tally.committed += answer.committed_count
        for item in answer.rejected:
            field, reason = reason_of(item.error)
            tally.rejected.append((path.name, int(lines[chosen[item.index]]), field, reason))


def _ratio(value: str) -> float:
    try:
        return float(value or 0)
    except ValueError:
        return -1.0


def _items(
    send: Callable[[Sequence[Any]], Any],
    items: Sequence[Any],
    path: Path,
    line: int,
    tally: Tally,
) -> None:
    """Send messages in batches that are answered item by item."""
    for start in range(0, len(items), BATCH):
        batch = items[start : start + BATCH]
        for i, result in enumerate(send(batch).results):
            if result.HasField("error"):
                field, reason = reason_of(result.error)
                tally.rejected.append((path.name, line + start + i, field, reason))
            else:
                tally.committed += 1


def lifecycle(
    stubs: Any, path: Path, line: int, table: pa.Table, seen: dict[bytes, int], tally: Tally
) -> None:
    """Lifecycle events."""
    require(table, path, ("number", "event", "occurred_at"))
    kinds = {"ASSIGNED": 1, "RELEASED": 2, "PORTED": 3}
    items = []
    rows = zip(texts(table, "number"), texts(table, "event"),
               times_ms(texts(table, "occurred_at"), absent=-1).tolist(),
               texts(table, "carrier"), strict=True)  # fmt: skip
    for number, event, at, carrier in rows:
        kind = kinds.get(event.strip().upper(), 0)
        item = ingest_pb2.LifecycleEvent(number=number, kind=kind, carrier=carrier)  # type: ignore[arg-type]
        item.occurred_time.FromMilliseconds(at)
        items.append(item)
    _items(
        lambda batch: stubs.ingest.SubmitLifecycle(
            ingest_pb2.SubmitLifecycleRequest(events=batch), timeout=SEND_TIMEOUT_S
        ),
        items, path, line, tally,
    )  # fmt: skip


def registry(
    stubs: Any, path: Path, line: int, table: pa.Table, seen: dict[bytes, int], tally: Tally
) -> None:
    """Registrations."""
    require(table, path, ("number", "holder"))
    items = []
    rows = zip(*(texts(table, n) for n in ("number", "holder", "identity", "purpose",
               "outbound_allowed", "valid_from", "valid_until")), strict=True)  # fmt: skip
    for number, holder, identity, purpose, outbound, start, end in rows:
        item = ingest_pb2.Registration(
            number=number, holder=holder, identity=identity, purpose=purpose
        )
        if outbound:
            item.outbound_allowed = flags([outbound])[0]
        if start:
            item.valid_from_time.FromMilliseconds(int(times_ms([start])[0]))
        if end:
            item.valid_until_time.FromMilliseconds(int(times_ms([end])[0]))
        items.append(item)
    _send_registrations(stubs, items, path, line, tally)


def _send_registrations(
    stubs: Any, items: Sequence[Any], path: Path, line: int, tally: Tally
) -> None:
    _items(
        lambda batch: stubs.ingest.SubmitRegistry(
            ingest_pb2.SubmitRegistryRequest(registrations=batch), timeout=SEND_TIMEOUT_S
        ),
        items, path, line, tally,
    )  # fmt: skip


_PURPOSES = {"快递物流": "A4100", "外卖订餐": "A4110", "租车代驾": "A4120"}
_SERVICE = "A4200"


def service_numbers(
    stubs: Any, path: Path, line: int, table: pa.Table, seen: dict[bytes, int], tally: Tally
) -> None:
    """Community lists of organisations' numbers: number, organization, category, number_type.

    Emergency and government numbers are registered as C01. Numbers of the plan's service ranges
    (95, 96, 400, 800, carriers') are C04, all others C03. The purpose follows from the industry:
    delivery and transport by their own category, else customer service. Such a list is nobody's
    official assignment: whether outbound calls are allowed stays unsaid.
    """
    require(table, path, ("number", "organization", "category", "number_type"))
    columns = (texts(table, n) for n in ("number", "organization", "category", "number_type"))
    items = []
    for number, holder, industry, kind in zip(*columns, strict=True):
        public = industry == "政府机构" or kind == "emergency_or_gov_short"
        ranged = kind in ("95_short", "96_short", "400", "800", "carrier_short")
        identity = "C01" if public else "C04" if ranged else "C03"
        purpose = "" if public else _PURPOSES.get(industry, _SERVICE)
        items.append(
            ingest_pb2.Registration(
                number=number, holder=holder, identity=identity, purpose=purpose
            )
        )
    _send_registrations(stubs, items, path, line, tally)


def refusals(
    stubs: Any, path: Path, line: int, table: pa.Table, seen: dict[bytes, int], tally: Tally
) -> None:
    """Refusals."""
    require(table, path, ("number", "callee", "occurred_at"))
    items = []
    rows = zip(texts(table, "number"), texts(table, "callee"),
               times_ms(texts(table, "occurred_at"), absent=-1).tolist(),
               texts(table, "industry"), strict=True)  # fmt: skip
    for number, callee, at, industry in rows:
        item = ingest_pb2.Refusal(number=number, callee=callee, industry=industry)
        item.occurred_time.FromMilliseconds(at)
        items.append(item)
    _items(
        lambda batch: stubs.ingest.SubmitRefusals(
            ingest_pb2.SubmitRefusalsRequest(refusals=batch), timeout=SEND_TIMEOUT_S
        ),
        items, path, line, tally,
    )  # fmt: skip


def decisions(
    stubs: Any, path: Path, line: int, table: pa.Table, seen: dict[bytes, int], tally: Tally
) -> None:
    """Decisions of authorities and reviewers."""
    require(table, path, ("number", "category", "decided_at"))
    items = []
    rows = zip(texts(table, "number"), texts(table, "category"),
               times_ms(texts(table, "decided_at"), absent=-1).tolist(),
               texts(table, "authority"), texts(table, "valid_until"), strict=True)  # fmt: skip
    for number, category, at, authority, until in rows:
        item = arbitration_pb2.Decision(number=number, category=category, authority=authority)
        item.decided_time.FromMilliseconds(at)
        if until:
            item.valid_until_time.FromMilliseconds(int(times_ms([until])[0]))
        items.append(item)
    _items(
        lambda batch: stubs.arbitration.SubmitDecisions(
            arbitration_pb2.SubmitDecisionsRequest(decisions=batch), timeout=SEND_TIMEOUT_S
        ),
        items, path, line, tally,
    )  # fmt: skip


KINDS: dict[str, Sender] = {
    "marks": marks,
    "behaviour": behaviour,
    "lifecycle": lifecycle,
    "registry": registry,
    "service-numbers": service_numbers,
    "refusals": refusals,
    "decisions": decisions,
    "ftc-dnc": ftc,
}
