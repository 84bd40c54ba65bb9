"""Models while they score: drift, and a candidate in shadow of the active one."""

from pathlib import Path

import grpc
import numpy as np
import pytest

from services.application import SHIPPED_MODELS
from services.cli import importing
from services.cli.kinds import KINDS
from services.common import operations, rpc
from services.scoring.drift import Reference
from services.scoring.registry import Registry
from services.scoring.rows import RunRows
from tests import marked_history
from tests.marked_history import DAY_MS, OFTEN, SELDOM
from tests.services_in_process import BEGAN_MS, in_process
from zhengming.arbitration.v1 import arbitration_pb2
from zhengming.features.v1 import features_pb2
from zhengming.scoring.v1 import scoring_pb2 as pb

AS_OF_MS = BEGAN_MS - 30 * DAY_MS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("watched")


@pytest.fixture(scope="module")
def running(chdb_engine, chdb_path, folder):
    """The shipped model is active; two candidates differ from it in their calibration."""
    marked_history.write(folder / "marks.csv", BEGAN_MS)
    with in_process(chdb_path, folder, follow=False) as services:
        for line, table in importing.read_tables(folder / "marks.csv"):
            KINDS["marks"](services.stubs, folder, line, table, {}, importing.Tally())
        services.clock.now_ms = AS_OF_MS
        yield services


@pytest.fixture(scope="module")
def registry(running, folder):
    return Registry(SHIPPED_MODELS, folder / "models")


def add_model(registry, version, shift, reference=None):
    """The shipped model, its risk moved by so many log odds."""
    shipped = Registry(SHIPPED_MODELS, Path("none")).active("risk")
    calibration = {"slope": shipped.slope, "intercept": shipped.intercept + shift}
    card = {"features": list(shipped.names), "calibration": calibration, "horizon_days": 30}
    registry.save("risk", version, shipped.booster, card, reference)
    return shipped.names


@pytest.fixture(scope="module")
def run_id(running):
    """A run of features and arbitration as of 30 days before everything is known."""
    stubs, wait = running.stubs, running.stubs.operations
    build = features_pb2.BuildFeaturesRequest()
    build.as_of_time.FromMilliseconds(AS_OF_MS)
    built = features_pb2.BuildFeaturesResponse()
    operations.wait(wait, stubs.features.BuildFeatures(build), built)
    judge = arbitration_pb2.RunArbitrationRequest(run_id=built.run_id)
    judge.as_of_time.FromMilliseconds(AS_OF_MS)
    judged = arbitration_pb2.RunArbitrationResponse()
    operations.wait(wait, stubs.arbitration.RunArbitration(judge), judged)
    return built.run_id


def score(running, run_id):
    scored = pb.RunScoringResponse()
    started = running.stubs.scoring.RunScoring(pb.RunScoringRequest(run_id=run_id))
    operations.wait(running.stubs.operations, started, scored)
    return scored


def model(running, version):
    listed = running.stubs.scoring.ListModels(pb.ListModelsRequest(name="risk")).models
    return next(found for found in listed if found.version == version)


def put_in_shadow(running, version):
    return running.stubs.scoring.ShadowModel(pb.ShadowModelRequest(version=version))


def published(running, run_id):
    return running.store.query(
        "SELECT number, avg(risk) AS risk FROM scores WHERE run = %(run)s "
        "GROUP BY number ORDER BY number",
        {"run": int(run_id)},
    )["risk"].to_pylist()


def test_a_model_in_shadow_scores_beside_the_active_one_and_is_not_published(
    running, registry, run_id
):
    running.clock.now_ms = AS_OF_MS
    add_model(registry, "8-alike", shift=-0.5)
    put_in_shadow(running, "")
    alone = score(running, run_id)
    before = published(running, run_id)

    put_in_shadow(running, "8-alike")
    scored = score(running, run_id)

    found = model(running, "8-alike")
    assert scored.model_version == alone.model_version != "8-alike"
    assert published(running, run_id) == before
    assert found.shadow
    assert not found.active
    told = found.shadow_difference
    assert (told.run_id, told.active_version) == (run_id, scored.model_version)
    assert told.number_count == scored.number_count == len(before) > OFTEN
    risk = np.array(before)
    moved = 1 / (1 + (1 - risk) / risk * np.exp(0.5))
    assert told.mean_absolute == pytest.approx(np.abs(moved - risk).mean(), rel=1e-3)
    assert told.rank_correlation == pytest.approx(1, abs=1e-3)  # the same order
    high, high_too = risk >= 0.7, moved >= 0.7
    assert told.flipped_ratio == (high ^ high_too).sum() / max((high | high_too).sum(), 1)
    assert not found.HasField("shadow_outcome")  # nothing is known yet


