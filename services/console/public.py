"""Pages for holders of numbers: ask what is said, contest it, follow the case."""

import uuid
from typing import Any
from urllib.parse import urlsplit

import flask
import grpc

from services.common.errors import DomainError
from services.console import limits, web
from services.console.arrivals import arrivals
from services.console.web import CALL_S, site
from zhengming.arbitration.v1 import dispute_pb2 as pb
from zhengming.arbitration.v1 import notice_pb2
from zhengming.reputation.v1 import reputation_pb2

pages = flask.Blueprint("public", __name__)

GROUNDS = [value for value in pb.DisputeGround.values() if value]
PAPERS = [value for value in pb.EvidenceKind.values() if value]
KINDS = [value for value in pb.ApplicantKind.values() if value]
MAX_PAPER_BYTES = 2 << 20
YEAR_S = 365 * 86_400


@pages.get("/")
def home() -> Any:
    """Ask."""
    return flask.render_template("home.html")


@pages.post("/number")
def ask() -> Any:
    """What is said of a number. By POST: a number is no part of an address or a log."""
    web.limit(limits.LOOKUP)
    number = flask.request.form.get("number", "")[:64]
    try:
        found = site().upstream.reputation.ExplainReputation(
            reputation_pb2.ExplainReputationRequest(number=number), timeout=CALL_S
        )
    except grpc.RpcError as error:
        flask.flash(web.told(web.translated(error)), "error")
        return flask.render_template("home.html", number=number), 400
    return flask.render_template("home.html", number=number, found=found)


@pages.route("/contest", methods=["GET", "POST"])
def contest() -> Any:
    """File a dispute."""
    form = flask.request.form
    if flask.request.method == "GET" or "statement" not in form:
        return _contest_page(form.get("number", ""))
    web.limit(limits.FILING)
    request = pb.FileDisputeRequest(
        number=form.get("number", "")[:64],
        request_id=form.get("request_id", "")[:64],
        applicant_kind=_number(form.get("applicant_kind")),
        applicant_name=form.get("applicant_name", ""),
        ground=_number(form.get("ground")),
        statement=form.get("statement", ""),
    )
    try:
        filed = site().upstream.disputes.FileDispute(request, timeout=CALL_S)
    except grpc.RpcError as error:
        flask.flash(web.told(web.translated(error)), "error")
        return _contest_page(request.number), 400
    flask.session["case"] = filed.case_number
    flask.session["is_new"] = True
    return flask.redirect(flask.url_for("public.case"), 303)


def _contest_page(number: str) -> str:
    return flask.render_template(
        "contest.html",
        number=number,
        request_id=uuid.uuid4().hex,
        grounds=GROUNDS,
        kinds=KINDS,
        form=flask.request.form,
    )


@pages.get("/case")
def case() -> Any:
    """The case that this visitor follows."""
    number = flask.session.get("case", "")
    if not number:
        return flask.render_template("follow.html")
    stub = site().upstream.disputes
    try:
        dispute = stub.GetDispute(pb.GetDisputeRequest(case_number=number), timeout=CALL_S)
        events = stub.ListDisputeEvents(
            pb.ListDisputeEventsRequest(case_number=number), timeout=CALL_S
        ).events
        published = site().upstream.reputation.GetReputation(
            reputation_pb2.GetReputationRequest(number=dispute.number), timeout=CALL_S
        )
        targets = (
            site()
            .upstream.notices.ListNoticeTargets(
                notice_pb2.ListNoticeTargetsRequest(case_number=number), timeout=CALL_S
            )
            .targets
        )
    except grpc.RpcError as error:
        flask.session.pop("case", None)
        flask.flash(web.told(web.translated(error)), "error")
        return flask.render_template("follow.html"), 404
    return flask.render_template(
        "case.html",
        case_number=number,
        is_new=flask.session.pop("is_new", False),
        dispute=dispute,
        events=events,
        published=published,
        arrived=arrivals(dispute),
        targets=targets,
        papers=PAPERS,
        codes_sent=sum(e.kind == pb.DISPUTE_EVENT_KIND_CODE_SENT for e in events),
        pb=pb,
    )


@pages.post("/case")
def follow() -> Any:
    """Follow a case by its number; an empty one forgets it."""
    web.limit(limits.CASE)
    flask.session.pop("case", None)
    if number := flask.request.form.get("case_number", "").strip()[:40]:
        flask.session["case"] = number
    return flask.redirect(flask.url_for("public.case"), 303)


@pages.post("/case/<action>")
def act(action: str) -> Any:
    """Do what an applicant can do."""
    web.limit(limits.CASE)
    form, number = flask.request.form, flask.session.get("case", "")
    stub = site().upstream.disputes
    try:
        if action == "code":
            stub.SendOwnershipCode(pb.SendOwnershipCodeRequest(case_number=number), timeout=CALL_S)
        elif action == "prove":
            stub.ProveOwnership(
                pb.ProveOwnershipRequest(case_number=number, code=form.get("code", "")),
                timeout=CALL_S,
            )
        elif action == "paper":
            stub.AddEvidence(_paper(number), timeout=CALL_S)
        elif action == "appeal":
            stub.AppealDispute(
                pb.AppealDisputeRequest(case_number=number, statement=form.get("statement", "")),
                timeout=CALL_S,
            )
        elif action == "withdraw":
            stub.WithdrawDispute(pb.WithdrawDisputeRequest(case_number=number), timeout=CALL_S)
        else:
            flask.abort(404)
    except grpc.RpcError as error:
        flask.flash(web.told(web.translated(error)), "error")
    except DomainError as error:
        flask.flash(web.told(error), "error")
    else:
        flask.flash(flask.g.say(f"done.{action}"), "done")
    return flask.redirect(flask.url_for("public.case"), 303)


def _paper(number: str) -> pb.AddEvidenceRequest:
    file = flask.request.files.get("content")
    content = file.stream.read(MAX_PAPER_BYTES + 1) if file else b""
    return pb.AddEvidenceRequest(
        case_number=number,
        kind=_number(flask.request.form.get("kind")),
        text=flask.request.form.get("text", ""),
        content=content,
        media_type=(file.mimetype or "") if file and content else "",
    )


def _number(text: str | None) -> Any:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 4 else 0


@pages.post("/settings")
def settings() -> Any:
    """Choose language or theme, and go back."""
    form = flask.request.form
    target = urlsplit(form.get("to", "/").replace("\\", "/"))
    back = target.path if target.path.startswith("/") and not target.netloc else "/"
    if target.query and back != "/":
        back += f"?{target.query}"
    response = flask.redirect(back if not back.startswith("//") else "/", 303)
    if form.get("lang") in ("zh", "en"):
        response.set_cookie("lang", form["lang"], max_age=YEAR_S, samesite="Lax", httponly=True)
    if form.get("theme") in ("auto", "light", "dark"):
        response.set_cookie("theme", form["theme"], max_age=YEAR_S, samesite="Lax", httponly=True)
    return response
