"""The console's web application: pages put together, headers, how errors are answered."""

import hmac
import json
import logging
from datetime import timedelta
from typing import Any

import flask
import grpc
from werkzeug.exceptions import HTTPException

from services.common import errors, rpc
from services.common.clock import Clock
from services.console import api, cases, language, notices, plots, public, referrals, staff
from services.console.accounts import Accounts
from services.console.web import Refused, Site, Upstream, csrf, site, told, translated

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 8 << 20
SESSION_HOURS = 8
API = "/api/"

# Nothing from elsewhere, nothing inline: pages work without any other host.
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_STATUS: tuple[tuple[type[errors.DomainError], int, str], ...] = (
    (errors.InvalidArgument, 400, "INVALID_ARGUMENT"),
    (errors.NotFound, 404, "NOT_FOUND"),
    (errors.FailedPrecondition, 400, "FAILED_PRECONDITION"),
    (errors.ResourceExhausted, 429, "RESOURCE_EXHAUSTED"),
    (errors.Unavailable, 503, "UNAVAILABLE"),
)
_REFUSALS = {"UNAUTHENTICATED": 401, "PERMISSION_DENIED": 403}


def create_app(
    upstream: Upstream, accounts: Accounts, clock: Clock, secret: bytes, rate_scale: float = 1.0
) -> flask.Flask:
    """The application.

    Args:
        upstream: stubs of the services.
        accounts: who may log in.
        clock: for rate limits and clocks of disputes.
        secret: key of the sessions' signatures.
        rate_scale: widens the rate limits.
    """
    language.words()  # a fault in them shows at the start
    app = flask.Flask(__name__)
    app.secret_key = secret
    app.config.update(
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        PERMANENT_SESSION_LIFETIME=timedelta(hours=SESSION_HOURS),
        SESSION_COOKIE_NAME="zhengming",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
    )
    app.extensions["zhengming"] = Site(upstream, accounts, clock, rate_scale)
    for blueprint in (
        public.pages,
        cases.pages,
        referrals.pages,
        notices.pages,
        staff.pages,
        api.pages,
    ):
        app.register_blueprint(blueprint)
    app.before_request(_before)
    app.after_request(_after)
    app.register_error_handler(errors.DomainError, _domain_error)
    app.register_error_handler(grpc.RpcError, _rpc_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _any_error)
    app.context_processor(_in_templates)
    app.jinja_env.filters["from_json"] = json.loads
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    return app


# ---- before and after -------------------------------------------------------------------------


def _before() -> None:
    flask.g.say = language.Speech(
        language.choose(
            flask.request.cookies.get("lang", ""), flask.request.headers.get("Accept-Language", "")
        )
    )
    flask.g.account = None
    if flask.request.path.startswith(API):
        return
    name = flask.session.get("account")
    if name:
        flask.g.account = site().accounts.get(name)
    if flask.request.method == "POST":
        sent = flask.request.form.get("csrf", "")
        if not hmac.compare_digest(sent.encode(), flask.session.get("csrf", "-").encode()):
            flask.abort(403, "csrf")


def _after(response: flask.Response) -> flask.Response:
    headers = response.headers
    headers["Content-Security-Policy"] = POLICY
    headers["X-Content-Type-Options"] = "nosniff"
    headers["X-Frame-Options"] = "DENY"
    headers["Referrer-Policy"] = "same-origin"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    if flask.request.endpoint == "static":
        headers["Cache-Control"] = "max-age=300"
    else:
        headers["Cache-Control"] = "no-store"
    return response


def _in_templates() -> dict[str, Any]:
    say: language.Speech = flask.g.say
    return {
        "say": say,
        "lang": language.HTML_LANG[say.language],
        "theme": flask.request.cookies.get("theme", "auto"),
        "account": flask.g.account,
        "csrf": csrf,
        "plots": plots,
        "here": flask.request.full_path.rstrip("?"),
    }


# ---- errors --------------------------------------------------------------------------------------


def _domain_error(error: errors.DomainError) -> Any:
    status = _REFUSALS.get(error.reason) or next(
        (http for kind, http, _ in _STATUS if isinstance(error, kind)), 500
    )
    if flask.request.path.startswith(API):
        return api_error(error, status)
    if status == 401:
        return flask.redirect(flask.url_for("staff.login", to=flask.request.path))
    return _page(status, told(error))


def api_error(error: errors.DomainError, status: int) -> flask.Response:
    """An error as JSON, in the shape of google.rpc.Status with its ErrorInfo (AIP-193)."""
    if isinstance(error, Refused):
        name = error.reason
    else:
        name = next((code for kind, _, code in _STATUS if isinstance(error, kind)), "INTERNAL")
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": error.reason,
        "domain": rpc.DOMAIN,
        "metadata": error.metadata,
    }
    response = flask.jsonify(
        error={"code": status, "status": name, "message": str(error), "details": [info]}
    )
    response.status_code = status
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Basic realm="zhengming", charset="UTF-8"'
    if status == 429:
        response.headers["Retry-After"] = error.metadata.get("retry_after_s", "1")
    return response


def _rpc_error(error: grpc.RpcError) -> Any:
    return _domain_error(translated(error))


def _http_error(error: HTTPException) -> Any:
    status = error.code or 500
    if flask.request.path.startswith(API):
        names = {404: "NOT_FOUND", 405: "UNIMPLEMENTED", 413: "INVALID_ARGUMENT"}
        response = flask.jsonify(
            error={
                "code": status,
                "status": names.get(status, "INVALID_ARGUMENT" if status < 500 else "INTERNAL"),
                "message": error.name,
                "details": [],
            }
        )
        response.status_code = status
        return response
    key = {403: "error.csrf", 404: "error.page", 413: "error.large"}.get(status)
    return _page(status, flask.g.say(key) if key else error.name)


def _any_error(error: Exception) -> Any:
    log.exception("page failed", extra={"endpoint": flask.request.endpoint})
    if flask.request.path.startswith(API):
        body = {"code": 500, "status": "INTERNAL", "message": "internal error", "details": []}
        response = flask.jsonify(error=body)
        response.status_code = 500
        return response
    return _page(500, flask.g.say("error.internal"))


def _page(status: int, message: str) -> Any:
    return flask.render_template("error.html", status=status, message=message), status
