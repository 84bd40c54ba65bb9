"""Every metric, attribute and span there is, declared once: names, units, meanings.

Names of calls and of pages are OpenTelemetry's semantic conventions; all others begin with
`zhengming.`. Units are UCUM's. No attribute takes a number, a reporter or a text.
"""

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """How a metric is read."""

    HISTOGRAM = "histogram"
    COUNTER = "counter"
    TOTAL = "counter, read as a whole"
    GAUGE = "gauge"


_TEXT_UNITS = {"s": "_seconds", "By": "_bytes"}


@dataclass(frozen=True)
class Instrument:
    """One metric.

    Attributes:
        name: as OpenTelemetry has it.
        kind: how it is read.
        unit: UCUM; "1" a share, "{mark}" a count of marks.
        meaning: one sentence.
        attributes: names of what tells its series apart.
    """

    name: str
    kind: Kind
    unit: str
    meaning: str
    attributes: tuple[str, ...] = ()

    @property
    def text_name(self) -> str:
        """Its name in Prometheus's text, as the OpenTelemetry exporter writes it."""
        base = self.name.replace(".", "_") + _TEXT_UNITS.get(self.unit, "")
        return f"{base}_total" if self.kind in (Kind.COUNTER, Kind.TOTAL) else base

    @property
    def text_names(self) -> tuple[str, ...]:
        """All names of its samples in Prometheus's text."""
        if self.kind is not Kind.HISTOGRAM:
            return (self.text_name,)
        return tuple(f"{self.text_name}_{part}" for part in ("bucket", "count", "sum"))


METHOD = "rpc.method"
"""Full name of a gRPC method."""
STATUS = "rpc.response.status_code"
"""Name of the gRPC status, such as OK."""
SYSTEM = "rpc.system.name"
"""Always grpc."""
ROUTE = "http.route"
"""Pattern of a page's address, without what was asked for."""
HTTP_METHOD = "http.request.method"
"""GET or POST."""
HTTP_STATUS = "http.response.status_code"
"""HTTP status of the answer."""
ERROR = "error.type"
"""Why a span failed: an ErrorReason, or the class of what was raised."""
OPERATION = "zhengming.operation"
"""query, insert or execute."""
OUTCOME = "zhengming.outcome"
"""ok, or how it failed."""
TABLE = "zhengming.table"
"""Table of the store."""
WAY = "zhengming.way"
"""run: a full pass; touched: numbers touched since."""
JOB = "zhengming.job"
"""Name of a job."""
VOLUME = "zhengming.volume"
"""store: where the embedded engine writes; published: where the published state is."""
MODEL_NAME = "zhengming.model"
"""risk or prior."""
VERSION = "zhengming.version"
"""Version of a model."""
COLUMN = "zhengming.column"
"""score: what the model says; features: the feature that moved most."""
SOURCE = "zhengming.source"
"""Name of a source, "other" where it holds five digits in a row or more."""
LANE = "zhengming.lane"
"""Kind of call that shares threads, such as lookups or writes."""
READING = "zhengming.reading"
"""Which gauges could not be read."""

