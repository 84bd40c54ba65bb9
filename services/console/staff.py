"""Pages behind the log-in: for reviewers, vendors, operators and auditors."""

import time
from typing import Any

import flask
import grpc

from services.common.taxonomy import standard
from services.console import limits, plots, web
from services.console.accounts import Account
from services.console.web import CALL_S, Refused, require, site
from zhengming.arbitration.v1 import arbitration_pb2, ledger_pb2
from zhengming.arbitration.v1 import dispute_pb2 as pb
from zhengming.ingest.v1 import ingest_pb2, number_pb2, taxonomy_pb2
from zhengming.reputation.v1 import feed_pb2, reputation_pb2
from zhengming.scoring.v1 import scoring_pb2
from zhengming.type.v1 import number_pb2 as type_pb2

pages = flask.Blueprint("staff", __name__)

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
HOME = {"reviewer": "staff.queue", "vendor": "staff.sources", "auditor": "staff.audit",
        "operator": "staff.health"}  # fmt: skip


@pages.route("/login", methods=["GET", "POST"])
def login() -> Any:
    """Log in."""
    form = flask.request.form
    if flask.request.method == "GET":
        return flask.render_template("login.html", to=flask.request.args.get("to", ""))
    web.limit(limits.LOGIN)
    account = site().accounts.check(form.get("name", ""), form.get("password", ""))
    if account is None:
        flask.flash(flask.g.say("error.login"), "error")
        return flask.render_template("login.html", to=form.get("to", "")), 401
    flask.session.clear()  # a session that was there before must not become ours
    flask.session["account"] = account.name
    web.csrf()
    to = form.get("to", "")
    plain = to.startswith("/") and not to.startswith(("//", "/\\"))
    return flask.redirect(to if plain else flask.url_for(HOME[account.role]), 303)


@pages.post("/logout")
def logout() -> Any:
    """Log out."""
    flask.session.clear()
    return flask.redirect(flask.url_for("public.home"), 303)


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
    found = _readable(account, dispute_id)
    if account.role == "vendor":
        return flask.render_template(
            "vendor_dispute.html", dispute=found, stances=STANCES, source=account.source, pb=pb
        )
    # All at once: each waits for the store most of its time.
    listing = stub.ListDisputeEvents.future(
        pb.ListDisputeEventsRequest(dispute_id=dispute_id, reader=account.name), timeout=CALL_S
    )
    filed = stub.GetCaseFile.future(
        pb.GetCaseFileRequest(number=found.number, reader=account.name, dispute_id=dispute_id),
        timeout=CALL_S,
    )
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
        timeline=_timeline(case),
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


def _timeline(case: pb.CaseFile) -> Any:
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
    return flask.redirect(flask.url_for("staff.dispute", dispute_id=dispute_id), 303)


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


@pages.route("/numbers", methods=["GET", "POST"])
def numbers() -> Any:
    """What is known of a number."""
    account = require("reviewer", "auditor")
    number = flask.request.form.get("number", "")[:64]
    if not number:
        return flask.render_template("number.html", number="")
    try:
        explaining = site().upstream.reputation.ExplainReputation.future(
            reputation_pb2.ExplainReputationRequest(number=number), timeout=CALL_S
        )
        filing = site().upstream.disputes.GetCaseFile.future(
            pb.GetCaseFileRequest(number=number, reader=account.name), timeout=CALL_S
        )
        disputes = site().upstream.disputes.ListDisputes(
            pb.ListDisputesRequest(reader=account.name, number=number), timeout=CALL_S
        )
        asked = number_pb2.BatchDescribeNumbersRequest(numbers=[number])
        described = site().upstream.numbers.BatchDescribeNumbers(asked, timeout=CALL_S)
        explained, case = explaining.result(), filing.result()
    except grpc.RpcError as error:
        flask.flash(web.told(web.translated(error)), "error")
        return flask.render_template("number.html", number=number), 400
    return flask.render_template(
        "number.html",
        number=number,
        explained=explained,
        case=case,
        described=described.results[0].number,
        found=disputes,
        timeline=_timeline(case),
        pb=pb,
        reputation_pb2=reputation_pb2,
        NumberKind=type_pb2.NumberKind,
    )


@pages.get("/sources")
def sources() -> Any:
    """Scorecards; a vendor sees its own."""
    account = require("reviewer", "auditor", "operator", "vendor")
    own = account.source if account.role == "vendor" else ""
    if account.role == "vendor" and flask.request.args.get("source", own) != own:
        raise Refused("PERMISSION_DENIED", "another source's scorecard", role=account.role)
    listed = site().upstream.arbitration.ListSources(
        arbitration_pb2.ListSourcesRequest(), timeout=CALL_S
    )
    outcomes = (
        site()
        .upstream.disputes.ListSourceOutcomes(
            pb.ListSourceOutcomesRequest(source=own), timeout=CALL_S
        )
        .outcomes
    )
    cards = sorted(listed.sources, key=lambda source: -source.accuracy)
    ranks = {source.name: at for at, source in enumerate(cards, 1)}
    return flask.render_template(
        "sources.html",
        cards=[source for source in cards if own in ("", source.name)],
        ranks=ranks,
        count=len(cards),
        outcomes={outcome.source: outcome for outcome in outcomes},
        run_id=listed.run_id,
        own=own,
    )


@pages.get("/sources/<name>")
def scorecard(name: str) -> Any:
    """One source's scorecard; a vendor sees its own."""
    account = require("reviewer", "auditor", "operator", "vendor")
    if account.role == "vendor" and name != account.source:
        raise Refused("PERMISSION_DENIED", "another source's scorecard", role=account.role)
    card = site().upstream.arbitration.GetScorecard(
        arbitration_pb2.GetScorecardRequest(source=name[:64]), timeout=CALL_S
    )
    return flask.render_template("scorecard.html", card=card)


