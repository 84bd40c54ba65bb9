"""`zhengming model`: learning a label from a table with and without links."""

import json
import shutil

import numpy as np
import pyarrow.csv
import pytest

from services.cli.model import fit_file, predict_file
from services.common.errors import InvalidArgument, NotFound

COUNT = 400


def write(path, header, rows):
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def people(seed, links=False):
    """Rows whose label hangs on a number, a word and, with links, on a gang."""
    chance = np.random.default_rng(seed)
    calls, word = chance.normal(size=COUNT), chance.choice(["am", "pm", ""], COUNT)
    gang = chance.integers(0, 20, COUNT)
    logit = 2 * calls + 2 * (word == "pm") - 1 + (4 * (gang < 10) - 2 if links else 0)
    label = (chance.random(COUNT) < 1 / (1 + np.exp(-logit))).astype(int)
    rows = [(f"p{i}", f"{calls[i]:.3f}", word[i], label[i]) for i in range(COUNT)]
    return rows, [(f"p{i}", f"gang-{gang[i]}", 1) for i in range(COUNT)]


def auc(label, score):
    score = np.asarray(score)
    good, bad = score[np.asarray(label) == 0], score[np.asarray(label) == 1]
    return float((bad[:, None] > good[None, :]).mean())


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    rows, _ = people(1)
    train = write(folder / "train.csv", "who,calls,time,bad", rows)
    card = fit_file(train, "who", "bad", folder / "model")
    return folder, rows, card


def test_what_was_learned_ranks_rows_it_has_not_seen(fitted, tmp_path):
    folder, _, card = fitted
    rows, _ = people(2)
    test = write(tmp_path / "test.csv", "who,calls,time", [row[:3] for row in rows])

    count = predict_file(folder / "model", test, tmp_path / "p.csv")

    written = pyarrow.csv.read_csv(tmp_path / "p.csv")
    assert (count, written.column_names) == (COUNT, ["who", "probability"])
    assert written["who"].to_pylist() == [row[0] for row in rows]
    assert auc([row[3] for row in rows], written["probability"].to_pylist()) > 0.85
    assert card["cross_validation"]["auc"] > 0.85


def test_the_card_says_what_the_model_was_made_of(fitted):
    folder, _, card = fitted

    stored = json.loads((folder / "model" / "card.json").read_text())

    assert stored == json.loads(json.dumps(card))
    assert stored["classes"] == ["0", "1"]
    assert set(stored["data_sha256"]) == {"train"}
    assert {column["name"] for column in stored["columns"]} == {"calls", "time"}


def test_the_same_table_and_seed_give_the_same_model(fitted, tmp_path):
    folder, _, _ = fitted
    again = fit_file(folder / "train.csv", "who", "bad", tmp_path / "again")

    first = (folder / "model" / "model.txt").read_text()
    assert (tmp_path / "again" / "model.txt").read_text() == first
    assert again["cross_validation"]["auc"] == fitted[2]["cross_validation"]["auc"]


def test_links_tell_what_the_columns_do_not(tmp_path):
    rows, links = people(3, links=True)
    train = write(tmp_path / "train.csv", "who,calls,time,bad", rows)
    edges = write(tmp_path / "edges.csv", "a,b,w", links)

    alone = fit_file(train, "who", "bad", tmp_path / "alone")
    linked = fit_file(train, "who", "bad", tmp_path / "linked", edges)

    assert linked["has_graph"]
    gain = linked["cross_validation"]["auc"] - alone["cross_validation"]["auc"]
    assert gain > 0.02


def test_a_rows_own_label_never_reaches_its_features(tmp_path):
    """With random labels and links, whatever is above chance would be a leak."""
    chance = np.random.default_rng(4)
    rows = [(f"p{i}", f"{chance.normal():.3f}", chance.integers(0, 2)) for i in range(COUNT)]
    links = [(f"p{i}", f"p{chance.integers(0, COUNT)}") for i in range(COUNT) for _ in range(2)]
    train = write(tmp_path / "train.csv", "who,x,bad", rows)
    edges = write(tmp_path / "edges.csv", "a,b", links)

    card = fit_file(train, "who", "bad", tmp_path / "model", edges)

    assert 0.4 < card["cross_validation"]["auc"] < 0.6


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("who,time\np1,am\n", "COLUMN_MISSING"),
        ("calls,time\n1,am\n", "COLUMN_MISSING"),
        ("who,calls,time\np1,many,am\n", "FIELD_OUT_OF_RANGE"),
        ("who,who,calls\np1,p1,1\n", "FIELD_OUT_OF_RANGE"),
    ],
)
def test_a_table_that_does_not_fit_the_model_is_refused(fitted, tmp_path, text, reason):
    path = tmp_path / "test.csv"
    path.write_text(text)

    with pytest.raises(InvalidArgument) as caught:
        predict_file(fitted[0] / "model", path, tmp_path / "p.csv")

    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("who,x,bad\np1,1,0\np2,2,0\n", "FIELD_OUT_OF_RANGE"),
        ("who,x,bad\np1,1,0\np2,2,1\n", "TRAINING_SET_TOO_SMALL"),
        ("who,x\np1,1\n", "COLUMN_MISSING"),
    ],
)
def test_a_table_that_teaches_nothing_is_refused(tmp_path, rows, reason):
    path = tmp_path / "train.csv"
    path.write_text(rows)

    with pytest.raises(InvalidArgument) as caught:
        fit_file(path, "who", "bad", tmp_path / "model")

    assert caught.value.reason == reason


