"""Pages behind the log-in: for reviewers, vendors, operators and auditors."""

import time
from typing import Any

import flask
import grpc

from services.common.taxonomy import standard
from services.console import choices, limits, similar, web
from services.console.cases import timeline
from services.console.web import CALL_S, Refused, require, site
from zhengming.arbitration.v1 import arbitration_pb2, ledger_pb2, referral_pb2
from zhengming.arbitration.v1 import dispute_pb2 as pb
from zhengming.ingest.v1 import ingest_pb2, number_pb2, taxonomy_pb2
from zhengming.reputation.v1 import feed_pb2, reputation_pb2
from zhengming.scoring.v1 import scoring_pb2
from zhengming.type.v1 import number_pb2 as type_pb2

pages = flask.Blueprint("staff", __name__)

HOME = {"reviewer": "cases.queue", "vendor": "staff.sources", "auditor": "staff.audit",
        "operator": "staff.health", "authority": "referrals.referrals"}  # fmt: skip


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


@pages.route("/numbers", methods=["GET", "POST"])
def numbers() -> Any:
    """What is known of a number."""
    account = require("reviewer", "auditor")
    number = flask.request.form.get("number", "")[:64]
    if not number:
        return flask.render_template("number.html", number="")
    try:
        # All at once: each waits for the store most of its time.
        upstream = site().upstream
        explaining = upstream.reputation.ExplainReputation.future(
            reputation_pb2.ExplainReputationRequest(number=number, reasons_only=True),
            timeout=CALL_S,
        )
        filing = upstream.disputes.GetCaseFile.future(
            pb.GetCaseFileRequest(number=number, reader=account.name), timeout=CALL_S
        )
        alike = similar.asking(number)
        listing = upstream.disputes.ListDisputes.future(
            pb.ListDisputesRequest(reader=account.name, number=number), timeout=CALL_S
        )
        referring = upstream.referrals.ListReferrals.future(
            referral_pb2.ListReferralsRequest(reader=account.name, number=number), timeout=CALL_S
        )
        describing = upstream.numbers.BatchDescribeNumbers.future(
            number_pb2.BatchDescribeNumbersRequest(numbers=[number]), timeout=CALL_S
        )
        explained, case, disputes = explaining.result(), filing.result(), listing.result()
        found_alike = similar.answered(alike, number)
        referred, described = referring.result().referrals, describing.result()
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
        alike=found_alike,
        referred=referred,
        referral_pb2=referral_pb2,
        timeline=timeline(case),
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
    measuring = ledger.GetAccuracy.future(ledger_pb2.GetAccuracyRequest(), timeout=CALL_S)
    try:
        drawn = ledger.GetSample(ledger_pb2.GetSampleRequest(), timeout=CALL_S)
    except grpc.RpcError as error:
        if web.translated(error).reason != "SAMPLE_NOT_FOUND":
            raise
        drawn = None
    return flask.render_template(
        "sample.html",
        sample=drawn,
        accuracy=measuring.result(),
        choices=choices.verdicts(),
    )


@pages.get("/campaigns")
def campaigns() -> Any:
    """Numbers that seem to be worked together."""
    account = require("reviewer", "auditor")
    site().upstream.disputes.RecordAccess(
        pb.RecordAccessRequest(reader=account.name, what="campaigns"), timeout=CALL_S
    )
    try:
        listed = similar.campaigns(flask.request.args.get("page", "")[:64])
    except grpc.RpcError as error:
        if web.translated(error).reason != "PAGE_TOKEN_INVALID":
            raise
        return flask.redirect(flask.url_for("staff.campaigns"), 303)
    return flask.render_template("campaigns.html", listed=listed)


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
    require("reviewer", "auditor", "operator", "vendor", "authority")
    listed = site().upstream.arbitration.ListHalfLives(
        arbitration_pb2.ListHalfLivesRequest(), timeout=CALL_S
    )
    lives = {life.category: life for life in listed.half_lives if life.pair_count}
    return flask.render_template("taxonomy.html", standard=standard.load(), lives=lives)


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
        choices=choices.meanings(),
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
