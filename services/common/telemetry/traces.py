"""Spans: begun only where a caller's sampled trace goes on, or where chance chose the call."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, Status
from opentelemetry.trace import StatusCode as Code

from services.common.errors import DomainError
from services.common.telemetry import names, traceparent
from services.common.telemetry.names import SpanName


def current() -> SpanContext | None:
    """Context of the span that this thread is in; None where nothing is traced."""
    span = trace.get_current_span()
    return span.get_span_context() if span.is_recording() else None


class Traces:
    """Begins spans. None of them holds a message, a request, an answer or an error's text."""

    def __init__(self, tracer: trace.Tracer | None) -> None:
        self._tracer = tracer

    @property
    def is_on(self) -> bool:
        """Whether anything can be traced."""
        return self._tracer is not None

    def current(self) -> str:
        """The present span for one who goes on later; "" where nothing is traced."""
        if self._tracer is None:
            return ""
        context = current()
        return "" if context is None else traceparent.write(context)

    @contextmanager
    def served(self, method: str, parent: SpanContext | None) -> Iterator[Span]:
        """A call that is being answered; begins a trace where there is no parent."""
        span = self._call(
            method,
            SpanKind.SERVER,
            contexts.get_current() if parent is None else _within(parent),
        )
        with _entered(span):
            yield span

    def made(self, method: str) -> Span:
        """A call to another service out of the present span; to be ended."""
        return self._call(method, SpanKind.CLIENT, contexts.get_current())

    def _call(self, method: str, kind: SpanKind, within: contexts.Context) -> Span:
        assert self._tracer is not None
        name = method.lstrip("/")
        attributes = {names.SYSTEM: "grpc", names.METHOD: name}
        return self._tracer.start_span(name, within, kind, attributes)

    @contextmanager
    def step(self, name: SpanName, **attributes: str) -> Iterator[None]:
        """A part of what is being traced; nothing where nothing is."""
        if self._tracer is None or current() is None:
            yield
            return
        span = self._tracer.start_span(name.name, attributes=_named(attributes))
        with _entered(span):
            yield

    def begin(self, name: SpanName, parent: str, start_ns: int) -> Span:
        """A span that began at a time, ns since 1970, in the trace of `parent`; to be ended."""
        context = traceparent.read(parent)
        if self._tracer is None or context is None:
            return trace.INVALID_SPAN
        return self._tracer.start_span(name.name, _within(context), start_time=start_ns)

    @contextmanager
    def continued(
        self,
        name: SpanName,
        waited: SpanName,
        origins: Sequence[tuple[str, int]],
        now_ns: int,
    ) -> Iterator[None]:
        """Go on with what was begun earlier, perhaps elsewhere.

        In the trace of each origin stand a span for the time it waited and one for this work. The
        calls made meanwhile are in the trace of the first; the others link to it.

        Args:
            name: of the span of the work.
            waited: of the spans before it.
            origins: (traceparent, since when it has waited in ns since 1970).
            now_ns: when the work began.
        """
        found = [(c, since) for text, since in origins if (c := traceparent.read(text))]
        if self._tracer is None or not found:
            yield
            return
        spans: list[Span] = []
        for context, since_ns in found:
            wait = self._tracer.start_span(
                waited.name, _within(context), start_time=min(since_ns, now_ns)
            )
            wait.end(now_ns)
            spans.append(
                self._tracer.start_span(
                    name.name,
                    _within(wait.get_span_context()),
                    links=[Link(spans[0].get_span_context())] if spans else None,
                    start_time=now_ns,
                )
            )
        try:
            with _entered(spans[0]):
                yield
        finally:
            for span in spans[1:]:
                span.end()


def _within(parent: SpanContext) -> contexts.Context:
    return trace.set_span_in_context(NonRecordingSpan(parent))


def _named(attributes: dict[str, str]) -> dict[str, str]:
    return {f"zhengming.{name}": value for name, value in attributes.items()}


@contextmanager
def _entered(span: Span) -> Iterator[None]:
    """Make a span the present one; what is raised shows as its kind, never as its text."""
    token = contexts.attach(trace.set_span_in_context(span))
    try:
        yield
    except BaseException as error:
        _fail(span, error)
        raise
    finally:
        contexts.detach(token)
        span.end()


def written(span: Span) -> str:
    """A span for one who goes on from it; "" where it is not traced."""
    return traceparent.write(span.get_span_context()) if span.is_recording() else ""


def end(span: Span, error: BaseException | None = None) -> None:
    """End a span, as failed if something was raised."""
    if error is not None:
        _fail(span, error)
    span.end()


def _fail(span: Span, error: BaseException) -> None:
    kind = error.reason if isinstance(error, DomainError) else type(error).__name__
    span.set_attribute(names.ERROR, kind)
    span.set_status(Status(Code.ERROR))
