"""Referrals and enterprises as pages, files, commands and in the quarter's report."""

import csv
import json
import re
from datetime import datetime

import pytest

from services.arbitration.disputes import queries as dispute_queries
from services.cli import referrals as command
from services.cli.report_figures import read_figures
from services.cli.report_page import page
from services.cli.report_periods import quarter_of
from services.cli.target import Target
from services.console import referral_tables
from services.console.accounts import Accounts, hashed
from tests.rpc.test_console_http import PASSWORD, application, logged_in, post
from tests.rpc.test_referrals import decided, draw, feedback, listed, record
from tests.services_in_process import in_process
from zhengming.arbitration.v1 import referral_pb2 as pb
from zhengming.ingest.v1 import ingest_pb2

PEOPLE = (
    ("ann", "reviewer", ""),
    ("vic", "vendor", "app-one"),
    ("olga", "operator", ""),
    ("audrey", "auditor", ""),
    ("police", "authority", "公安部"),
    ("miit", "authority", "工信部"),
)
FRAUD, NUISANCE = "+8613200000001", "+8613200000002"


@pytest.fixture(scope="module")
def services(chdb_engine, chdb_path, tmp_path_factory):
    with in_process(chdb_path, tmp_path_factory.mktemp("services")) as running:
        rows = [
            ingest_pb2.Registration(
                number=f"+861320000001{i}", holder="某某金融服务公司", identity="C03"
            )
            for i in range(3)
        ]
        for row in rows:
            row.valid_from_time.FromMilliseconds(running.clock.now_ms - 1000)
        running.stubs.ingest.SubmitRegistry(ingest_pb2.SubmitRegistryRequest(registrations=rows))
        decided(running, FRAUD)
        decided(running, NUISANCE, "A2000")
        for row in rows:
            decided(running, row.number, "A3000")
        draw(running)
        yield running


@pytest.fixture(scope="module")
def accounts(tmp_path_factory):
    found = Accounts(tmp_path_factory.mktemp("accounts") / "accounts.json")
    for name, role, source in PEOPLE:
        found.put(hashed(name, role, source, PASSWORD))
    return found


@pytest.fixture
def visit(services, accounts):
    return lambda name: logged_in(application(services, accounts).test_client(), name)


def read_csv(text):
    return list(csv.DictReader(text.removeprefix("\ufeff").splitlines()))


def referral_of(services, number):
    return listed(services, number=number).referrals[0].referral_id


def test_staff_sees_every_authority_and_an_authority_its_own(visit):
    all_of_them = visit("audrey").get("/referrals").text
    own = visit("police").get("/referrals").text

    assert FRAUD in all_of_them
    assert NUISANCE in all_of_them
    assert FRAUD in own
    assert NUISANCE not in own
    assert visit("police").get("/referrals?authority=工信部").status_code == 403


@pytest.mark.parametrize("path", ["/referrals", "/referrals.csv", "/holders", "/holders.csv"])
def test_vendors_and_operators_see_none_of_it(visit, path):
    assert visit("vic").get(path).status_code == 403
    assert visit("olga").get(path).status_code == 403


def test_an_authority_opens_no_other_ones_referral(services, visit):
    name = referral_of(services, NUISANCE)

    assert visit("police").get(f"/referrals/{name}").status_code == 404
    assert NUISANCE in visit("miit").get(f"/referrals/{name}").text
    assert visit("ann").get("/referrals/RFNONE").status_code == 404


def test_an_answer_shows_on_the_referral_and_on_the_numbers_page(services, visit):
    name = referral_of(services, FRAUD)
    police = visit("police")
    form = {
        "disposition": str(int(pb.DISPOSITION_CASE_OPENED)),
        "day": "2026-09-20",
        "text": "已立案",
    }
    answered = post(police, f"/referrals/{name}", form, follow_redirects=True).text
    number_page = post(visit("ann"), "/numbers", {"number": FRAUD}).text

    assert "反馈已登记" in answered
    assert "已立案" in answered
    assert "已立案" in number_page
    assert "公安部" in number_page


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"disposition": "4", "day": "x"}, "请填写完整：dispose_time"),
        ({"disposition": "4", "day": "2036-01-01"}, "日期不正确"),
        ({"disposition": "77", "day": "2026-09-20"}, "内容不符合要求：disposition"),
        ({"disposition": "", "day": "2026-09-20"}, "请填写完整：disposition"),
    ],
)
def test_a_wrong_answer_is_told_in_words(services, visit, form, told):
    name = referral_of(services, FRAUD)

    assert told in post(visit("ann"), f"/referrals/{name}", form, follow_redirects=True).text


def test_an_authority_cannot_answer_for_another(services, visit):
    name = referral_of(services, NUISANCE)
    form = {"disposition": "4", "day": "2026-09-20"}

    post(visit("police"), f"/referrals/{name}", form)

    assert not listed(services, number=NUISANCE).referrals[0].HasField("feedback")


