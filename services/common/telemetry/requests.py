"""Rate, errors and durations of the console's pages."""

import time

import flask

from services.common.telemetry.histogram import Durations

_BEGUN = "zhengming_begun"


def observe_pages(app: flask.Flask, durations: Durations) -> None:
    """Count every request by the pattern of its address; what was asked for is not told."""

    def begin() -> None:
        flask.g.setdefault(_BEGUN, time.perf_counter())

    def end(response: flask.Response) -> flask.Response:
        rule = flask.request.url_rule
        method = flask.request.method
        durations.series(
            method if method in ("GET", "HEAD", "POST") else "_OTHER",
            "" if rule is None else rule.rule,
            str(response.status_code),
        ).add(time.perf_counter() - flask.g.get(_BEGUN, time.perf_counter()))
        return response

    app.before_request_funcs.setdefault(None, []).insert(0, begin)
    app.after_request(end)
