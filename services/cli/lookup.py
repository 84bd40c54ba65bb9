"""Reputations on the screen: a table for people, JSON for machines."""

import json
from collections.abc import Sequence

from google.protobuf.json_format import MessageToDict
from rich.console import Console
from rich.table import Table

from services.cli.target import Target
from zhengming.ingest.v1 import number_pb2
from zhengming.reputation.v1 import reputation_pb2
from zhengming.type.v1 import number_pb2 as type_pb2


def show_reputations(
    console: Console, asked: Sequence[str], answer: reputation_pb2.BatchGetReputationsResponse
) -> None:
    """Print what `get` found, number by number."""
    if Target.as_json:
        for result in answer.results:
            whole = MessageToDict(result, preserving_proto_field_name=True)
            print(json.dumps(whole, ensure_ascii=False))
        return
    table = Table("number", "state", "level", "risk", "category", "display", "reasons")
    for raw, result in zip(asked, answer.results, strict=True):
        if result.HasField("error"):
            table.add_row(raw, "-", "", "", "", result.error.message, "")
            continue
        found = result.reputation
        state = reputation_pb2.ReputationState.Name(found.state).removeprefix("REPUTATION_STATE_")
        table.add_row(
            found.number,
            state,
            str(found.level),
            f"{found.risk:.3f}",
            f"{found.category} {found.probability:.2f}" if found.category else "",
            found.display_text_zh,
            ", ".join(found.reasons),
        )
    console.print(table)


def show_explained(
    console: Console,
    answer: reputation_pb2.ExplainReputationResponse,
    described: number_pb2.DescribedNumber,
) -> None:
    """Print a reputation with what led to it."""
    if Target.as_json:
        whole = MessageToDict(answer, preserving_proto_field_name=True)
        whole["number"] = MessageToDict(described, preserving_proto_field_name=True)
        print(json.dumps(whole, ensure_ascii=False))
        return
    found = answer.reputation
    console.print(f"{found.number}  level {found.level}  risk {found.risk:.3f}  rule {found.rule}")
    for said in texts_of(described):
        console.print(f"  {said}", markup=False)
    for reason in answer.reasons:
        console.print(f"  {reason.text_zh} · {reason.text_en}", markup=False)
    table = Table("source", "label", "category", "marks", "weight", "log odds", "last mark")
    for row in answer.evidence:
        table.add_row(
            row.source,
            row.label,
            row.category,
            str(row.mark_count),
            f"{row.weight:.2f}",
            f"{row.log_odds:+.2f}",
            row.last_mark_time.ToJsonString(),
        )
    console.print(table)
    if answer.former_mark_count:
        console.print(f"{answer.former_mark_count} marks of an earlier holder do not count")
    if answer.quarantined_mark_count:
        console.print(f"{answer.quarantined_mark_count} suspicious marks (B20) do not count")


def texts_of(described: number_pb2.DescribedNumber) -> list[str]:
    """What a number is, in a line each for plan, port and registration."""
    facts = described.facts
    kind = type_pb2.NumberKind.Name(facts.kind).removeprefix("NUMBER_KIND_")
    place = " ".join(part for part in (facts.province, facts.city) if part)
    issued = f"issued by {facts.issuing_carrier_zh}" if facts.issuing_carrier else ""
    lines = [
        " · ".join(p for p in (kind, facts.country, facts.service_range_zh, place, issued) if p)
    ]
    if described.ported_to_carrier:
        lines.append(f"ported to {described.ported_to_carrier}")
    if described.registered_holder:
        use = f"{described.registered_identity}, {described.registered_purpose or 'no purpose'}"
        lines.append(f"registered: {described.registered_holder} ({use})")
    return lines
