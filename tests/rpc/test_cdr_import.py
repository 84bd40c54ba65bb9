"""What aggregate-cdr writes is what `import behaviour` takes."""

import pytest

from services.cli import importing
from services.cli.cdr.run import aggregate_files
from services.cli.kinds import KINDS
from tests.services_in_process import BEGAN_MS, in_process
from zhengming.features.v1 import features_pb2

DAY_MS = 86_400_000
CALLER = (1 << 60) + 8613800138000


@pytest.fixture(scope="module")
def services(chdb_engine, chdb_path, tmp_path_factory):
    with in_process(chdb_path, tmp_path_factory.mktemp("services"), follow=False) as running:
        yield running


@pytest.mark.parametrize("ending", ["parquet", "csv", "csv.gz"])
def test_aggregated_records_are_imported_whole_and_become_features(services, tmp_path, ending):
    records = tmp_path / "calls.csv"
    start_ms = BEGAN_MS - 2 * DAY_MS
    rows = [f"13800138000,1390013{i:04d},{start_ms + i * 20_000},{i % 3}" for i in range(60)]
    records.write_text("caller,callee,started_at,duration_s\n" + "\n".join(rows) + "\n")
    out = tmp_path / f"behaviour.{ending}"
    done = aggregate_files([records], out, "CMCC")
    tally = importing.Tally()

    for line, table in importing.read_tables(out):
        KINDS["behaviour"](services.stubs, out, line, table, {}, tally)

    assert (tally.committed, tally.rejected) == (done.rows, [])
    request = features_pb2.BatchGetFeaturesRequest(number_keys=[CALLER])
    request.as_of_time.FromMilliseconds(BEGAN_MS)
    found = services.stubs.features.BatchGetFeatures(request)
    features = dict(zip(found.names, found.values, strict=True))
    assert features["calls_out_per_day"] == 60
    assert features["answered_ratio"] == pytest.approx(40 / 60)
    assert features["calls_per_minute_max"] == 3
    assert features["sequential_ratio"] == 1
