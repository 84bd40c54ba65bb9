"""Options of long lists, made once for all rows of a page."""

import flask
import pytest

from services.console import choices, language


@pytest.fixture
def speaking():
    app = flask.Flask("speaking")
    with app.app_context():
        flask.g.say = language.Speech("en")
        yield


def test_the_verdict_given_is_selected_and_the_published_category_offered_once(
    speaking,
):
    html = str(choices.verdicts()("A3107", "A2000"))

    assert html.count(" selected") == 1
    assert '<option value="A2000" selected>' in html
    assert html.count('value="A3107"') == 1
    assert html.index('value="A3107"') < html.index('value="CLEARED"') < html.index('value="A2000"')


def test_a_label_without_a_suggestion_has_nothing_selected(speaking):
    offered = choices.meanings()

    assert " selected" not in offered("")
    assert '<option value="A3107" selected>A3107 ' in offered("A3107")
