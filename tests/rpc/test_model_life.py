"""Models through the service: rolled back, and learned anew only to take over if better."""

import json
from datetime import datetime

import grpc
import pytest

from services.__main__ import run_job
from services.application import SHIPPED_MODELS
from services.cli import importing
from services.cli.kinds import KINDS
from services.common import operations, rpc
from services.configuration import Configuration
from services.scoring.drift import SCORE
from services.scoring.registry import Registry
from tests import marked_history
from tests.marked_history import DAY_MS, OFTEN, SELDOM
from tests.services_in_process import BEGAN_MS, in_process
from zhengming.scoring.v1 import scoring_pb2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def running(chdb_engine, chdb_path, folder):
    marked_history.write(folder / "marks.csv", BEGAN_MS)
    with in_process(chdb_path, folder, follow=False) as services:
        for line, table in importing.read_tables(folder / "marks.csv"):
            KINDS["marks"](services.stubs, folder, line, table, {}, importing.Tally())
        yield services


def train(running, **given):
    request = scoring_pb2.TrainModelRequest(name="risk", horizon_days=30, **given)
    request.as_of_time.FromMilliseconds(BEGAN_MS - 30 * DAY_MS)
    learned = scoring_pb2.Model()
    started = running.stubs.scoring.TrainModel(request)
    operations.wait(running.stubs.operations, started, learned)
    return learned


def active(running):
    models = running.stubs.scoring.ListModels(scoring_pb2.ListModelsRequest(name="risk")).models
    return next(model.version for model in models if model.active)


def test_a_model_takes_over_where_it_is_better_and_not_again_where_it_is_not(running):
    shipped = active(running)

    better = train(running, only_if_better=True)
    running.clock.now_ms += 1_000  # a version is named by its second
    same = train(running, only_if_better=True)

    found = json.loads(better.card_json)["comparison"]
    window_ms = BEGAN_MS - 30 * DAY_MS
    newest = datetime.fromisoformat(json.loads(better.card_json)["as_of"])
    assert newest.timestamp() * 1000 + 30 * DAY_MS <= window_ms  # nothing it is judged by
    assert better.active
    assert (found["active"], found["activated"]) == (shipped, True)
    assert found["lower"] < found["difference"] < found["upper"] < 0
    assert found["row_count"] > OFTEN
    again = json.loads(same.card_json)["comparison"]
    assert (again["active"], again["activated"]) == (better.version, False)
    assert not same.active
    assert active(running) == better.version


def test_a_card_tells_figures_on_later_times_and_numbers_kept_apart_and_of_slices(running):
    listed = running.stubs.scoring.ListModels(scoring_pb2.ListModelsRequest(name="risk")).models
    card = json.loads(next(model.card_json for model in listed if model.active))

    assert card["positive_marks"] == 3
    assert card["group_split"]["row_count"] < card["time_split"]["row_count"] <= OFTEN + SELDOM
    for split in ("out_of_fold", "time_split", "group_split"):
        assert 0.9 < card[split]["auc"] <= 1
    assert card["slices"]["few_marks"]["row_count"] >= 50
    assert "number_kind=CN_MOBILE" in card["slices"]


def test_a_model_that_learned_is_stored_with_its_reference(running, folder):
    version = active(running)

    made = Registry(SHIPPED_MODELS, folder / "models").reference("risk", version)

    assert made.names[-1] == SCORE
    assert "marks_count" in made.names
    assert all(abs(sum(shares) - 1) < 1e-4 for shares in made.shares)


def test_a_model_is_rolled_back_to_the_one_before(running):
    first = active(running)
    listed = running.stubs.scoring.ListModels(scoring_pb2.ListModelsRequest(name="risk")).models
    second = next(model.version for model in listed if not model.active)
    running.stubs.scoring.ActivateModel(
        scoring_pb2.ActivateModelRequest(name="risk", version=second)
    )

    back = running.stubs.scoring.RollbackModel(scoring_pb2.RollbackModelRequest(name="risk"))

    assert back.version == active(running) == first != second


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (scoring_pb2.RollbackModelRequest(name="luck"), "FIELD_OUT_OF_RANGE"),
        (scoring_pb2.ActivateModelRequest(name="risk", version="9"), "MODEL_NOT_FOUND"),
        (scoring_pb2.ActivateModelRequest(name="luck", version="9"), "FIELD_OUT_OF_RANGE"),
        (scoring_pb2.TrainModelRequest(name="prior", only_if_better=True), "FIELD_OUT_OF_RANGE"),
    ],
)
def test_what_cannot_be_switched_is_refused(running, request_, reason):
    call = {
        scoring_pb2.RollbackModelRequest: running.stubs.scoring.RollbackModel,
        scoring_pb2.ActivateModelRequest: running.stubs.scoring.ActivateModel,
        scoring_pb2.TrainModelRequest: running.stubs.scoring.TrainModel,
    }[type(request_)]

    with pytest.raises(grpc.RpcError) as failure:
        call(request_)

    assert rpc.to_domain_error(failure.value).reason == reason


def test_the_job_learns_anew_at_a_running_service(running, tmp_path, capsys):
    running.clock.now_ms += 1_000
    configuration = Configuration(
        store="chdb:not-opened",
        address="127.0.0.1:0",
        models=tmp_path,
        key_file=tmp_path / "key",
        peers={"scoring": running.application.address},
    )

    ended = run_job(["retrain"], configuration, lambda: BEGAN_MS)

    said = json.loads(capsys.readouterr().out)
    assert ended == 0
    assert said["comparison"]["row_count"] > OFTEN
    assert said["active"] == (said["comparison"]["difference"] < 0)
    assert (active(running) == said["version"]) == said["active"]


def test_a_job_that_is_not_there_is_wrong_use(capsys):
    assert run_job(["tidy"], None, lambda: 0) == 2
    assert "retrain" in capsys.readouterr().err
