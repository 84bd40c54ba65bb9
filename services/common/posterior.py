"""What a posterior says to the risk model: the same columns for training and serving."""

from typing import Any

import numpy as np
import numpy.typing as npt

NAMES = (
    "posterior_ordinary",
    "posterior_illegal",
    "posterior_malicious",
    "posterior_marketing",
    "posterior_service",
    "posterior_top",
    "effective_sources",
    "counted_marks_count",
    "former_marks_count",
)
"""Features that arbitration gives, in order."""


def columns(
    categories: npt.NDArray[np.uint16],
    probabilities: npt.NDArray[np.float32],
    effective_sources: npt.NDArray[Any],
    mark_count: npt.NDArray[Any],
    former_mark_count: npt.NDArray[Any],
) -> npt.NDArray[np.float32]:
    """Feature columns of n posteriors, float32 (n, len(NAMES)).

    Args:
        categories: (n, m), most probable first; 0: ordinary.
        probabilities: (n, m).
        effective_sources, mark_count, former_mark_count: (n,).
    """
    group = categories // 1000
    result = np.empty((len(categories), len(NAMES)), dtype=np.float32)
    result[:, 0] = np.where(categories == 0, probabilities, 0).sum(axis=1)
    for i in (1, 2, 3, 4):
        result[:, i] = np.where(group == i, probabilities, 0).sum(axis=1)
    result[:, 5] = probabilities.max(axis=1) if probabilities.shape[1] else 0
    result[:, 6] = effective_sources
    result[:, 7] = mark_count
    result[:, 8] = former_mark_count
    return result