def test_once_outcomes_are_known_both_are_judged_on_the_same_numbers(running, registry, run_id):
    running.clock.now_ms = AS_OF_MS
    add_model(registry, "7-mistaken", shift=-6)
    put_in_shadow(running, "7-mistaken")
    score(running, run_id)

    running.clock.now_ms = BEGAN_MS
    score(running, run_id)

    found = model(running, "7-mistaken").shadow_outcome
    assert found.run_id == run_id
    assert OFTEN <= found.number_count <= OFTEN + SELDOM
    assert 0 < found.positive_count <= OFTEN
    assert found.log_loss > found.active_log_loss
    assert found.difference == pytest.approx(found.log_loss - found.active_log_loss)
    assert 0 < found.lower < found.difference < found.upper
    kept = running.store.query("SELECT count() AS n FROM shadow_scores")["n"][0].as_py()
    assert kept == 0  # what is judged is not kept


def test_a_model_of_other_features_and_one_that_cannot_be_read_do_not_stop_a_run(
    running, registry, folder, run_id
):
    shipped = registry.active("risk")
    calibration = {"slope": shipped.slope, "intercept": shipped.intercept}
    card = {"features": list(shipped.names[::-1]), "calibration": calibration}
    registry.save("risk", "3-other", shipped.booster, card)
    add_model(registry, "2-torn", shift=0)

    for version in ("3-other", "2-torn"):
        put_in_shadow(running, version)
        if version == "2-torn":
            (folder / "models" / "risk" / version / "model.txt").write_text("torn")
        scored = score(running, run_id)

        assert scored.model_version == shipped.version
        assert scored.number_count > OFTEN
        assert not model(running, version).HasField("shadow_difference")


def test_an_activated_model_leaves_the_shadow(running, registry):
    add_model(registry, "6-chosen", shift=0)
    shipped = registry.active("risk").version
    put_in_shadow(running, "6-chosen")

    running.stubs.scoring.ActivateModel(pb.ActivateModelRequest(name="risk", version="6-chosen"))

    assert model(running, "6-chosen").active
    assert not model(running, "6-chosen").shadow
    running.stubs.scoring.RollbackModel(pb.RollbackModelRequest(name="risk"))
    assert registry.active("risk").version == shipped


@pytest.mark.parametrize(
    ("version", "reason"), [("none", "MODEL_NOT_FOUND"), ("active", "FIELD_OUT_OF_RANGE")]
)
def test_what_cannot_be_in_shadow_is_refused(running, registry, version, reason):
    asked = registry.active("risk").version if version == "active" else version

    with pytest.raises(grpc.RpcError) as failure:
        put_in_shadow(running, asked)

    assert rpc.to_domain_error(failure.value).reason == reason


def test_a_run_unlike_what_was_learned_from_alarms_and_one_like_it_does_not(
    running, registry, run_id
):
    put_in_shadow(running, "")
    names = registry.active("risk").names
    rows, risk = rows_of(running, run_id, registry)
    ones = np.ones(len(rows), dtype=np.float32)
    other = rows.copy()
    other[:, names.index("marks_count")] += 100
    add_model(registry, "5-like", 0, Reference.of(names, rows, risk, ones, seed=0))
    add_model(registry, "4-unlike", 0, Reference.of(names, other, risk / 2, ones, seed=0))

    drifts = {}
    for version in ("5-like", "4-unlike"):
        running.stubs.scoring.ActivateModel(pb.ActivateModelRequest(name="risk", version=version))
        score(running, run_id)
        drifts[version] = model(running, version).drift
        running.stubs.scoring.RollbackModel(pb.RollbackModelRequest(name="risk"))

    assert drifts["5-like"].run_id == run_id
    assert drifts["5-like"].score_level == pb.DRIFT_LEVEL_STEADY
    assert not drifts["5-like"].features
    assert drifts["5-like"].score_index < 0.1
    assert drifts["4-unlike"].score_level == pb.DRIFT_LEVEL_ALARM
    assert [moved.feature for moved in drifts["4-unlike"].features] == ["marks_count"]
    assert drifts["4-unlike"].features[0].index > 0.25
    assert drifts["4-unlike"].alarming_feature_count == 1


def rows_of(running, run_id, registry):
    """Every row of a run as it is scored, and its risk."""
    _, rows = RunRows(running.store, running.stubs.features).after(int(run_id), -1)
    return rows, registry.active("risk").risk(rows)
