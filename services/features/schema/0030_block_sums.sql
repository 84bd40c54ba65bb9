-- Sums over the marked numbers of each block of neighbouring numbers, as of a run.
CREATE TABLE block_sums (
    run UInt64,
    size UInt64,
    block Int64,
    numbers_30d UInt64,
    marks_30d UInt64,
    marks_7d UInt64,
    marks UInt64
) ENGINE = MergeTree PARTITION BY run ORDER BY (size, block);
