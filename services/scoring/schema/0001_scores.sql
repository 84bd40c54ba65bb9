-- reasons: names of the features that raise the risk most, joined with ';'.
CREATE TABLE scores (
    run UInt64,
    number Int64,
    risk Float32,
    reasons String
) ENGINE = MergeTree PARTITION BY run ORDER BY number;

-- Written last: a run without a row here is not finished.
CREATE TABLE score_runs (
    run UInt64,
    model_version String,
    number_count UInt64,
    finished_ms Int64
) ENGINE = MergeTree ORDER BY run;