@pages.route("/sample", methods=["GET", "POST"])
def sample() -> Any:
    """The weekly random sample of published labels, and what its review has shown."""
    account = require("reviewer", "auditor")
    ledger = site().upstream.ledger
    form = flask.request.form
    if flask.request.method == "POST":
        require("reviewer")
        try:
            if form.get("action") == "draw":
                ledger.DrawSample(ledger_pb2.DrawSampleRequest(), timeout=CALL_S)
            else:
                ledger.ReviewSample(
                    ledger_pb2.ReviewSampleRequest(
                        number=form.get("number", "")[:64],
                        verdict=form.get("verdict", "")[:16],
                        reviewer=account.name,
                    ),
                    timeout=CALL_S,
                )
        except grpc.RpcError as error:
            flask.flash(web.told(web.translated(error)), "error")
        return flask.redirect(flask.url_for("staff.sample"), 303)
    try:
        drawn = ledger.GetSample(ledger_pb2.GetSampleRequest(), timeout=CALL_S)
    except grpc.RpcError as error:
        if web.translated(error).reason != "SAMPLE_NOT_FOUND":
            raise
        drawn = None
    codes = [category.code for category in standard.load().categories]

    def choices(label: ledger_pb2.SampledLabel) -> list[str]:
        first = ["", label.category, "CLEARED", "UNSURE"]
        return first + [code for code in codes if code != label.category]

    return flask.render_template(
        "sample.html",
        sample=drawn,
        accuracy=ledger.GetAccuracy(ledger_pb2.GetAccuracyRequest(), timeout=CALL_S),
        choices=choices,
    )


@pages.get("/consumers")
def consumers() -> Any:
    """Who keeps a copy, and how far it is."""
    require("operator", "reviewer", "auditor")
    listed = site().upstream.feed.ListConsumers(feed_pb2.ListConsumersRequest(), timeout=CALL_S)
    return flask.render_template(
        "consumers.html", consumers=listed.consumers, version=listed.version
    )


@pages.get("/taxonomy")
def taxonomy() -> Any:
    """The category standard."""
    require("reviewer", "auditor", "operator", "vendor")
    return flask.render_template("taxonomy.html", standard=standard.load())


@pages.route("/labels", methods=["GET", "POST"])
def labels() -> Any:
    """Labels that nobody has placed, and what a reviewer says they mean."""
    account = require("reviewer")
    upstream = site().upstream.taxonomy
    if flask.request.method == "POST":
        form = flask.request.form
        ask = taxonomy_pb2.ConfirmMappingRequest(
            source=form.get("source", "")[:64],
            label=form.get("label", "")[:400],
            every_source=form.get("every") == "1",
            reviewer=account.name,
            note=form.get("note", ""),
        )
        ask.meanings.add(category=form.get("category", "")[:16], weight=1.0)
        try:
            done = upstream.ConfirmMapping(ask, timeout=CALL_S)
        except grpc.RpcError as error:
            flask.flash(web.told(web.translated(error)), "error")
        else:
            flask.flash(flask.g.say("labels.done", count=done.touched_number_count), "done")
        return flask.redirect(flask.url_for("staff.labels"), 303)
    return flask.render_template(
        "labels.html",
        queue=upstream.ListUnknownLabels(taxonomy_pb2.ListUnknownLabelsRequest(), timeout=CALL_S),
        confirmed=upstream.ListMappings(
            taxonomy_pb2.ListMappingsRequest(page_size=20), timeout=CALL_S
        ).mappings,
        standard=standard.load(),
    )


@pages.get("/outbox")
def outbox() -> Any:
    """Messages to send."""
    account = require("operator")
    found = site().upstream.disputes.ListOutboxMessages(
        pb.ListOutboxMessagesRequest(reader=account.name), timeout=CALL_S
    )
    return flask.render_template("outbox.html", messages=found.messages)


@pages.get("/health")
def health() -> Any:
    """How the system is."""
    require("operator", "reviewer", "auditor")
    upstream = site().upstream
    checks: list[tuple[str, float, str]] = []

    def timed(name: str, call: Any, request: Any) -> Any:
        began = time.perf_counter()
        try:
            answer, fault = call(request, timeout=CALL_S), ""
        except grpc.RpcError as error:
            answer, fault = None, web.told(web.translated(error))
        checks.append((name, (time.perf_counter() - began) * 1000, fault))
        return answer

    version = timed(
        "reputation", upstream.reputation.GetVersion, reputation_pb2.GetVersionRequest()
    )
    tail = timed("ingest", upstream.ingest.ListChanges, ingest_pb2.ListChangesRequest(tail=True))
    listed = timed(
        "arbitration", upstream.arbitration.ListSources, arbitration_pb2.ListSourcesRequest()
    )
    models = timed("scoring", upstream.scoring.ListModels, scoring_pb2.ListModelsRequest())
    behind = None
    if version and tail:
        behind = int(tail.next_cursor or 0) - int(version.change_cursor or 0)
    return flask.render_template(
        "health.html", checks=checks, version=version, behind=behind, listed=listed, models=models
    )


@pages.get("/audit")
def audit() -> Any:
    """The proof of the audit."""
    require("auditor")
    proof = None
    if flask.request.args.get("verify"):
        proof = site().upstream.disputes.VerifyAudit(pb.VerifyAuditRequest(), timeout=600)
    return flask.render_template("audit.html", proof=proof, accounts=site().accounts.names())
