"""A consumer's copy of all reputations: kept equal to the feed, verified, usable offline."""
