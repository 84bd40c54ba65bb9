"""Pages of referrals: what went to which authority, what it answered, who offends most."""

import uuid
from datetime import datetime
from typing import Any

import flask
import grpc

from services.common.taxonomy import standard
from services.console import referral_tables, web
from services.console.accounts import Account
from services.console.language import CHINA
from services.console.web import CALL_S, Refused, require, site
from zhengming.arbitration.v1 import referral_pb2 as pb

pages = flask.Blueprint("referrals", __name__)

PAGE, EXPORT_PAGE = 50, 5_000
DISPOSITIONS = [value for value in pb.Disposition.values() if value]


def _own(account: Account, asked: str) -> str:
    """The authority to show: an authority sees its own referrals alone.

    Raises:
        Refused: PERMISSION_DENIED.
    """
    if account.role != "authority":
        return asked
    if asked not in ("", account.source):
        raise Refused("PERMISSION_DENIED", "another authority's referrals", role=account.role)
    return account.source


@pages.get("/referrals")
def referrals() -> Any:
    """Counts by authority, and the referrals of one or of all."""
    account = require("reviewer", "auditor", "authority")
    args = flask.request.args
    authority = _own(account, args.get("authority", "")[:40])
    show = args.get("show", "open")
    found = site().upstream.referrals.ListReferrals(
        pb.ListReferralsRequest(
            reader=account.name,
            authority=authority,
            open_only=show != "all",
            page_size=PAGE,
            page_token=args.get("page", "")[:120],
        ),
        timeout=CALL_S,
    )
    return flask.render_template(
        "referrals.html",
        found=found,
        authority=authority,
        show="all" if show == "all" else "open",
        authorities=standard.load().authorities.values(),
        request_id=uuid.uuid4().hex,
        pb=pb,
    )


@pages.post("/referrals/draw")
def draw() -> Any:
    """Draw what was not referred yet."""
    account = require("reviewer")
    form = flask.request.form
    request = pb.DrawReferralsRequest(
        request_id=form.get("request_id", "")[:64],
        drawn_by=account.name,
        authority=form.get("authority", "")[:40],
    )
    try:
        drawn = site().upstream.referrals.DrawReferrals(request, timeout=CALL_S)
    except grpc.RpcError as error:
        flask.flash(web.told(web.translated(error)), "error")
    else:
        count = sum(found.referral_count for found in drawn.counts)
        flask.flash(flask.g.say("referrals.drawn", count=count), "done")
    return flask.redirect(flask.url_for("referrals.referrals"), 303)


@pages.get("/referrals.csv")
def download() -> Any:
    """The list as a file."""
    account = require("reviewer", "auditor", "authority")
    args = flask.request.args
    request = pb.ListReferralsRequest(
        reader=account.name,
        authority=_own(account, args.get("authority", "")[:40]),
        open_only=args.get("show", "open") != "all",
        export=True,
        page_size=EXPORT_PAGE,
    )
    rows = []
    while True:
        page = site().upstream.referrals.ListReferrals(request, timeout=CALL_S)
        rows += [referral_tables.referral_row(found) for found in page.referrals]
        request.page_token = page.next_page_token
        if not request.page_token:
            return _file("referrals", referral_tables.REFERRALS, rows)


@pages.get("/referrals/<referral_id>")
def referral(referral_id: str) -> Any:
    """One referral with every answer."""
    account = require("reviewer", "auditor", "authority")
    return flask.render_template(
        "referral.html",
        found=_referral(account, referral_id),
        dispositions=DISPOSITIONS,
        today=datetime.fromtimestamp(site().clock() / 1000, CHINA).date().isoformat(),
        pb=pb,
    )


@pages.post("/referrals/<referral_id>")
def answer(referral_id: str) -> Any:
    """Record what the authority answered."""
    account = require("reviewer", "authority")
    form = flask.request.form
    item = pb.Feedback(referral_id=referral_id[:64], text=form.get("text", ""))
    kind = form.get("disposition", "")
    if kind.isascii() and kind.isdigit() and len(kind) < 3:
        item.disposition = int(kind)  # type: ignore[assignment]
    try:
        day = datetime.fromisoformat(form.get("day", "")[:10]).replace(tzinfo=CHINA)
        item.dispose_time.FromMilliseconds(int(day.timestamp() * 1000))
    except (ValueError, OverflowError):
        item.ClearField("dispose_time")
    request = pb.RecordFeedbackRequest(
        recorded_by=account.name, authority=_own(account, ""), feedback=[item]
    )
    try:
        (result,) = site().upstream.referrals.RecordFeedback(request, timeout=CALL_S).results
    except grpc.RpcError as error:
        flask.flash(web.told(web.translated(error)), "error")
    else:
        if result.HasField("error"):
            flask.flash(web.told_status(result.error), "error")
        else:
            flask.flash(flask.g.say("referrals.recorded"), "done")
    return flask.redirect(flask.url_for("referrals.referral", referral_id=referral_id), 303)


@pages.get("/holders")
def holders() -> Any:
    """Enterprises with many offending numbers."""
    account = require("reviewer", "auditor")
    return flask.render_template("holders.html", holders=_holders(account, False))


@pages.get("/holders.csv")
def download_holders() -> Any:
    """The enterprises as a file."""
    account = require("reviewer", "auditor")
    rows = [referral_tables.holder_row(found) for found in _holders(account, True)]
    return _file("holders", referral_tables.HOLDERS, rows)


def _holders(account: Account, export: bool) -> Any:
    request = pb.ListOffendingHoldersRequest(
        reader=account.name, maximum_count=1_000, export=export
    )
    return site().upstream.referrals.ListOffendingHolders(request, timeout=CALL_S).holders


def _referral(account: Account, referral_id: str) -> pb.Referral:
    request = pb.ListReferralsRequest(
        reader=account.name, referral_id=referral_id[:64], authority=_own(account, "")
    )
    found = site().upstream.referrals.ListReferrals(request, timeout=CALL_S).referrals
    if not found:
        flask.abort(404)
    return found[0]


def _file(name: str, columns: tuple[str, ...], rows: list[tuple[object, ...]]) -> flask.Response:
    day = datetime.fromtimestamp(site().clock() / 1000, CHINA).strftime("%Y%m%d")
    response = flask.Response(
        referral_tables.csv_text(columns, rows), mimetype="text/csv; charset=utf-8"
    )
    response.headers["Content-Disposition"] = f'attachment; filename="{name}_{day}.csv"'
    return response
