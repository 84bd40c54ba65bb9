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
    returned Float64,
    active Float64
) ENGINE = MergeTree PARTITION BY run ORDER BY (size, block);

-- Marks of each day (days since 1970, UTC), as of a run.
CREATE TABLE day_volumes (
    run UInt64,
    day Int64,
    marks Int64
) ENGINE = MergeTree PARTITION BY run ORDER BY day;
