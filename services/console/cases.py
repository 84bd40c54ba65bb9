"""Pages of disputes: the queue, a dispute, what reviewers and sources do."""

from typing import Any

import flask
import grpc

from services.common.taxonomy import standard
from services.console import plots, similar, web
from services.console.accounts import Account
from services.console.arrivals import arrivals
from services.console.web import CALL_S, Refused, require, site
from zhengming.arbitration.v1 import dispute_pb2 as pb
from zhengming.reputation.v1 import reputation_pb2

pages = flask.Blueprint("cases", __name__)

STATES = [value for value in pb.DisputeState.values() if value]
OUTCOMES = [value for value in pb.DisputeOutcome.values() if value]
REASONS = [value for value in pb.DecisionReason.values() if value]
STANCES = [value for value in pb.SourceStance.values() if value]
OPEN = [
    pb.DISPUTE_STATE_ACKNOWLEDGED,
    pb.DISPUTE_STATE_WITH_SOURCES,
    pb.DISPUTE_STATE_IN_REVIEW,
    pb.DISPUTE_STATE_APPEALED,
]
QUEUES = {
    "open": OPEN,
    "review": [pb.DISPUTE_STATE_IN_REVIEW, pb.DISPUTE_STATE_APPEALED],
    "sources": [pb.DISPUTE_STATE_WITH_SOURCES],
    "unproven": [pb.DISPUTE_STATE_ACKNOWLEDGED],
    "decided": [pb.DISPUTE_STATE_DECIDED, pb.DISPUTE_STATE_CLOSED],
    "all": [],
}
PAGE = 50


@pages.get("/queue")
def queue() -> Any:
    """Disputes with their clocks; a vendor sees those it was asked about."""
    account = require("reviewer", "auditor", "vendor")
    args = flask.request.args
    name = args.get("show", "open")
    request = pb.ListDisputesRequest(
        reader=account.name,
        states=QUEUES.get(name, OPEN),
        number=args.get("number", "")[:64],
        source=account.source if account.role == "vendor" else args.get("source", "")[:64],
        double_review_only=bool(args.get("grave")),
        overdue_only=bool(args.get("overdue")),
        page_size=PAGE,
        page_token=args.get("page", ""),
    )
    found = site().upstream.disputes.ListDisputes(request, timeout=CALL_S)
    return flask.render_template(
        "queue.html", found=found, show=name, queues=QUEUES, args=args, pb=pb
    )


@pages.get("/disputes/<dispute_id>")
def dispute(dispute_id: str) -> Any:
    """One dispute on one page."""
    account = require("reviewer", "auditor", "vendor")
    stub = site().upstream.disputes
    if account.role == "vendor":
        found = _readable(account, dispute_id)
        return flask.render_template(
            "vendor_dispute.html", dispute=found, stances=STANCES, source=account.source, pb=pb
        )
    # All at once: each waits for the store most of its time.
    listing = stub.ListDisputeEvents.future(
        pb.ListDisputeEventsRequest(dispute_id=dispute_id, reader=account.name), timeout=CALL_S
    )
    found = _readable(account, dispute_id)
    filed = stub.GetCaseFile.future(
        pb.GetCaseFileRequest(number=found.number, reader=account.name, dispute_id=dispute_id),
        timeout=CALL_S,
    )
    alike = similar.asking(found.number)
    reputation = site().upstream.reputation.GetReputation(
        reputation_pb2.GetReputationRequest(number=found.number), timeout=CALL_S
    )
    events, case = listing.result().events, filed.result()
    return flask.render_template(
        "dispute.html",
        dispute=found,
        events=events,
        case=case,
        published=reputation,
        arrived=arrivals(found),
        alike=similar.answered(alike, found.number),
        timeline=timeline(case),
        outcomes=OUTCOMES,
        reasons=REASONS,
        categories=standard.load().categories,
        may_review=account.role == "reviewer" and account.name not in found.engaged_reviewers,
        pb=pb,
    )


