"""Rows that the models see, made by services in this process."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from services.common import operations
from services.scoring.rows import RunRows
from tests.services_in_process import InProcess
from zhengming.arbitration.v1 import arbitration_pb2
from zhengming.features.v1 import features_pb2


class Judged:
    """Rows of all numbers as of a time, features then posterior, made for this.

    Attributes:
        names: of the columns.
    """

    def __init__(self, running: InProcess, as_of_ms: int) -> None:
        """Have them made; it takes as long as the job does."""
        stubs = running.stubs
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
        self._run, self._reader = int(built.run_id), RunRows(running.store, stubs.features)
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
