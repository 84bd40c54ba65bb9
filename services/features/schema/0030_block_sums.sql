-- Sums over the marked numbers of each block of neighbouring numbers, as of a run. key: of
-- blocks.keys_of, so that the blocks that a number is in are near each other.
CREATE TABLE block_sums (
    run UInt64,
    key Int64,
    numbers_30d UInt64,
    marks_30d UInt64,
    marks_7d UInt64,
    marks UInt64
) ENGINE = MergeTree PARTITION BY run ORDER BY key SETTINGS index_granularity = 512;