def test_a_reviewer_draws_from_the_page_once(services, visit):
    number = "+8613200000090"
    decided(services, number)
    ann = visit("ann")
    name = re.search(r'name="request_id" value="(\w+)"', ann.get("/referrals").text)[1]

    first = post(ann, "/referrals/draw", {"request_id": name}, follow_redirects=True).text
    post(ann, "/referrals/draw", {"request_id": name})

    assert "已移送 1 条线索" in first
    assert listed(services, number=number).referrals[0].request_id == name
    assert post(visit("audrey"), "/referrals/draw", {"request_id": "x"}).status_code == 403


def test_the_file_has_every_referral_and_the_audit_knows(services, visit):
    answer = visit("audrey").get("/referrals.csv?show=all")

    rows = read_csv(answer.text)
    assert answer.mimetype == "text/csv"
    assert {FRAUD, NUISANCE} <= {row["number"] for row in rows}
    assert len(rows) == listed(services).total_count
    exports = [e for e in dispute_queries.reads(services.store, 9) if "export" in e.text]
    assert exports[0].actor == "audrey"


def test_no_cell_is_a_formula():
    assert referral_tables.plain("=1+1") == "'=1+1"
    assert referral_tables.plain("@x") == "'@x"
    assert referral_tables.plain("罚款") == "罚款"


def test_enterprises_are_listed_with_their_counts(visit):
    shown = visit("ann").get("/holders").text
    (row,) = read_csv(visit("ann").get("/holders.csv").text)

    assert "某某金融服务公司" in shown
    assert (row["offending_count"], row["marketing_count"], row["referred_count"]) == (
        "3",
        "3",
        "0",
    )


@pytest.fixture
def at_server(services, monkeypatch):
    monkeypatch.setattr(Target, "server", services.application.address)
    monkeypatch.setattr(Target, "as_json", True)


def test_the_commands_list_and_record(services, at_server, tmp_path, capsys):
    number = "+8613200000091"
    decided(services, number)
    command.draw(request_id="from the shell", authority="", maximum=10, who="ann")
    assert json.loads(capsys.readouterr().out) == {"id": "from the shell", "公安部": 1}
    command.list_referrals(
        "", open_only=False, number=number, drawn="", out=tmp_path / "r.csv", who="ann"
    )
    (row,) = read_csv((tmp_path / "r.csv").read_text())
    with (tmp_path / "f.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["referral_id", "disposition", "dispose_time", "text"])
        writer.writerow([row["referral_id"], "NUMBER_SHUT_DOWN", "2026-09-20", "关停"])
        writer.writerow(["RFNONE", "PENALISED", "2026-09-20", ""])
        writer.writerow([row["referral_id"], "GONE", "2026-09-20", ""])
        writer.writerow([row["referral_id"], "PENALISED", "soon", ""])
        writer.writerow([row["referral_id"], "", "", "not answered yet"])
    capsys.readouterr()

    command.feedback(tmp_path / "f.csv", authority="", rejects=tmp_path / "bad.csv", who="ann")

    assert json.loads(capsys.readouterr().out) == {"recorded": 1, "rejected": 3}
    bad = read_csv((tmp_path / "bad.csv").read_text())
    assert [(r["line"], r["field"], r["reason"].split(":")[0]) for r in bad] == [
        ("3", "", "REFERRAL_NOT_FOUND"),
        ("4", "disposition", "FIELD_OUT_OF_RANGE"),
        ("5", "dispose_time", "TIME_INVALID"),
    ]
    assert listed(services, number=number).referrals[0].feedback.text == "关停"


def test_the_command_lists_enterprises(at_server, capsys):
    command.holders(minimum=3, out=None, who="ann")

    assert json.loads(capsys.readouterr().out)["holder"] == "某某金融服务公司"


def test_the_quarter_tells_what_was_referred_answered_and_who_offends(services):
    number = "+8613200000092"
    decided(services, number)
    draw(services)
    record(services, feedback(services, referral_of(services, number), pb.DISPOSITION_PENALISED))

    figures = read_figures(services.store, quarter_of("2026Q3"))
    text = page(figures, datetime(2026, 11, 25))

    police = next(f for f in figures.referrals if f.authority == "公安部")
    assert police.referral_count == listed(services, authority="公安部").total_count
    assert police.dispositions[pb.DISPOSITION_PENALISED] == 1
    assert [(h.holder, h.offending_count) for h in figures.holders] == [("某某金融服务公司", 3)]
    assert "行政处罚 penalised 1" in text
    assert "某某金融服务公司" in text
    assert number[1:] not in text
    assert read_figures(services.store, quarter_of("2026Q2")).referrals == []
