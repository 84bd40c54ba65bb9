"""Whether what is scored still looks like what a model learned from. Pure."""

import json
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from services.scoring.domain import F32, F64, I64

NOTICE, ALARM = 0.1, 0.25
"""Population stability index from which a column has shifted somewhat, and much: the usual limits
(Siddiqi 2006, Credit Risk Scorecards, ISBN 978-0-471-75451-0; Yurdakul 2018, Statistical properties
of population stability index, Western Michigan University, on their origin)."""
BINS = 10
FLOOR = 1e-4
"""Share that an empty bin counts as: the index has a logarithm."""
SAMPLE = 20_000
"""Rows of the reference: chance alone makes an index of about 2 * BINS / SAMPLE (Yurdakul 2018)."""
SCORE = ""
"""Name of the column of the scores."""


@dataclass(frozen=True)
class Reference:
    """Histograms of the features and of the scores that a model was learned with.

    Attributes:
        names: of the features, then SCORE.
        edges: of each column, ascending: x is in the bin of how many of them it reaches.
        shares: of each column, of its bins and last of what is not known; sum 1.
    """

    names: tuple[str, ...]
    edges: tuple[tuple[float, ...], ...]
    shares: tuple[tuple[float, ...], ...]

    @classmethod
    def of(
        cls, names: tuple[str, ...], rows: F32, risk: F64, weights: F32, seed: int
    ) -> "Reference":
        """Deciles of a sample of rows, (n, features), that stand for `weights` rows each."""
        chance = np.random.default_rng(seed)
        share = weights / weights.sum(dtype=np.float64)
        chosen = chance.choice(len(rows), min(SAMPLE, len(rows)), p=share / share.sum())
        columns = _columns(rows[chosen], risk[chosen])
        edges = [_deciles(column) for column in columns]
        counts = [_counts(column, edge) for column, edge in zip(columns, edges, strict=True)]
        return cls(
            names=(*names, SCORE),
            edges=tuple(tuple(edge.tolist()) for edge in edges),
            shares=tuple(tuple(np.round(c / c.sum(), 6).tolist()) for c in counts),
        )

    @classmethod
    def read(cls, text: str) -> "Reference":
        """What `text` wrote."""
        found = json.loads(text)
        return cls(
            tuple(found["names"]),
            tuple(tuple(edge) for edge in found["edges"]),
            tuple(tuple(share) for share in found["shares"]),
        )

    def text(self) -> str:
        """As one line of JSON."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":")) + "\n"

    def count(self, rows: F32, risk: F64) -> I64:
        """Rows, (n, features), in each bin: (columns, BINS + 1), last those not known."""
        found = np.zeros((len(self.names), BINS + 1), dtype=np.int64)
        for i, column in enumerate(_columns(rows, risk)):
            part = _counts(column, np.array(self.edges[i], dtype=np.float32))
            found[i, : len(part) - 1], found[i, -1] = part[:-1], part[-1]
        return found

    def indices(self, counts: I64) -> F64:
        """Population stability index of each column, (columns,), by what `count` summed to.

        The sum over bins of (a - e) ln(a / e), e the share in the reference and a that of now.
        """
        expected = np.zeros(counts.shape)
        for i, shares in enumerate(self.shares):
            expected[i, : len(shares) - 1], expected[i, -1] = shares[:-1], shares[-1]
        actual = counts / counts.sum(axis=1, keepdims=True)
        a, e = np.maximum(actual, FLOOR), np.maximum(expected, FLOOR)
        return np.asarray(((a - e) * np.log(a / e)).sum(axis=1))


def _columns(rows: F32, risk: F64) -> list[F32]:
    """Each column by itself, the scores last."""
    return [*np.ascontiguousarray(rows.T), risk.astype(np.float32)]


def _deciles(column: F32) -> F32:
    """Limits of at most BINS bins of about as many rows: fewer where many are the same."""
    known = column[~np.isnan(column)]
    if not len(known):
        return np.empty(0, dtype=np.float32)
    at = np.linspace(0, 1, BINS + 1)[1:-1]
    return np.unique(np.quantile(known, at, method="higher").astype(np.float32))


def _counts(column: F32, edges: F32) -> npt.NDArray[np.int64]:
    """Rows of each bin, then those not known."""
    known = column[~np.isnan(column)]
    found = np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1)
    return np.append(found, len(column) - len(known)).astype(np.int64)