def _readable(account: Account, dispute_id: str) -> pb.Dispute:
    found = site().upstream.disputes.GetDispute(
        pb.GetDisputeRequest(dispute_id=dispute_id, reader=account.name), timeout=CALL_S
    )
    if account.role == "vendor" and account.source not in found.sources:
        raise Refused("PERMISSION_DENIED", "another source's dispute", role=account.role)
    return found


def timeline(case: pb.CaseFile) -> Any:
    """Marks by source and day, drawn."""
    say = flask.g.say
    dots = [
        plots.Dot(
            lane=day.source,
            time_ms=day.day_time.ToMilliseconds(),
            count=day.mark_count,
            tone=0 if day.former else plots.tone_of(day.category),
            title=f"{say.day(day.day_time)} · {day.label} · {day.mark_count}"
            + (f" · {say('dispute.former')}" if day.former else ""),
        )
        for day in case.mark_days
    ]
    lines = []
    if case.posterior.HasField("epoch_start_time"):
        began = case.posterior.epoch_start_time.ToMilliseconds()
        if not dots or began >= min(dot.time_ms for dot in dots):
            lines = [(began, say("dispute.epoch"))]
    return plots.timeline(dots, site().clock(), lines, say("dispute.timeline"))


@pages.post("/disputes/<dispute_id>/<action>")
def act(dispute_id: str, action: str) -> Any:
    """What reviewers, and vendors as sources, do."""
    account = require("vendor" if action == "answer" else "reviewer")
    form, stub = flask.request.form, site().upstream.disputes
    text = form.get("text", "")
    try:
        if action == "answer":
            _readable(account, dispute_id)
            stub.AnswerAsSource(
                pb.AnswerAsSourceRequest(
                    dispute_id=dispute_id, source=account.source, stance=_enum("stance"), text=text
                ),
                timeout=CALL_S,
            )
        elif action == "confirm":
            stub.ConfirmOwnership(
                pb.ConfirmOwnershipRequest(dispute_id=dispute_id, reviewer=account.name, text=text),
                timeout=CALL_S,
            )
        elif action == "request":
            stub.RequestEvidence(
                pb.RequestEvidenceRequest(dispute_id=dispute_id, reviewer=account.name, text=text),
                timeout=CALL_S,
            )
        elif action in ("opinion", "decide"):
            view = pb.Opinion(
                outcome=_enum("outcome"),
                category=form.get("category", "")
                if _enum("outcome") == pb.DISPUTE_OUTCOME_RELABELLED
                else "",
                reason=_enum("reason"),
                text=text,
            )
            if action == "opinion":
                stub.SubmitOpinion(
                    pb.SubmitOpinionRequest(
                        dispute_id=dispute_id, reviewer=account.name, opinion=view
                    ),
                    timeout=CALL_S,
                )
            else:
                stub.DecideDispute(
                    pb.DecideDisputeRequest(
                        dispute_id=dispute_id, reviewer=account.name, decision=view
                    ),
                    timeout=CALL_S,
                )
        else:
            flask.abort(404)
    except grpc.RpcError as error:
        flask.flash(web.told(web.translated(error)), "error")
    else:
        flask.flash(flask.g.say(f"done.{action}"), "done")
    return flask.redirect(flask.url_for("cases.dispute", dispute_id=dispute_id), 303)


def _enum(field: str) -> Any:
    text = flask.request.form.get(field, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0


@pages.get("/disputes/<dispute_id>/papers/<paper>")
def paper(dispute_id: str, paper: str) -> Any:
    """A paper, to be saved: never shown in the page's own origin."""
    account = require("reviewer", "auditor")
    found = site().upstream.disputes.GetEvidence(
        pb.GetEvidenceRequest(dispute_id=dispute_id, evidence_id=paper, reader=account.name),
        timeout=CALL_S,
    )
    ending = {"image/png": "png", "image/jpeg": "jpg", "application/pdf": "pdf"}
    response = flask.Response(found.content, mimetype=found.media_type or "text/plain")
    name = f"{dispute_id}-{found.evidence_id}.{ending.get(found.media_type, 'txt')}"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