CALLS = Instrument(
    "rpc.server.call.duration",
    Kind.HISTOGRAM,
    "s",
    "Time in the handler of a gRPC call, streams until their end.",
    (METHOD, STATUS),
)
SHED = Instrument(
    "zhengming.calls.shed",
    Kind.COUNTER,
    "{call}",
    "Calls refused at once because too many of their kind waited already; they are not among "
    "rpc.server.call.duration.",
    (LANE,),
)
PAGES = Instrument(
    "http.server.request.duration",
    Kind.HISTOGRAM,
    "s",
    "Time to answer a request to the console.",
    (HTTP_METHOD, ROUTE, HTTP_STATUS),
)
STATEMENTS = Instrument(
    "zhengming.store.statement.duration",
    Kind.HISTOGRAM,
    "s",
    "Time of a statement at the store; outcome unavailable: the engine is lost or overloaded, "
    "refused: a fault of the program or the schema.",
    (OPERATION, OUTCOME),
)
JOBS = Instrument(
    "zhengming.job.duration",
    Kind.HISTOGRAM,
    "s",
    "Time of a job from its start to its end.",
    (JOB, OUTCOME),
)
COMMITTED = Instrument(
    "zhengming.ingest.rows",
    Kind.COUNTER,
    "{row}",
    "Rows made durable and acknowledged, without those that were there before.",
    (TABLE,),
)
QUEUE_AGE = Instrument(
    "zhengming.ingest.queue.age",
    Kind.GAUGE,
    "s",
    "How long the oldest submission has waited for its commit, 0 where none waits.",
)
QUEUE_ROWS = Instrument(
    "zhengming.ingest.queue.rows", Kind.GAUGE, "{row}", "Rows that wait for their commit."
)
CHANGES_AGE = Instrument(
    "zhengming.changes.age",
    Kind.GAUGE,
    "s",
    "How long ago the oldest change was committed that no published version has seen, 0 without.",
)
CHANGES_WAITING = Instrument(
    "zhengming.changes.waiting",
    Kind.GAUGE,
    "{change}",
    "Committed changes that no published version has seen.",
)
FRESHNESS = Instrument(
    "zhengming.publish.freshness",
    Kind.HISTOGRAM,
    "s",
    "From the acknowledgement of the oldest change of a batch until lookups and feed show it.",
)
PUBLISHED_CHANGES = Instrument(
    "zhengming.publish.numbers",
    Kind.COUNTER,
    "{number}",
    "Numbers published anew because what is said of them moved.",
    (WAY,),
)
PUBLISH_FAILURES = Instrument(
    "zhengming.publish.failures",
    Kind.COUNTER,
    "{failure}",
    "Attempts to publish that failed, and are made again; outcome churn: a full pass that would "
    "have moved too much, upstream: another service, internal: anything else; poison: numbers that "
    "cannot be judged, which wait for their next mark or pass.",
    (WAY, OUTCOME),
)
CHURN = Instrument(
    "zhengming.publish.churn",
    Kind.GAUGE,
    "1",
    "Share of the established labels that the last full pass moved, or would have.",
)
PUBLISHED_AGE = Instrument(
    "zhengming.published.age",
    Kind.GAUGE,
    "s",
    "How long ago all that was committed was last known to be in what this process answers.",
)
PUBLISHED_VERSION = Instrument(
    "zhengming.published.version",
    Kind.GAUGE,
    "{version}",
    "Version that this process answers from.",
)
PUBLISHED_NUMBERS = Instrument(
    "zhengming.published.numbers", Kind.GAUGE, "{number}", "Numbers in that version."
)
RUN_AGE = Instrument(
    "zhengming.run.age", Kind.GAUGE, "s", "Time since the last full pass was published."
)
CONSUMERS = Instrument(
    "zhengming.consumers.count", Kind.GAUGE, "{consumer}", "Consumers that have sent a receipt."
)
CONSUMER_LAG = Instrument(
    "zhengming.consumers.lag",
    Kind.GAUGE,
    "{version}",
    "Versions that the consumer furthest behind has not applied.",
)
CONSUMER_SILENCE = Instrument(
    "zhengming.consumers.silence",
    Kind.GAUGE,
    "s",
    "Time since the receipt of the consumer that has been silent longest while it is behind.",
)
DISPUTES_OPEN = Instrument(
    "zhengming.disputes.open", Kind.GAUGE, "{dispute}", "Disputes that are not closed."
)
DISPUTES_OVERDUE = Instrument(
    "zhengming.disputes.overdue",
    Kind.GAUGE,
    "{dispute}",
    "Open disputes whose deadline in working days has passed.",
)
DISPUTES_PAUSED = Instrument(
    "zhengming.disputes.paused",
    Kind.GAUGE,
    "{dispute}",
    "Open disputes whose clock stands: papers or proof are awaited, or it has not begun.",
)
NOTICES_WAITING = Instrument(
    "zhengming.notices.waiting", Kind.GAUGE, "{notice}", "Notices that are not delivered yet."
)
NOTICES_AGE = Instrument(
    "zhengming.notices.age",
    Kind.GAUGE,
    "s",
    "Age of the oldest notice that is not delivered yet, 0 without.",
)
NOTICES_DEAD = Instrument(
    "zhengming.notices.dead", Kind.GAUGE, "{notice}", "Notices given up after their last try."
)
CALIBRATION = Instrument(
    "zhengming.calibration.error",
    Kind.GAUGE,
    "1",
    "Expected calibration error of published labels: stated probability against what reviewers "
    "found in the samples of the last 13 weeks. Absent with fewer than 50 reviews.",
)
REVIEWED = Instrument(
    "zhengming.calibration.reviews",
    Kind.GAUGE,
    "{label}",
    "Sampled labels of the last 13 weeks that were reviewed.",
)
SOURCE_ACCURACY = Instrument(
    "zhengming.source.accuracy",
    Kind.GAUGE,
    "1",
    "Share of a source's marks of the last 12 weeks that the others confirm.",
    (SOURCE,),
)
SOURCE_DRIFT = Instrument(
    "zhengming.source.drift",
    Kind.GAUGE,
    "1",
    "Accuracy of a source's newest week with 50 judged marks less that of the weeks before.",
    (SOURCE,),
)
MODEL_ACTIVE = Instrument(
    "zhengming.model.active",
    Kind.GAUGE,
    "1",
    "1 for the model that scores.",
    (MODEL_NAME, VERSION),
)
MODEL_DRIFT = Instrument(
    "zhengming.model.drift",
    Kind.GAUGE,
    "1",
    "Population stability index of the newest scored run against what its model learned from.",
    (COLUMN,),
)
READING_FAILURES = Instrument(
    "zhengming.telemetry.failures",
    Kind.COUNTER,
    "{failure}",
    "Gauges that could not be read; they are absent meanwhile.",
    (READING,),
)
DISK_FREE = Instrument(
    "zhengming.disk.free", Kind.GAUGE, "By", "Bytes free where this process writes.", (VOLUME,)
)
DISK_SIZE = Instrument(
    "zhengming.disk.size", Kind.GAUGE, "By", "Bytes of that file system.", (VOLUME,)
)
MEMORY = Instrument("process.memory.usage", Kind.GAUGE, "By", "Resident memory of the process.")
CPU = Instrument("process.cpu.time", Kind.TOTAL, "s", "Processor time that the process has used.")

ALL: tuple[Instrument, ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, Instrument)
)
"""The registry."""


@dataclass(frozen=True)
class SpanName:
    """A span of our own; those of calls have the name of the method."""

    name: str
    meaning: str


COMMIT = SpanName("ingest.commit", "From the arrival of a submission until it is durable.")
WAIT = SpanName("changes.wait", "From the commit until the publisher takes the change up.")
PUBLISH = SpanName(
    "reputation.publish",
    "Judging and publishing a batch of touched numbers. Where the batch has several traced "
    "submissions, the calls are in the trace of the first, and the others link to it.",
)
STATEMENT = SpanName("store.statement", "A statement at the store.")

SPANS: tuple[SpanName, ...] = (COMMIT, WAIT, PUBLISH, STATEMENT)
"""The registry of spans."""
