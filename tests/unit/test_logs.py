"""Log records are lines of JSON without numbers."""

import json
import logging
import sys

from services.common.telemetry.logs import JsonFormatter


def written(message: str, *values: object, **extra: str) -> dict[str, str]:
    record = logging.LogRecord("z", logging.WARNING, "z.py", 1, message, values, sys.exc_info())
    record.__dict__.update(extra)
    return json.loads(JsonFormatter().format(record))


def test_a_message_with_quotes_and_lines_is_one_line_of_json():
    found = written('a "quoted"\nmessage: %s', "诈骗")

    assert found["message"] == 'a "quoted"\nmessage: 诈骗'
    assert (found["level"], found["logger"]) == ("WARNING", "z")


def test_numbers_are_left_out_of_messages_and_tracebacks():
    try:
        int("+8613800138000x")
    except ValueError:
        found = written("number %s", "+8613800138000", method="/a/b", number="13800138000")

    assert "138001" not in json.dumps(found)
    assert found["message"] == "number …"
    assert found["method"] == "/a/b"
    assert "ValueError" in found["traceback"]
