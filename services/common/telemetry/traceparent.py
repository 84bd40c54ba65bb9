"""W3C Trace Context (https://www.w3.org/TR/trace-context/): the one header that is read and sent.

`tracestate` and baggage are neither read nor sent: they hold what a caller writes into them.
"""

import re
from collections.abc import Sequence
from typing import Any

from opentelemetry.trace import SpanContext, TraceFlags

HEADER = "traceparent"
_FORM = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


def read(text: str) -> SpanContext | None:
    """The context of a sampled span; None for any other text."""
    found = _FORM.fullmatch(text)
    if found is None or not int(found[3], 16) & TraceFlags.SAMPLED:
        return None
    context = SpanContext(
        int(found[1], 16), int(found[2], 16), is_remote=True, trace_flags=TraceFlags(1)
    )
    return context if context.is_valid else None


def write(context: SpanContext) -> str:
    """The header of a sampled span."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"


def of(metadata: Sequence[tuple[str, Any]] | None) -> SpanContext | None:
    """The context that a call came with."""
    for key, value in metadata or ():
        if key == HEADER:
            return read(str(value))
    return None
