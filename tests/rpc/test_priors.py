"""Priors of behaviour through the services: learned, written, handed to arbitration."""

import json
from datetime import UTC, date, datetime

import grpc
import numpy as np
import pytest

from services.cli import importing
from services.cli.demo import FILES
from services.cli.kinds import KINDS
from services.cli.session import run_pipeline
from services.common import operations, rpc
from services.common.errors import FailedPrecondition
from services.common.numbering import parse_column
from services.simulator.city import simulate
from tests.services_in_process import SetClock, in_process
from zhengming.arbitration.v1 import arbitration_pb2
from zhengming.features.v1 import features_pb2
from zhengming.scoring.v1 import scoring_pb2

END = date(2026, 6, 30)
END_MS = int(datetime(END.year, END.month, END.day, tzinfo=UTC).timestamp() * 1000)


@pytest.fixture(scope="module")
def city(chdb_engine, chdb_path, tmp_path_factory):
    """A small city, all of it imported, a prior learned from its truth, and one full pass."""
    folder = tmp_path_factory.mktemp("priors")
    simulate(numbers=600, days=30, seed=5, out=folder / "city", end=END)
    clock = SetClock()
    clock.now_ms = END_MS
    with in_process(chdb_path, folder, "", clock, follow=False) as running:
        for kind, name in FILES:
            for line, table in importing.read_tables(folder / "city" / name):
                KINDS[kind](
                    running.stubs, folder / "city" / name, line, table, {}, importing.Tally()
                )
        running.model = train(running, folder / "city" / "truth.csv")
        run_pipeline(running.stubs, END_MS, lambda step: None)
        yield running


def train(running, truth):
    request = scoring_pb2.TrainModelRequest(name="prior", seed=1)
    request.as_of_time.FromMilliseconds(END_MS)
    for _, table in importing.read_tables(truth):
        keys = parse_column(table["number"]).keys
        for key, category in zip(keys.tolist(), importing.texts(table, "category"), strict=True):
            if key:
                request.truth.number_keys.append(key)
                request.truth.categories.append(category)
    learned = scoring_pb2.Model()
    started = running.stubs.scoring.TrainModel(request)
    operations.wait(running.stubs.operations, started, learned)
    return learned


def features_of(running, keys):
    ask = features_pb2.BatchGetFeaturesRequest(number_keys=keys)
    ask.as_of_time.FromMilliseconds(END_MS)
    return running.stubs.features.BatchGetFeatures(ask)


def priors_of(running, keys):
    rows = features_of(running, keys)
    return running.stubs.scoring.BatchGetPriors(
        scoring_pb2.BatchGetPriorsRequest(number_keys=keys, names=rows.names, values=rows.values)
    )


def newest(running, table):
    run = running.store.query(f"SELECT max(run) AS run FROM {table}")["run"][0].as_py()
    return running.store.query(
        f"SELECT * FROM {table} WHERE run = %(run)s ORDER BY number", {"run": run}
    ).to_pylist()


def test_the_learned_model_is_listed_and_active(city):
    models = city.stubs.scoring.ListModels(scoring_pb2.ListModelsRequest(name="prior")).models

    assert [m.version for m in models if m.active] == [city.model.version]
    assert '"log_base"' in models[0].card_json


def test_touched_numbers_get_the_priors_of_the_full_pass(city):
    stored = newest(city, "priors")
    keys = [row["number"] for row in stored]

    found = priors_of(city, keys)

    values = np.array(found.log_ratios).reshape(len(keys), -1)
    assert len(keys) > 50
    assert len(found.classes) == values.shape[1] >= 2
    assert np.allclose(values, [row["log_ratios"] for row in stored], atol=1e-6)


def test_touched_numbers_get_the_posteriors_of_the_full_pass(city):
    whole = {row["number"]: row for row in newest(city, "posteriors") if row["mark_count"]}
    keys = list(whole)
    priors = priors_of(city, keys)
    weight = city.store.query("SELECT weight FROM prior_weight ORDER BY run DESC LIMIT 1")

    def judged(**priors):
        ask = arbitration_pb2.BatchArbitrateRequest(number_keys=keys, **priors)
        ask.as_of_time.FromMilliseconds(END_MS)
        answer = city.stubs.arbitration.BatchArbitrate(ask).posteriors
        return np.array([p.distribution[0].probability for p in answer])

    found = judged(prior_classes=priors.classes, prior_log_ratios=priors.log_ratios)

    assert weight["weight"][0].as_py() > 0
    assert np.allclose(found, [whole[key]["probabilities"][0] for key in keys], atol=1e-5)
    assert np.abs(found - judged()).max() > 0.05


def test_posteriors_by_columns_are_those_by_messages_in_the_order_asked(city):
    held = [row["number"] for row in newest(city, "posteriors") if row["quarantined_count"]]
    keys = [row["number"] for row in newest(city, "posteriors") if row["mark_count"]]
    keys = [*reversed(keys), *held, keys[0]]
    ask = arbitration_pb2.BatchArbitrateRequest(number_keys=keys)
    ask.as_of_time.FromMilliseconds(END_MS)
    messages = city.stubs.arbitration.BatchArbitrate(ask).posteriors
    ask.as_columns = True

    answer = city.stubs.arbitration.BatchArbitrate(ask)

    found = answer.columns
    codes = np.array(found.categories)[np.reshape(found.category_indexes, (-1, found.width))]
    probabilities = np.reshape(found.probabilities, codes.shape)
    in_quarantine = {}
    for row, key in zip(found.quarantined_rows, found.quarantined_mark_keys, strict=True):
        in_quarantine.setdefault(row, set()).add(key)
    assert not answer.posteriors
    for row, message in enumerate(messages):
        kept = probabilities[row] > 0
        assert list(codes[row][kept]) == [item.category for item in message.distribution]
        assert np.allclose(
            probabilities[row][kept], [item.probability for item in message.distribution]
        )
        assert found.mark_counts[row] == message.mark_count
        assert found.reporter_counts[row] == message.reporter_count
        assert found.former_mark_counts[row] == message.former_mark_count
        assert found.effective_sources[row] == message.effective_sources
        assert found.epochs[row] == message.epoch
        assert found.first_mark_ms[row] == message.first_mark_time.ToMilliseconds()
        assert found.last_mark_ms[row] == message.last_mark_time.ToMilliseconds()
        assert found.decided_categories[row] == message.decided_category
        assert in_quarantine.get(row, set()) == set(message.quarantined_mark_keys)


