-- One row a number and run; names of the values are in feature_runs.
CREATE TABLE features (
    run UInt64,
    number Int64,
    row Array(Float32)
) ENGINE = MergeTree PARTITION BY run ORDER BY number;

-- Written last: a run without a row here is not finished.
CREATE TABLE feature_runs (
    run UInt64,
    as_of_ms Int64,
    change_cursor String,
    names String,
    number_count UInt64,
    finished_ms Int64
) ENGINE = MergeTree ORDER BY run;
