"""Alert rules are sound, fire when they should and not before, and each has its section."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from services.common.telemetry import names
from services.common.telemetry.dashboards import DASHBOARDS, as_json
from services.common.telemetry.page import page

ROOT = Path(__file__).parents[2]
RULES = ROOT / "k8s/telemetry/alerts.yaml"
ALERTS = {
    rule["alert"]: rule
    for group in yaml.safe_load(RULES.read_text())["groups"]
    for rule in group["rules"]
}
LOOKUP = 'rpc_method="zhengming.reputation.v1.ReputationService/GetReputation"'
CALLS, STATEMENTS = "rpc_server_call_duration_seconds", "zhengming_store_statement_duration_seconds"
RUN_CHURN = '{zhengming_way="run", zhengming_outcome="churn"}'
TOUCHED = '{zhengming_way="touched", zhengming_outcome="upstream"}'

# Of each alert: series that make it fire, and series, just short of that, that must not. A series
# is a name and its values minute by minute: a+bxN begins with a and adds b, N times.
CASES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "ProcessDown": ({'up{job="zhengming"}': "0x120"}, {'up{job="other"}': "0x120"}),
    "CallsFail": (
        {
            CALLS + '_count{rpc_method="m", rpc_response_status_code="INTERNAL"}': "0+2x120",
            CALLS + '_count{rpc_method="m", rpc_response_status_code="OK"}': "0+98x120",
        },
        {
            CALLS + '_count{rpc_method="m", rpc_response_status_code="NOT_FOUND"}': "0+50x120",
            CALLS + '_count{rpc_method="m", rpc_response_status_code="OK"}': "0+50x120",
        },
    ),
    "LookupsSlow": (
        {
            CALLS + f'_bucket{{{LOOKUP}, le="0.02"}}': "0+98x120",
            CALLS + f'_bucket{{{LOOKUP}, le="0.05"}}': "0+100x120",
            CALLS + f'_bucket{{{LOOKUP}, le="+Inf"}}': "0+100x120",
        },
        {
            CALLS + f'_bucket{{{LOOKUP}, le="0.02"}}': "0+995x120",
            CALLS + f'_bucket{{{LOOKUP}, le="+Inf"}}': "0+1000x120",
        },
    ),
    "ReaderStuck": (
        {
            'zhengming_published_version{instance="a"}': "0+1x120",
            'zhengming_published_version{instance="b"}': "5x120",
        },
        {
            'zhengming_published_version{instance="a"}': "7x120",
            'zhengming_published_version{instance="b"}': "7x120",
        },
    ),
    "PagesFail": (
        {'http_server_request_duration_seconds_count{http_response_status_code="500"}': "0+9x120"},
        {'http_server_request_duration_seconds_count{http_response_status_code="404"}': "0+9x120"},
    ),
    "IngestQueueOld": (
        {"zhengming_ingest_queue_age_seconds": "11x120"},
        {"zhengming_ingest_queue_age_seconds": "9x120"},
    ),
    "PublishingBehind": (
        {"zhengming_changes_age_seconds": "61x120"},
        {"zhengming_changes_age_seconds": "59x120"},
    ),
    "PublishingSlow": (
        {
            'zhengming_publish_freshness_seconds_bucket{le="2.0"}': "0+9x120",
            'zhengming_publish_freshness_seconds_bucket{le="5.0"}': "0+10x120",
            'zhengming_publish_freshness_seconds_bucket{le="+Inf"}': "0+10x120",
        },
        {
            'zhengming_publish_freshness_seconds_bucket{le="2.0"}': "0+10x120",
            'zhengming_publish_freshness_seconds_bucket{le="+Inf"}': "0+10x120",
        },
    ),
    "PublishingFails": (
        {"zhengming_publish_failures_total" + TOUCHED: "0+1x120"},
        {"zhengming_publish_failures_total" + TOUCHED: "5x120"},
    ),
    "PassStopped": (
        {"zhengming_publish_failures_total" + RUN_CHURN: "0x60 1x60"},
        {"zhengming_publish_failures_total" + RUN_CHURN: "1x120"},
    ),
    "PassMissing": (
        {"zhengming_run_age_seconds": "94000x120"},
        {"zhengming_run_age_seconds": "86400x120"},
    ),
    "JobFailed": (
        {
            'zhengming_job_duration_seconds_count{zhengming_job="training", '
            'zhengming_outcome="failed"}': "0x90 1x30"
        },
        {
            'zhengming_job_duration_seconds_count{zhengming_job="training", '
            'zhengming_outcome="ok"}': "0x90 1x30"
        },
    ),
    "StoreUnavailable": (
        {STATEMENTS + '_count{zhengming_outcome="unavailable"}': "0+1x120"},
        {STATEMENTS + '_count{zhengming_outcome="ok"}': "0+1x120"},
    ),
    "StoreRefuses": (
        {STATEMENTS + '_count{zhengming_outcome="refused"}': "0x115 1x5"},
        {STATEMENTS + '_count{zhengming_outcome="refused"}': "1x120"},
    ),
    "DiskFilling": (
        {
            'zhengming_disk_free_bytes{zhengming_volume="store"}': "9x120",
            'zhengming_disk_size_bytes{zhengming_volume="store"}': "100x120",
        },
        {
            'zhengming_disk_free_bytes{zhengming_volume="store"}': "11x120",
            'zhengming_disk_size_bytes{zhengming_volume="store"}': "100x120",
        },
    ),
    "GaugesUnread": (
        {'zhengming_telemetry_failures_total{zhengming_reading="clocks"}': "0+1x120"},
        {'zhengming_telemetry_failures_total{zhengming_reading="clocks"}': "9x120"},
    ),
    "ModelDrifted": (
        {'zhengming_model_drift{zhengming_column="score"}': "0.3x120"},
        {
            'zhengming_model_drift{zhengming_column="score"}': "0.2x120",
            'zhengming_model_drift{zhengming_column="features"}': "5x120",
        },
    ),
    "CalibrationDrifted": (
        {"zhengming_calibration_error": "0.1x120"},
        {"zhengming_calibration_error": "0.08x120"},
    ),
    "SourceDrifted": (
        {'zhengming_source_drift{zhengming_source="app"}': "-0.2x120"},
        {'zhengming_source_drift{zhengming_source="app"}': "0.2x120"},
    ),
    "DisputesOverdue": (
        {"zhengming_disputes_overdue": "1x120"},
        {"zhengming_disputes_overdue": "0x90 1x30"},
    ),
    "NoticesOld": (
        {"zhengming_notices_age_seconds": "3700x120"},
        {"zhengming_notices_age_seconds": "3500x120"},
    ),
    "NoticesDied": (
        {"zhengming_notices_dead": "3x90 5x30"},
        {"zhengming_notices_dead": "5x120"},
    ),
    "ConsumerSilent": (
        {
            "zhengming_consumers_silence_seconds": "90000x120",
            "zhengming_consumers_lag": "4x120",
        },
        {
            "zhengming_consumers_silence_seconds": "80000x120",
            "zhengming_consumers_lag": "4x120",
        },
    ),
}


def promtool(*arguments: str) -> str:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_the_rules_are_sound():
    assert promtool("check", "rules", str(RULES)) == ""


def test_every_alert_is_tried():
    assert CASES.keys() == ALERTS.keys()


@pytest.mark.parametrize("side", [0, 1], ids=["fire", "stay quiet"])
def test_alerts_fire_when_they_should_and_not_before(tmp_path, side):
    series = {name: values for case in CASES.values() for name, values in case[side].items()}
    firing = 'count by (alertname) (ALERTS{alertstate="firing"}) * 0 + 1'
    expected = [] if side else sorted(ALERTS)
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": v} for name, v in series.items()],
        "promql_expr_test": [
            {
                "expr": firing,
                "eval_time": "118m",
                "exp_samples": [
                    {"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in expected
                ],
            }
        ],
    }
    file = tmp_path / "tests.yaml"
    file.write_text(
        yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]})
    )

    assert sum(len(case[side]) for case in CASES.values()) == len(series)
    assert promtool("test", "rules", str(file)) == ""


def test_every_alert_has_a_severity_and_links_to_its_section():
    guide = (ROOT / "docs/operations.md").read_text()
    sections = {title.lower() for title in re.findall(r"^### (\w+)$", guide, re.M)}

    for alert, rule in ALERTS.items():
        assert rule["labels"]["severity"] in ("critical", "warning"), alert
        assert rule["annotations"]["runbook_url"] == f"docs/operations.md#{alert.lower()}"
    assert {alert.lower() for alert in ALERTS} <= sections


def named(expression: str) -> set[str]:
    """Names of metrics in an expression; labels and functions are no metrics."""
    plain = re.sub(r"\{[^}]*\}|by \([^)]*\)|\[[^]]*\]", " ", expression)
    return set(re.findall(r"\b(?:zhengming|rpc|http|process)_\w+", plain))


def expressions() -> list[str]:
    shown = [line[1] for board in DASHBOARDS for panel in board.panels for line in panel.lines]
    return [*shown, *(rule["expr"] for rule in ALERTS.values())]


def test_alerts_and_dashboards_name_only_what_is_declared():
    declared = {name for instrument in names.ALL for name in instrument.text_names}

    used = set().union(*map(named, expressions()))

    assert used <= declared
    assert len(used) > 30


@pytest.mark.parametrize("board", DASHBOARDS, ids=lambda board: board.name)
def test_dashboards_are_written_from_their_list(board):
    written = (ROOT / f"k8s/telemetry/dashboards/{board.name}.json").read_text()

    assert written == as_json(board)
    found = json.loads(written)
    places = {(p["gridPos"]["x"], p["gridPos"]["y"]) for p in found["panels"]}
    assert len(places) == len(board.panels)


def test_the_page_is_written_from_the_names():
    assert (ROOT / "docs/telemetry.md").read_text() == "".join(page())


def test_each_metric_has_a_name_of_its_own_and_declared_attributes():
    text_names = [name for instrument in names.ALL for name in instrument.text_names]
    attributes = {value for value in vars(names).values() if isinstance(value, str)}

    assert len(set(text_names)) == len(text_names)
    assert all(set(instrument.attributes) <= attributes for instrument in names.ALL)
