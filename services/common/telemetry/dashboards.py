"""Grafana dashboards, written from what is listed here.

Run `python -m services.common.telemetry.dashboards k8s/telemetry/dashboards`.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.common.telemetry import names
from services.common.telemetry.names import Instrument

WIDTH, HEIGHT, COLUMNS = 12, 8, 24


@dataclass(frozen=True)
class Panel:
    """A graph: its title, its unit as Grafana names it, and (legend, expression) of its lines."""

    title: str
    unit: str
    lines: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Dashboard:
    """A page of graphs; its name is that of its file."""

    name: str
    title: str
    panels: Sequence[Panel]


def _label(attribute: str) -> str:
    return attribute.replace(".", "_")


METHOD, STATUS = _label(names.METHOD), _label(names.STATUS)
FAULTS = f'{STATUS}=~"UNKNOWN|DEADLINE_EXCEEDED|INTERNAL|UNAVAILABLE|DATA_LOSS"'


def rate(found: Instrument, by: str, where: str = "") -> str:
    """Events a second."""
    name = found.text_names[1] if len(found.text_names) > 1 else found.text_name
    return f"sum by ({by}) (rate({name}{{{where}}}[$__rate_interval]))"


def quantile(share: float, found: Instrument, by: str = "", where: str = "") -> str:
    """A quantile of durations."""
    over = ", ".join(filter(None, ("le", by)))
    buckets = f"rate({found.text_names[0]}{{{where}}}[$__rate_interval])"
    return f"histogram_quantile({share}, sum by ({over}) ({buckets}))"


def most(found: Instrument, by: str = "") -> str:
    """The greatest of what replicas tell."""
    return f"max by ({by}) ({found.text_name})" if by else f"max({found.text_name})"


def gauge(title: str, unit: str, *shown: Instrument) -> Panel:
    """A graph of gauges without attributes."""
    return Panel(title, unit, [(i.name.removeprefix("zhengming."), most(i)) for i in shown])


LOOKUP = f'{METHOD}=~".*ReputationService/(GetReputation|BatchGetReputations|LookupColumns)"'
SOURCE, COLUMN = _label(names.SOURCE), _label(names.COLUMN)
OPERATION, OUTCOME = _label(names.OPERATION), _label(names.OUTCOME)
ROUTE, VOLUME = _label(names.ROUTE), _label(names.VOLUME)
MODEL, VERSION = _label(names.MODEL_NAME), _label(names.VERSION)
TABLE, WAY, JOB = _label(names.TABLE), _label(names.WAY), _label(names.JOB)

DASHBOARDS = (
    Dashboard(
        "calls",
        "Zhengming: calls",
        (
            Panel("Calls by method", "reqps", [(f"{{{{{METHOD}}}}}", rate(names.CALLS, METHOD))]),
            Panel(
                "Failed calls by method and status",
                "reqps",
                [
                    (
                        f"{{{{{METHOD}}}}} {{{{{STATUS}}}}}",
                        rate(names.CALLS, f"{METHOD}, {STATUS}", f'{STATUS}!="OK"'),
                    )
                ],
            ),
            Panel(
                "Lookups: p50 and p99",
                "s",
                [
                    (f"p50 {{{{{METHOD}}}}}", quantile(0.5, names.CALLS, METHOD, LOOKUP)),
                    (f"p99 {{{{{METHOD}}}}}", quantile(0.99, names.CALLS, METHOD, LOOKUP)),
                ],
            ),
            Panel("All methods: p99", "s", [("p99", quantile(0.99, names.CALLS, METHOD))]),
            Panel("Console by page", "reqps", [(f"{{{{{ROUTE}}}}}", rate(names.PAGES, ROUTE))]),
            Panel(
                "Console: p99 by page",
                "s",
                [(f"{{{{{ROUTE}}}}}", quantile(0.99, names.PAGES, ROUTE))],
            ),
        ),
    ),
    Dashboard(
        "flow",
        "Zhengming: from mark to reputation",
        (
            Panel("Rows made durable", "wps", [(f"{{{{{TABLE}}}}}", rate(names.COMMITTED, TABLE))]),
            Panel(
                "From acknowledgement to publication",
                "s",
                [(f"p{int(q * 100)}", quantile(q, names.FRESHNESS)) for q in (0.5, 0.99)],
            ),
            gauge("Ages of queues", "s", names.QUEUE_AGE, names.CHANGES_AGE, names.NOTICES_AGE),
            gauge(
                "Lengths of queues",
                "short",
                names.QUEUE_ROWS,
                names.CHANGES_WAITING,
                names.NOTICES_WAITING,
            ),
            Panel(
                "Numbers published anew",
                "wps",
                [(f"{{{{{WAY}}}}}", rate(names.PUBLISHED_CHANGES, WAY))],
            ),
            Panel(
                "Failures to publish",
                "short",
                [
                    (
                        f"{{{{{WAY}}}}} {{{{{OUTCOME}}}}}",
                        rate(names.PUBLISH_FAILURES, f"{WAY}, {OUTCOME}"),
                    )
                ],
            ),
            Panel(
                "Version by process",
                "short",
                [("{{instance}}", names.PUBLISHED_VERSION.text_name)],
            ),
            gauge("Published numbers", "short", names.PUBLISHED_NUMBERS),
        ),
    ),
    Dashboard(
        "quality",
        "Zhengming: how right it is",
        (
            Panel(
                "Accuracy of sources",
                "percentunit",
                [(f"{{{{{SOURCE}}}}}", most(names.SOURCE_ACCURACY, SOURCE))],
            ),
            Panel(
                "Drift of sources",
                "percentunit",
                [(f"{{{{{SOURCE}}}}}", most(names.SOURCE_DRIFT, SOURCE))],
            ),
            gauge("Calibration error of labels", "percentunit", names.CALIBRATION),
            gauge("Reviewed labels, 13 weeks", "short", names.REVIEWED),
            Panel(
                "Drift of the model (stability index)",
                "short",
                [(f"{{{{{COLUMN}}}}}", most(names.MODEL_DRIFT, COLUMN))],
            ),
            Panel(
                "Active models",
                "short",
                [
                    (
                        f"{{{{{MODEL}}}}} {{{{{VERSION}}}}}",
                        most(names.MODEL_ACTIVE, f"{MODEL}, {VERSION}"),
                    )
                ],
            ),
            gauge("Churn of the last full pass", "percentunit", names.CHURN),
            gauge("Time since the last full pass", "s", names.RUN_AGE),
            Panel(
                "Jobs",
                "short",
                [(f"{{{{{JOB}}}}} {{{{{OUTCOME}}}}}", rate(names.JOBS, f"{JOB}, {OUTCOME}"))],
            ),
            Panel("Time of jobs, p99", "s", [(f"{{{{{JOB}}}}}", quantile(0.99, names.JOBS, JOB))]),
        ),
    ),
    Dashboard(
        "duties",
        "Zhengming: disputes, notices, consumers",
        (
            gauge(
                "Disputes",
                "short",
                names.DISPUTES_OPEN,
                names.DISPUTES_OVERDUE,
                names.DISPUTES_PAUSED,
            ),
            gauge("Notices", "short", names.NOTICES_WAITING, names.NOTICES_DEAD),
            gauge("Oldest notice", "s", names.NOTICES_AGE),
            gauge("Consumers", "short", names.CONSUMERS, names.CONSUMER_LAG),
            gauge("Longest silence of one that is behind", "s", names.CONSUMER_SILENCE),
        ),
    ),
    Dashboard(
        "machines",
        "Zhengming: store and machines",
        (
            Panel(
                "Statements",
                "ops",
                [
                    (
                        f"{{{{{OPERATION}}}}} {{{{{OUTCOME}}}}}",
                        rate(names.STATEMENTS, f"{OPERATION}, {OUTCOME}"),
                    )
                ],
            ),
            Panel(
                "Statements: p99",
                "s",
                [(f"{{{{{OPERATION}}}}}", quantile(0.99, names.STATEMENTS, OPERATION))],
            ),
            Panel(
                "Disks: share free",
                "percentunit",
                [
                    (
                        f"{{{{instance}}}} {{{{{VOLUME}}}}}",
                        f"{names.DISK_FREE.text_name} / {names.DISK_SIZE.text_name}",
                    )
                ],
            ),
            Panel("Resident memory", "bytes", [("{{instance}}", names.MEMORY.text_name)]),
            Panel(
                "Processors used",
                "short",
                [("{{instance}}", f"rate({names.CPU.text_name}[$__rate_interval])")],
            ),
            Panel(
                "Gauges that could not be read",
                "short",
                [("{{zhengming_reading}}", rate(names.READING_FAILURES, "zhengming_reading"))],
            ),
        ),
    ),
)


def as_json(found: Dashboard) -> str:
    """A dashboard as Grafana (10 and newer) imports it; its data source is chosen there."""
    source = {"type": "prometheus", "uid": "${source}"}
    panels: list[dict[str, Any]] = []
    for at, panel in enumerate(found.panels):
        panels.append(
            {
                "id": at + 1,
                "type": "timeseries",
                "title": panel.title,
                "datasource": source,
                "gridPos": {
                    "h": HEIGHT,
                    "w": WIDTH,
                    "x": at * WIDTH % COLUMNS,
                    "y": at * WIDTH // COLUMNS * HEIGHT,
                },
                "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
                "targets": [
                    {
                        "refId": chr(ord("A") + place),
                        "datasource": source,
                        "expr": expression,
                        "legendFormat": legend,
                    }
                    for place, (legend, expression) in enumerate(panel.lines)
                ],
            }
        )
    page = {
        "uid": f"zhengming-{found.name}",
        "title": found.title,
        "tags": ["zhengming"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {"name": "source", "type": "datasource", "query": "prometheus", "label": "source"}
            ]
        },
        "panels": panels,
    }
    return json.dumps(page, indent=1, ensure_ascii=False) + "\n"


def main(folder: Path) -> None:
    """Write all dashboards."""
    folder.mkdir(parents=True, exist_ok=True)
    for found in DASHBOARDS:
        (folder / f"{found.name}.json").write_text(as_json(found), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
