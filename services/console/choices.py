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
    made = _made(shown)
    return lambda chosen: _options(list(shown), made, chosen)


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

    made = _made(shown)

    def choices(published: str, verdict: str) -> Markup:
        first = ["", published, "CLEARED", "UNSURE"]
        return _options([*first, *(c for c in codes if c != published)], made, verdict)

    return choices


def _made(shown: dict[str, Markup]) -> dict[str, str]:
    """The option of each code and text, as HTML."""
    option = Markup('<option value="{}">{}</option>')
    return {code: str(option.format(code, text)) for code, text in shown.items()}


def _options(codes: list[str], made: dict[str, str], chosen: str) -> Markup:
    """Those options, ready-made but for the chosen one."""
    parts = [made.get(code, "") for code in codes]
    if chosen in codes and chosen in made:
        parts[codes.index(chosen)] = made[chosen].replace(">", " selected>", 1)
    return Markup("".join(parts))
