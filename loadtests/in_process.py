"""All services in this process, for benchmarks that read what these have made."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from services.application import Application, store_of
from services.cli import importing
from services.cli.demo import FILES
from services.cli.kinds import KINDS
from services.cli.session import Stubs
from services.common import operations, rpc
from services.common.clock import wall_clock_ms
from services.common.store import Store
from services.configuration import Configuration
from services.scoring.rows import RunRows
from zhengming.arbitration.v1 import arbitration_pb2
from zhengming.features.v1 import features_pb2


@contextmanager
def serving(
    configuration: Configuration, clock: Callable[[], int] = wall_clock_ms
) -> Iterator[tuple[Store, Stubs]]:
    """The store and the services over it, while the block runs."""
    application = Application(configuration, clock=clock)
    try:
        with rpc.connect(application.address) as channel:
            yield store_of(application), Stubs.of(channel)
    finally:
        application.stop()


def kept_in(folder: Path, engine: Path, database: str) -> Configuration:
    """A database of an engine, all else in the folder; pseudonyms by the same key every time."""
    (folder / "key").write_bytes(bytes(32))
    return Configuration(
        store=f"chdb:{engine}?database={database}",
        address="127.0.0.1:0",
        models=folder / "models",
        key_file=folder / "key",
        peers={},
        signing_key_file=folder / "signing",
        snapshots=folder / "snapshots",
    )


def import_city(stubs: Stubs, city: Path) -> None:
    """Send what `simulate` has written."""
    for kind, name in FILES:
        for line, table in importing.read_tables(city / name):
            KINDS[kind](stubs, city / name, line, table, {}, importing.Tally())


class Judged:
    """Rows of all numbers as of a time, features then posterior, made for this.

    Attributes:
        names: of the columns.
    """

    def __init__(self, store: Store, stubs: Stubs, as_of_ms: int) -> None:
        """Have them made; it takes as long as the job does."""
        features = features_pb2.BuildFeaturesRequest()
        features.as_of_time.FromMilliseconds(as_of_ms)
        built = features_pb2.BuildFeaturesResponse()
        operations.wait(stubs.operations, stubs.features.BuildFeatures(features, timeout=60), built)
        judge = arbitration_pb2.RunArbitrationRequest(run_id=built.run_id)
        judge.as_of_time.FromMilliseconds(as_of_ms)
        judged = arbitration_pb2.RunArbitrationResponse()
        operations.wait(
            stubs.operations, stubs.arbitration.RunArbitration(judge, timeout=60), judged
        )
        self._run, self._reader = int(built.run_id), RunRows(store, stubs.features)
        self.names = self._reader.names(self._run)

    def pages(self) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]]:
        """Numbers, ascending, and their rows, some at a time."""
        after = -1
        while True:
            numbers, rows = self._reader.after(self._run, after)
            if not len(numbers):
                return
            yield numbers, rows
            after = int(numbers[-1])
