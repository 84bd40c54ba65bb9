"""`zhengming arbitrate`: any file of answers in, a posterior of every task out."""

import csv
import gzip

import pyarrow as pa
import pyarrow.parquet
import pytest

from services.cli.arbitrate import arbitrate_file
from services.common.errors import InvalidArgument

ROWS = "task,worker,label\n" + "".join(
    f"t{task},w{worker},{'spam' if (task + (worker == 3)) % 2 else 'ham'}\n"
    for task in range(8)
    for worker in range(4)
)


@pytest.fixture
def answers(tmp_path):
    path = tmp_path / "answers.csv"
    path.write_text(ROWS)
    return path


def rows_of(path):
    with path.open() as lines:
        return list(csv.DictReader(lines))


def test_every_task_has_a_label_and_the_probabilities_of_all(answers, tmp_path):
    found = arbitrate_file(answers, tmp_path / "out.csv", tmp_path / "workers.csv")

    rows, workers = rows_of(tmp_path / "out.csv"), rows_of(tmp_path / "workers.csv")
    assert list(rows[0]) == ["task", "label", "probability", "p_ham", "p_spam"]
    assert [row["label"] for row in rows] == ["ham", "spam"] * 4
    assert all(float(r["p_ham"]) + float(r["p_spam"]) == pytest.approx(1, abs=1e-5) for r in rows)
    assert (found.answers, found.tasks, found.workers, found.classes) == (32, 8, 4, 2)
    worst = min(workers, key=lambda row: float(row["accuracy"]))
    assert worst["worker"] == "w3"
    assert float(worst["accuracy_low"]) <= float(worst["accuracy"]) <= float(worst["accuracy_high"])


def test_the_same_answers_in_other_forms_give_the_same_file(answers, tmp_path):
    zipped, columnar = tmp_path / "a.csv.gz", tmp_path / "a.parquet"
    zipped.write_bytes(gzip.compress(ROWS.encode()))
    columns = list(zip(*(line.split(",") for line in ROWS.split()[1:]), strict=True))
    table = pa.table([pa.array(column) for column in columns], ["Task", "Worker", "Label"])
    pyarrow.parquet.write_table(table, columnar)

    for path in (answers, zipped, columnar):
        arbitrate_file(path, tmp_path / f"{path.name}.out.csv")

    first, *others = (tmp_path / f"{p.name}.out.csv" for p in (answers, zipped, columnar))
    assert [other.read_text() for other in others] == [first.read_text()] * 2


def test_rows_that_cannot_be_used_are_named_by_line(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text("task,worker,label\nt,a,x\nt,,x\nt,b\nt,a,y\nt,c, \n")

    found = arbitrate_file(path, tmp_path / "out.csv")

    named = {(line, field) for _, line, field, _ in found.rejects}
    assert (found.answers, found.rejected) == (1, 4)
    assert named == {(3, "worker"), (4, "row"), (5, "worker"), (6, "label")}


def test_gold_decides_its_tasks_and_gold_of_others_is_rejected(answers, tmp_path):
    gold = tmp_path / "gold.csv"
    gold.write_text("task,label\nt0,spam\nt9,ham\nt0,ham\n")

    found = arbitrate_file(answers, tmp_path / "out.csv", gold=gold)

    assert rows_of(tmp_path / "out.csv")[0]["label"] == "spam"
    assert (found.gold, found.rejected) == (1, 2)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("task,label\nt,x\n", "COLUMN_MISSING"),
        ("task,worker,label\n", "FIELD_REQUIRED"),
        ("task,worker,label\n,,\n", "FIELD_REQUIRED"),
        ("", "FILE_UNREADABLE"),
        ("\xff\xfe\x00", "FILE_UNREADABLE"),
    ],
)
def test_a_file_that_is_no_table_of_answers_is_refused(tmp_path, text, reason):
    path = tmp_path / "bad.csv"
    path.write_bytes(text.encode("latin-1"))

    with pytest.raises(InvalidArgument) as caught:
        arbitrate_file(path, tmp_path / "out.csv")

    assert caught.value.reason == reason
    assert not (tmp_path / "out.csv").exists()
