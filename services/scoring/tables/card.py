"""A table model on disk: LightGBM texts, card.json, and the rows and edges its graph needs."""

import json
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from services.common.errors import InvalidArgument, NotFound
from services.scoring.tables.candidates import VIEWS, Part
from services.scoring.tables.columns import Column, Floats
from services.scoring.tables.estimator import TableClassifier
from services.scoring.tables.features import make_describer
from services.scoring.tables.graph import Edges, Graph

FORMAT = "zhengming-table-model/2"
CARD, ROWS, EDGES = "card.json", "rows.parquet", "edges.parquet"
_PARTS = ("parts", "columns", "number_reading", "calibration", "seed", "bag_count", "has_graph",
          "without")  # fmt: skip


def save(model: TableClassifier, folder: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Write a fitted model and return its card.

    Rows and edges are written only where the links take part in the score; they hold the fitted
    ids, labels and numeric columns and are as confidential as the training table.

    Args:
        model: fitted.
        folder: made if absent; files of a former model in it are replaced.
        about: what else the card says: id and label columns, classes, digests, versions.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in [*folder.glob("model*.txt"), folder / ROWS, folder / EDGES]:
        old.unlink(missing_ok=True)
    files = iter(_model_files())
    parts = {}
    for name, part in model.parts_.items():
        written = []
        for booster in part.boosters:
            written.append(next(files))
            booster.save_model(str(folder / written[-1]))
        parts[name] = {
            "view": part.view,
            "share": part.share,
            "tree_count": part.tree_count,
            "features": list(part.names),
            "files": written,
        }
    if model.has_graph:
        _save_graph(model, folder)
    card: dict[str, Any] = {
        "format": FORMAT,
        **about,
        "seed": model.seed,
        "bag_count": model.bag_count,
        "without": list(model.without),
        "columns": [
            {"name": c.name, "is_category": c.is_category, "levels": list(c.levels)}
            for c in model.describer_.columns
        ],
        "number_reading": model.describer_.reading,
        "has_graph": model.has_graph,
        "parts": parts,
        "calibration": model.calibration_,
        "cross_validation": model.figures_,
    }
    text = json.dumps(card, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / CARD).write_text(text + "\n", encoding="utf-8")
    return card


def load(folder: Path) -> tuple[TableClassifier, dict[str, Any]]:
    """Read a model and its card.

    Raises:
        NotFound: MODEL_NOT_FOUND where there is none, or a file of it is gone.
        InvalidArgument: FILE_UNREADABLE for a card that is none;
            MODEL_FEATURES_MISMATCH where card and boosters do not agree.
    """
    if not (folder / CARD).is_file():
        raise NotFound("MODEL_NOT_FOUND", f"{folder} holds no {CARD}", folder=folder)
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidArgument("FILE_UNREADABLE", f"{folder / CARD}: {error}") from error
    absent = [key for key in _PARTS if key not in card] if isinstance(card, dict) else _PARTS
    if absent or card.get("format") != FORMAT:
        raise InvalidArgument("FILE_UNREADABLE", f"{folder / CARD} is no card of a table model")
    model = TableClassifier(
        seed=card["seed"], bag_count=card["bag_count"], without=tuple(card["without"])
    )
    model.parts_ = {name: _load_part(folder, part) for name, part in card["parts"].items()}
    model.calibration_ = card["calibration"]
    model.figures_ = card.get("cross_validation", {})
    columns = tuple(
        Column(c["name"], bool(c["is_category"]), tuple(c["levels"])) for c in card["columns"]
    )
    reading = card["number_reading"]
    if card["has_graph"]:
        _load_graph(model, folder, columns, reading)
    else:
        model.describer_ = make_describer(columns, reading, [], np.zeros((0, len(columns))), None)
        model.label_, model.fold_ = np.zeros(0), np.zeros(0, dtype=np.int64)
    return model, card


def _model_files() -> list[str]:
    return ["model.txt", *(f"model_{place}.txt" for place in range(1, 100))]


def _load_part(folder: Path, part: dict[str, Any]) -> Part:
    boosters = []
    for name in part["files"]:
        if not (folder / name).is_file():
            raise NotFound("MODEL_NOT_FOUND", f"{folder / name} is missing", file=name)
        booster = lgb.Booster(model_file=str(folder / name))
        if booster.num_feature() != len(part["features"]):
            raise InvalidArgument(
                "MODEL_FEATURES_MISMATCH",
                f"{name} has {booster.num_feature()} features, the card {len(part['features'])}",
                file=name,
            )
        boosters.append(booster)
    if part["view"] not in VIEWS:
        raise InvalidArgument("MODEL_FEATURES_MISMATCH", f"no view is called {part['view']}")
    names = tuple(part["features"])
    return Part(part["view"], names, part["tree_count"], tuple(boosters), part["share"])


def _save_graph(model: TableClassifier, folder: Path) -> None:
    describer = model.describer_
    assert describer.graph is not None
    kept: dict[str, Any] = {"id": pa.array(describer.ids, pa.string())}
    kept["fold"], kept["label"] = model.fold_.astype(np.int8), model.label_
    for place in range(len(describer.columns)):
        kept[f"column_{place}"] = describer.values[:, place]
    pq.write_table(pa.table(kept), folder / ROWS, compression="zstd")
    edges = edges_of(describer.graph)
    pq.write_table(
        pa.table({"a": edges.a, "b": edges.b, "weight": edges.weight}),
        folder / EDGES,
        compression="zstd",
    )


def _load_graph(
    model: TableClassifier, folder: Path, columns: tuple[Column, ...], reading: str | None
) -> None:
    for name in (ROWS, EDGES):
        if not (folder / name).is_file():
            raise NotFound("MODEL_NOT_FOUND", f"{folder / name} is missing", file=name)
    rows, edges = pq.read_table(folder / ROWS), pq.read_table(folder / EDGES)
    ids = rows["id"].to_pylist()
    values: Floats = np.zeros((len(ids), len(columns)))
    for place in range(len(columns)):
        values[:, place] = rows[f"column_{place}"].to_numpy()
    model.label_ = rows["label"].to_numpy()
    model.fold_ = rows["fold"].to_numpy().astype(np.int64)
    read = Edges(
        edges["a"].combine_chunks(), edges["b"].combine_chunks(), edges["weight"].to_numpy()
    )
    model.describer_ = make_describer(columns, reading, ids, values, read)


def edges_of(graph: Graph) -> Edges:
    """Each link of a graph once."""
    upper = graph.weight.tocoo()
    once = upper.row < upper.col
    return Edges(
        graph.ids.take(pa.array(upper.row[once])),
        graph.ids.take(pa.array(upper.col[once])),
        upper.data[once],
    )