def test_packed_rows_give_the_priors_and_scores_of_the_same_values(city):
    keys = [row["number"] for row in newest(city, "priors")][:40]
    rows = features_of(city, keys)
    ask = features_pb2.BatchGetFeaturesRequest(number_keys=keys, packed=True)
    ask.as_of_time.FromMilliseconds(END_MS)
    packed = city.stubs.features.BatchGetFeatures(ask)
    told = scoring_pb2.BatchGetPriorsRequest(
        number_keys=keys, names=packed.names, packed_values=packed.packed_values
    )

    found = city.stubs.scoring.BatchGetPriors(told)

    assert not packed.values
    np.testing.assert_array_equal(
        np.frombuffer(packed.packed_values, "<f4"), np.array(rows.values, dtype=np.float32)
    )
    assert list(found.log_ratios) == list(priors_of(city, keys).log_ratios)


def test_packed_values_that_end_within_a_value_are_refused(city):
    with pytest.raises(grpc.RpcError) as failure:
        city.stubs.scoring.BatchGetPriors(
            scoring_pb2.BatchGetPriorsRequest(number_keys=[1], names=["a"], packed_values=b"12345")
        )

    error = rpc.to_domain_error(failure.value)
    assert (error.reason, error.metadata["field"]) == ("COLUMN_LENGTH_MISMATCH", "packed_values")


def test_no_mark_changes_what_a_prior_is_told_from(city):
    marked = next(row["number"] for row in newest(city, "priors"))
    keys = city.store.query(
        "SELECT mark_key FROM marks WHERE number = %(number)s", {"number": marked}
    )["mark_key"].to_pylist()

    ask = features_pb2.BatchGetFeaturesRequest(number_keys=[marked], excluded_mark_keys=keys)
    ask.as_of_time.FromMilliseconds(END_MS)
    without = city.stubs.features.BatchGetFeatures(ask)

    with_ = features_of(city, [marked])
    differ = ~np.isclose(with_.values, without.values, equal_nan=True)
    touched = {with_.names[i] for i in np.flatnonzero(differ)}
    assert "marks_count" in touched
    assert not touched & set(json.loads(city.model.card_json)["features"])


def test_values_for_another_count_of_numbers_are_refused(city):
    with pytest.raises(grpc.RpcError) as failure:
        city.stubs.scoring.BatchGetPriors(
            scoring_pb2.BatchGetPriorsRequest(number_keys=[1, 2], names=["a"], values=[1.0])
        )

    assert rpc.to_domain_error(failure.value).reason == "COLUMN_LENGTH_MISMATCH"


def test_a_prior_without_its_features_is_refused_by_name(city):
    with pytest.raises(grpc.RpcError) as failure:
        city.stubs.scoring.BatchGetPriors(
            scoring_pb2.BatchGetPriorsRequest(number_keys=[1], names=["a"], values=[1.0])
        )

    error = rpc.to_domain_error(failure.value)
    assert error.reason == "MODEL_FEATURES_MISMATCH"
    assert "active_days" in error.metadata["missing"]


def test_log_ratios_of_another_width_are_refused(city):
    with pytest.raises(grpc.RpcError) as failure:
        city.stubs.arbitration.BatchArbitrate(
            arbitration_pb2.BatchArbitrateRequest(
                number_keys=[1, 2], prior_classes=["A1"], prior_log_ratios=[0.5]
            )
        )

    assert rpc.to_domain_error(failure.value).reason == "COLUMN_LENGTH_MISMATCH"


def test_priors_of_a_run_that_was_not_built_are_refused(city):
    with pytest.raises(grpc.RpcError) as failure:
        city.stubs.scoring.RunPriors(scoring_pb2.RunPriorsRequest(run_id="12"))

    assert rpc.to_domain_error(failure.value).reason == "JOB_NOT_RUN"


def test_without_behaviour_a_pass_has_no_priors_and_goes_on(chdb_engine, chdb_path, tmp_path):
    simulate(numbers=300, days=20, seed=6, out=tmp_path / "city", end=END)
    clock = SetClock()
    clock.now_ms = END_MS
    with in_process(chdb_path, tmp_path, "", clock, follow=False) as running:
        path = tmp_path / "city" / "marks.csv.gz"
        for line, table in importing.read_tables(path):
            KINDS["marks"](running.stubs, path, line, table, {}, importing.Tally())

        published = run_pipeline(running.stubs, END_MS, lambda step: None)

        assert published.number_count > 0
        assert running.store.query("SELECT run FROM prior_runs").num_rows == 0
        with pytest.raises(FailedPrecondition) as failure:
            request = scoring_pb2.TrainModelRequest(name="prior")
            request.as_of_time.FromMilliseconds(END_MS)
            operations.wait(
                running.stubs.operations,
                running.stubs.scoring.TrainModel(request),
                scoring_pb2.Model(),
            )
        assert failure.value.reason == "TRAINING_SET_TOO_SMALL"
