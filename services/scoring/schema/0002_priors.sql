-- What behaviour says of a number's category: logs of P(class | behaviour) / P(class).
CREATE TABLE priors (
    run UInt64,
    number Int64,
    log_ratios Array(Float32)
) ENGINE = MergeTree PARTITION BY run ORDER BY number;

-- Written last: a run without a row here has no priors. classes: category ids, joined with ','.
CREATE TABLE prior_runs (
    run UInt64,
    classes String,
    model_version String,
    number_count UInt64,
    finished_ms Int64
) ENGINE = MergeTree ORDER BY run;
