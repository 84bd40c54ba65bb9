"""The catalogue of what is told, written from names.py.

Run `python -m services.common.telemetry.page > docs/telemetry.md`.
"""

import sys
from collections.abc import Iterator

from services.common.telemetry import names
from services.common.telemetry.names import Instrument

_INTRODUCTION = """\
# Telemetry

This page is written from `services/common/telemetry/names.py` by `python -m
services.common.telemetry.page`; change the names, never the page.

Nothing is told unless it is asked for. `ZHENGMING_OTLP_ENDPOINT` pushes metrics (every 15 s) and
traces to a collector, OTLP over gRPC; the SDK's own variables `OTEL_EXPORTER_OTLP_*` set headers,
certificates and timeouts. `ZHENGMING_METRICS_ADDRESS` serves the metrics as Prometheus's text at
`/metrics`, in clear: bind it to an address that only Prometheus reaches. Where `lookup` runs in
several processes, each has a port of its own: the given one, the next, and so on.

No number, no reporter, no mark's id and no text is in a span, a metric or a log; a test looks for
them in many forms. Sources are named by the names they give themselves, but never with five
digits in a row.

## Traces

A call is traced if it brings a sampled `traceparent` (W3C Trace Context), or if chance chooses it
(`ZHENGMING_TRACE_RATIO`). `tracestate` and baggage are neither read nor passed on. A span of a
call has the name of the method, its status, and nothing of request or answer.

The trace of a mark goes on after it was acknowledged: the commit keeps the trace with the change,
and whoever publishes the change goes on with it.

```
SubmitMarks                                                                  ingest
└ ingest.commit           queue and write
  └ changes.wait          until the publisher takes the change up
    └ reputation.publish                                                     reputation
      ├ BatchGetFeatures                                                     features
      ├ BatchGetPriors                                                       scoring
      ├ BatchArbitrate                                                       arbitration
      ├ BatchScore                                                           scoring
      └ store.statement   rows of the version
```

| span | |
|---|---|
"""

_METRICS = """
## Metrics

Gauges that read the store are read every 15 s (quality and models every 60 s) by a thread of
their own, so no scrape waits for the store; one that cannot be read is absent, and counted.
Replicas that share a store tell the same of it: take the maximum. Counters and histograms stand
at 0 before the first time. Durations of calls are counted in place (docs/decisions.md), with
limits from 0.1 ms to 30 min, 20 ms and 2 s among them.

| metric | Prometheus | kind | unit | attributes | meaning |
|---|---|---|---|---|---|
"""


def page() -> Iterator[str]:
    """The page in pieces."""
    yield _INTRODUCTION
    for span in names.SPANS:
        yield f"| `{span.name}` | {span.meaning} |\n"
    yield _METRICS
    for instrument in names.ALL:
        yield _row(instrument)


def _row(found: Instrument) -> str:
    attributes = " ".join(f"`{name}`" for name in found.attributes)
    return (
        f"| `{found.name}` | `{found.text_name}` | {found.kind.value} | {found.unit} "
        f"| {attributes} | {found.meaning} |\n"
    )


if __name__ == "__main__":
    sys.stdout.write("".join(page()))
