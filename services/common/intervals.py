"""Intervals of a share. Pure."""

from scipy import stats

Z = 1.96
"""Standard deviations of a 95 % interval."""


def wilson(share: float, count: float) -> tuple[float, float]:
    """95 % score interval of a share of `count` trials (Wilson 1927, doi 10.2307/2276774)."""
    if count == 0:
        return 0.0, 1.0
    middle = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
    spread = (share * (1 - share) / count + Z**2 / (4 * count**2)) ** 0.5
    half = Z * spread / (1 + Z**2 / count)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def upper_bound(count: int, of: int) -> float:
    """One-sided exact 95 % upper bound of a share (Clopper and Pearson 1934); 1 of nothing."""
    if count == of:
        return 1.0
    return float(stats.beta.ppf(0.95, count + 1, of - count))
