"""zhengming.ingest.v1.TaxonomyService: the standard, the words of sources, and the unknown ones."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import grpc

from services.common.clock import Clock
from services.common.errors import InvalidArgument
from services.common.store import Store
from services.common.taxonomy import confirmed, meanings, standard
from services.common.taxonomy.crosswalk import Crosswalk
from services.common.taxonomy.meanings import EXACT, UNKNOWN, WORDS, Meaning, fold
from services.common.taxonomy.suggest import Suggester
from services.common.wire import category_code, check_batch, page_limit
from services.ingest import queries
from services.ingest.commit import TOUCHES, Submission
from services.ingest.committing import Committing
from services.ingest.marks import MAX_LABEL_CHARS, check_source
from zhengming.ingest.v1 import taxonomy_pb2 as pb
from zhengming.ingest.v1 import taxonomy_pb2_grpc as pb_grpc

MAX_BATCH = 10_000
MAX_PAGE, DEFAULT_PAGE = 500, 50
MAX_MAPPINGS_PAGE, DEFAULT_MAPPINGS_PAGE = 1_000, 100
MAX_NOTE_CHARS = 400
TOUCHED_AT_ONCE = 50_000
REMEMBERED = 10_000
"""Unknown labels whose suggestions are kept until something is confirmed: each takes milliseconds.
"""

Suggest = Callable[[str], list[tuple[int, str, float]]]


class TaxonomyServicer(pb_grpc.TaxonomyServiceServicer):
    """Answers from the tables of the standard and what reviewers confirmed."""

    def __init__(self, store: Store, committer: Committing, clock: Clock) -> None:
        self._store, self._committer, self._clock = store, committer, clock
        self._confirming = threading.Lock()
        self._known: tuple[list[dict[str, Any]], Crosswalk] | None = None
        self._suggester: tuple[Crosswalk, Suggest] | None = None

    def GetStandard(
        self, request: pb.GetStandardRequest, context: grpc.ServicerContext
    ) -> pb.Standard:
        """Give a version of the standard."""
        found = standard.load(request.version or None)
        return pb.Standard(
            version=found.version,
            valid_from=found.valid_from,
            categories=[
                pb.Category(
                    code=category.code,
                    parent=category.parent,
                    name_zh=category.name_zh,
                    name_en=category.name_en,
                    severity=category.severity,
                    authorities=category.authority,
                    half_life_days=category.half_life_days,
                )
                for category in found.categories
            ],
            behaviours=[
                pb.Behaviour(code=row.code, name_zh=row.name_zh, name_en=row.name_en)
                for row in found.behaviours
            ],
            identities=[
                pb.Identity(code=row.code, name_zh=row.name_zh, name_en=row.name_en)
                for row in found.identities
            ],
        )

    def MapLabels(
        self, request: pb.MapLabelsRequest, context: grpc.ServicerContext
    ) -> pb.MapLabelsResponse:
        """Say what labels mean."""
        check_source(request.source)
        check_batch(len(request.labels), MAX_BATCH, "labels")
        answer = pb.MapLabelsResponse()
        for mapped in self._crosswalk().map_labels(request.source, list(request.labels)):
            result = answer.results.add(behaviours=mapped.behaviours, scheme=mapped.scheme)
            if mapped.relation != UNKNOWN:
                for (category, weight), relation in zip(mapped.rows, mapped.relations, strict=True):
                    result.meanings.add(
                        category=category_code(category), weight=weight, relation=relation
                    )
        return answer

    def ListUnknownLabels(
        self, request: pb.ListUnknownLabelsRequest, context: grpc.ServicerContext
    ) -> pb.ListUnknownLabelsResponse:
        """List what nobody has placed."""
        known = self._crosswalk()
        unknown = [
            row
            for row in queries.labels(self._store).to_pylist()
            if (not request.source or row["name"] == request.source)
            and known.map_label(row["name"], row["text"]).relation == UNKNOWN
        ]
        counts = queries.label_counts(self._store, [row["label"] for row in unknown])
        unknown.sort(key=lambda row: (-counts.get(row["label"], (0, 0))[0], row["label"]))
        answer = pb.ListUnknownLabelsResponse(total_count=len(unknown))
        suggest = self._suggester_of(known)
        for row in unknown[: page_limit(request.page_size, DEFAULT_PAGE, MAX_PAGE)]:
            marks, numbers = counts.get(row["label"], (0, 0))
            label = answer.labels.add(
                source=row["name"], label=row["text"], mark_count=marks, number_count=numbers
            )
            label.first_time.FromMilliseconds(row["first_seen_ms"])
            for category, like, similarity in suggest(row["text"]):
                label.suggestions.add(
                    category=category_code(category), known_label=like, similarity=similarity
                )
        return answer

    def ConfirmMapping(
        self, request: pb.ConfirmMappingRequest, context: grpc.ServicerContext
    ) -> pb.Mapping:
        """Keep what a reviewer says that a label means."""
        row = self._checked(request)
        with self._confirming:
            before = self._crosswalk()
            meaning = confirmed.to_meaning(row, before.standard.version)
            after = before.with_meanings([meaning])
            changed = [
                label["label"]
                for label in queries.labels(self._store).to_pylist()
                if before.map_label(label["name"], label["text"])
                != after.map_label(label["name"], label["text"])
            ]
            if not self._stands(meaning):
                queries.insert_mapping(self._store, row)
        numbers = queries.numbers_with_labels(self._store, changed)
        for start in range(0, len(numbers), TOUCHED_AT_ONCE):
            part = numbers[start : start + TOUCHED_AT_ONCE]
            self._committer.submit(Submission(TOUCHES, {"number": part}))
        answer = _to_wire(row)
        answer.touched_number_count = len(numbers)
        return answer

    def ListMappings(
        self, request: pb.ListMappingsRequest, context: grpc.ServicerContext
    ) -> pb.ListMappingsResponse:
        """List what was confirmed."""
        rows = queries.mappings(self._store).to_pylist()[::-1]
        limit = page_limit(request.page_size, DEFAULT_MAPPINGS_PAGE, MAX_MAPPINGS_PAGE)
        return pb.ListMappingsResponse(mappings=[_to_wire(row) for row in rows[:limit]])

    def _stands(self, meaning: Meaning) -> bool:
        """Whether the newest mapping of this label says the same."""
        for row in queries.mappings(self._store).to_pylist()[::-1]:
            known = confirmed.to_meaning(row, meaning.version)
            if (known.scheme, known.keys) == (meaning.scheme, meaning.keys):
                return (known.rows, known.relations, known.behaviours) == (
                    meaning.rows,
                    meaning.relations,
                    meaning.behaviours,
                )
        return False

    def _crosswalk(self) -> Crosswalk:
        """The crosswalk with what was confirmed; the last one while nothing was confirmed since."""
        rows, kept = queries.mappings(self._store).to_pylist(), self._known
        if kept is None or kept[0] != rows:
            kept = rows, confirmed.crosswalk_with(rows)
            self._known = kept
        return kept[1]

    def _suggester_of(self, known: Crosswalk) -> Suggest:
        kept = self._suggester
        if kept is None or kept[0] is not known:
            suggester = Suggester(known.known_labels())
            kept = known, lru_cache(maxsize=REMEMBERED)(suggester.suggest)
            self._suggester = kept
        return kept[1]

    def _checked(self, request: pb.ConfirmMappingRequest) -> dict[str, Any]:
        check_source(request.source)
        for field in ("label", "reviewer"):
            if not getattr(request, field).strip():
                raise InvalidArgument("FIELD_REQUIRED", f"{field} is required", field=field)
        for field, maximum in (("label", MAX_LABEL_CHARS), ("note", MAX_NOTE_CHARS)):
            length = len(getattr(request, field))
            if length > maximum:
                raise InvalidArgument(
                    "FIELD_TOO_LONG",
                    f"{field} has {length} characters, at most {maximum} are allowed",
                    field=field,
                    length=length,
                    maximum=maximum,
                )
        codes = standard.load()
        now_ms = self._clock()
        meaning = Meaning(
            scheme=WORDS if request.every_source else fold(request.source),
            label=request.label,
            names=(),
            says_what=True,
            rows=tuple((codes.category(m.category).id, m.weight) for m in request.meanings),
            relations=tuple(m.relation or EXACT for m in request.meanings),
            behaviours=tuple(request.behaviours),
            version=codes.version,
            valid_from=datetime.fromtimestamp(now_ms / 1000, UTC).date(),
            note=request.note,
        )
        meanings.check(meaning, codes)
        return {
            "scheme": meaning.scheme,
            "label": meaning.label,
            "meanings": confirmed.to_text(meaning),
            "behaviours": ";".join(meaning.behaviours),
            "reviewer": request.reviewer,
            "note": meaning.note,
            "confirmed_ms": now_ms,
        }


def _to_wire(row: dict[str, Any]) -> pb.Mapping:
    meaning = confirmed.to_meaning(row, "")
    message = pb.Mapping(
        scheme=meaning.scheme,
        label=meaning.label,
        behaviours=meaning.behaviours,
        reviewer=row["reviewer"],
        note=row["note"],
    )
    for (category, weight), relation in zip(meaning.rows, meaning.relations, strict=True):
        message.meanings.add(category=category_code(category), weight=weight, relation=relation)
    message.confirm_time.FromMilliseconds(row["confirmed_ms"])
    return message


def register(server: grpc.Server, servicer: TaxonomyServicer) -> None:
    """Add the service to a server."""
    pb_grpc.add_TaxonomyServiceServicer_to_server(servicer, server)
