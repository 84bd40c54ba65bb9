"""Pages of notices: where they go, and what became of them."""

from typing import Any

import flask
import grpc

from services.console import limits, web
from services.console.web import CALL_S, require, site
from zhengming.arbitration.v1 import notice_pb2 as pb

pages = flask.Blueprint("notices", __name__)


@pages.route("/notices", methods=["GET", "POST"])
def notices() -> Any:
    """Targets; added, removed, dead notices begun anew, by the operator or a vendor for its own."""
    account = require("operator", "vendor")
    own = account.source if account.role == "vendor" else ""
    stub, form = site().upstream.notices, flask.request.form
    if flask.request.method == "POST":
        target = form.get("target", "")[:40]
        try:
            if form.get("action") == "remove":
                stub.DeleteNoticeTarget(
                    pb.DeleteNoticeTargetRequest(
                        target_id=target, removed_by=account.name, source=own
                    ),
                    timeout=CALL_S,
                )
                flask.flash(flask.g.say("notices.removed"), "done")
            elif form.get("action") == "retry":
                asked = pb.RetryNoticesRequest(target_id=target, asked_by=account.name, source=own)
                count = stub.RetryNotices(asked, timeout=CALL_S).notice_count
                flask.flash(flask.g.say("notices.retried", count=count), "done")
            else:
                request = pb.CreateNoticeTargetRequest(
                    url=form.get("url", ""), created_by=account.name
                )
                if own:
                    request.source = own
                elif form.get("party") == "holder":
                    request.holder = form.get("name", "")
                else:
                    request.source = form.get("name", "")
                added = stub.CreateNoticeTarget(request, timeout=CALL_S)
                flask.flash(flask.g.say("notices.added", secret=added.signing_secret), "done")
        except grpc.RpcError as error:
            flask.flash(web.told(web.translated(error)), "error")
        return flask.redirect(flask.url_for("notices.notices"), 303)
    listed = stub.ListNoticeTargets(
        pb.ListNoticeTargetsRequest(reader=account.name, source=own), timeout=CALL_S
    )
    return flask.render_template("notices.html", targets=listed.targets, own=own, pb=pb)


@pages.get("/notices/<target_id>")
def target(target_id: str) -> Any:
    """The newest notices of a target."""
    account = require("operator", "vendor")
    own = account.source if account.role == "vendor" else ""
    found = site().upstream.notices.ListNotices(
        pb.ListNoticesRequest(target_id=target_id[:40], reader=account.name, source=own),
        timeout=CALL_S,
    )
    return flask.render_template(
        "notice_target.html", target_id=target_id, notices=found.notices, pb=pb
    )


@pages.post("/case/notices")
def subscribe() -> Any:
    """The applicant adds or removes an address for the own case."""
    web.limit(limits.CASE)
    form, number = flask.request.form, flask.session.get("case", "")
    stub = site().upstream.notices
    try:
        if form.get("target"):
            stub.DeleteNoticeTarget(
                pb.DeleteNoticeTargetRequest(target_id=form["target"][:40], case_number=number),
                timeout=CALL_S,
            )
            flask.flash(flask.g.say("notices.removed"), "done")
        else:
            added = stub.CreateNoticeTarget(
                pb.CreateNoticeTargetRequest(case_number=number, url=form.get("url", "")),
                timeout=CALL_S,
            )
            flask.flash(flask.g.say("notices.added", secret=added.signing_secret), "done")
    except grpc.RpcError as error:
        flask.flash(web.told(web.translated(error)), "error")
    return flask.redirect(flask.url_for("public.case"), 303)
