"""Options of the long lists that a page repeats in every row, each text made once."""

from collections.abc import Callable

import flask
from markupsafe import Markup, escape

from services.common.taxonomy import standard

Choices = Callable[..., Markup]


def meanings() -> Choices:
    """Of categories that a label may mean, given the one that is chosen."""
    say = flask.g.say
    shown = {
        c.code: escape(f"{c.code} {say.pick(c.name_zh, c.name_en)}")
        for c in standard.load().categories
        if len(c.code) > 2
    }
    return lambda chosen: _options(list(shown), shown, chosen)


def verdicts() -> Choices:
    """Of what a review may find, given the published category and the verdict so far."""
    say = flask.g.say
    codes = [category.code for category in standard.load().categories]
    shown = {code: escape(f"{say.category(code)} {code}") for code in codes}
    shown |= {
        "": escape(say("sample.open")),
        "CLEARED": escape(say("category.none")),
        "UNSURE": escape(say("sample.unsure")),
    }

    def choices(published: str, verdict: str) -> Markup:
        first = ["", published, "CLEARED", "UNSURE"]
        return _options([*first, *(c for c in codes if c != published)], shown, verdict)

    return choices


def _options(codes: list[str], shown: dict[str, Markup], chosen: str) -> Markup:
    return Markup("").join(_option(code, shown.get(code, escape(code)), chosen) for code in codes)


def _option(code: str, text: Markup, chosen: str) -> Markup:
    mark = Markup(" selected" if code == chosen else "")
    return Markup('<option value="{}"{}>{}</option>').format(code, mark, text)
