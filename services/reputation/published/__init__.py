"""The published state as immutable sorted tables in memory-mapped files, and deltas since."""
