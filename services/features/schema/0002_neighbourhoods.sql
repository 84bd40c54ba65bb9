-- Sums over the marked numbers of each block of neighbouring numbers, as of a run.
CREATE TABLE neighbourhoods (
    run UInt64,
    size UInt64,
    block Int64,
    numbers Float64,
    marks Float64,
    repeated Float64,
    life_days Float64,
    old Float64,
    returned Float64
) ENGINE = MergeTree PARTITION BY run ORDER BY (size, block);