def test_a_folder_without_a_model_and_a_model_without_its_trees_are_not_found(fitted, tmp_path):
    (tmp_path / "card").mkdir()
    card = (fitted[0] / "model" / "card.json").read_text()
    (tmp_path / "card" / "card.json").write_text(card)

    for folder in (tmp_path, tmp_path / "card"):
        with pytest.raises(NotFound):
            predict_file(folder, fitted[0] / "train.csv", tmp_path / "p.csv")


@pytest.mark.parametrize(
    ("text", "reason", "told"),
    [
        ("a\np1\n", "COLUMN_MISSING", "two id columns"),
        ("a,b\np1,\n", "FIELD_REQUIRED", "line 2: b is empty"),
        ("a,b,w\np1,p2,1\np1,p3,0\n", "FIELD_OUT_OF_RANGE", "line 3: w must be"),
        ("a,b,w\np1,p2,often\n", "FIELD_OUT_OF_RANGE", "w must be a number"),
    ],
)
def test_edges_that_cannot_be_read_are_refused_with_field_and_line(
    fitted, tmp_path, text, reason, told
):
    edges = tmp_path / "edges.csv"
    edges.write_text(text)

    with pytest.raises(InvalidArgument) as caught:
        fit_file(fitted[0] / "train.csv", "who", "bad", tmp_path / "model", edges)

    assert caught.value.reason == reason
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("row", "reason", "told"),
    [("p3,0,am,1", "FIELD_OUT_OF_RANGE", "line 402"), (",0,am,1", "FIELD_REQUIRED", "line 402")],
)
def test_a_row_whose_id_is_empty_or_stood_above_is_named(fitted, tmp_path, row, reason, told):
    path = tmp_path / "train.csv"
    path.write_text((fitted[0] / "train.csv").read_text() + row + "\n")

    with pytest.raises(InvalidArgument) as caught:
        fit_file(path, "who", "bad", tmp_path / "model")

    assert caught.value.reason == reason
    assert told in str(caught.value)


def test_a_card_that_names_another_feature_is_refused_by_its_name(fitted, tmp_path):
    shutil.copytree(fitted[0] / "model", tmp_path / "model")
    path = tmp_path / "model" / "card.json"
    card = json.loads(path.read_text())
    for part in card["parts"].values():
        part["features"] = ["talk_s" if name == "calls" else name for name in part["features"]]
    path.write_text(json.dumps(card))

    with pytest.raises(InvalidArgument) as caught:
        predict_file(tmp_path / "model", fitted[0] / "train.csv", tmp_path / "p.csv")

    assert caught.value.reason == "MODEL_FEATURES_MISMATCH"
    assert caught.value.metadata["features"] == "calls,talk_s"


def test_a_model_with_links_says_the_same_after_it_was_stored(tmp_path):
    rows, links = people(3, links=True)
    train = write(tmp_path / "train.csv", "who,calls,time,bad", rows)
    edges = write(tmp_path / "edges.csv", "a,b,w", links)
    fit_file(train, "who", "bad", tmp_path / "model", edges)
    new = write(tmp_path / "new.csv", "who,calls,time", [("q1", "0.5", "am"), ("q2", "0.5", "am")])
    known = [row[3] for row in rows]
    gangs = [link[1] for link in links]
    share = {g: np.mean([y for y, h in zip(known, gangs, strict=True) if h == g]) for g in gangs}
    ranked = sorted(share, key=share.__getitem__)
    asked = write(tmp_path / "asked.csv", "a,b", [("q1", ranked[0]), ("q2", ranked[-1])])

    predict_file(tmp_path / "model", new, tmp_path / "p.csv", asked)

    good, bad = pyarrow.csv.read_csv(tmp_path / "p.csv")["probability"].to_pylist()
    assert bad > good + 0.2
