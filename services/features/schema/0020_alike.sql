-- A sample of the numbers with behaviour, as of a run: what others are compared with.
CREATE TABLE alike_references (
    run UInt64,
    number Int64,
    traits Array(Float32)
) ENGINE = MergeTree PARTITION BY run ORDER BY number;
