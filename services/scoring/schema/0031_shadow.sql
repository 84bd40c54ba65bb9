-- What the active model and the one in shadow said of numbers of a run, for the day on which it is
-- known what came true; never published. weight: how many numbers each stands for.
CREATE TABLE shadow_scores (
    run UInt64,
    number Int64,
    active_risk Float32,
    risk Float32,
    weight Float32
) ENGINE = MergeTree PARTITION BY run ORDER BY number;

-- How far the two differ in a run. positive_marks within horizon_days after it make a number bad.
-- is_kept: 1 where shadow_scores has rows of it.
CREATE TABLE shadow_runs (
    run UInt64,
    as_of_ms Int64,
    version String,
    active_version String,
    number_count UInt64,
    mean_absolute Float64,
    rank_correlation Float64,
    flipped_ratio Float64,
    positive_marks UInt32,
    horizon_days UInt32,
    is_kept UInt8,
    finished_ms Int64
) ENGINE = MergeTree ORDER BY run;

-- Which of the two was right, once known: log-losses on the same numbers; difference: of the two,
-- below 0 where the model in shadow is better, and its 95 % interval.
CREATE TABLE shadow_outcomes (
    run UInt64,
    as_of_ms Int64,
    version String,
    active_version String,
    row_count UInt64,
    positive_count UInt64,
    log_loss Float64,
    active_log_loss Float64,
    difference Float64,
    lower Float64,
    upper Float64,
    judged_ms Int64
) ENGINE = MergeTree ORDER BY run;
