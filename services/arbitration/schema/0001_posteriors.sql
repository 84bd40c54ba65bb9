-- What authorities and reviewers found; category 0: cleared. The row with the greater decided_ms holds.
CREATE TABLE decisions (
    number Int64,
    decided_ms Int64,
    category UInt16,
    valid_until_ms Int64,
    authority String,
    received_ms Int64
) ENGINE = ReplacingMergeTree(received_ms) ORDER BY (number, decided_ms, category);

CREATE TABLE posteriors (
    run UInt64,
    number Int64,
    categories Array(UInt16),
    probabilities Array(Float32),
    effective_sources Float32,
    reporter_count UInt32,
    mark_count UInt32,
    former_mark_count UInt32,
    epoch UInt32,
    epoch_start_ms Int64,
    first_mark_ms Int64,
    last_mark_ms Int64,
    decided_category Int32,
    decided_by String
) ENGINE = MergeTree PARTITION BY run ORDER BY number;

-- One row a number and label: the marks behind the posterior.
CREATE TABLE evidence (
    run UInt64,
    number Int64,
    label UInt64,
    mark_count UInt32,
    weight Float32,
    last_mark_ms Int64
) ENGINE = MergeTree PARTITION BY run ORDER BY number;

-- log P(label | category) within the label's source; label 0: log of the class prior.
CREATE TABLE accuracies (
    run UInt64,
    label UInt64,
    category UInt16,
    log_probability Float64
) ENGINE = MergeTree PARTITION BY run ORDER BY (label, category);

-- Written last: a run without a row here is not finished.
CREATE TABLE arbitration_runs (
    run UInt64,
    as_of_ms Int64,
    number_count UInt64,
    mark_count UInt64,
    iteration_count UInt32,
    finished_ms Int64
) ENGINE = MergeTree ORDER BY run;
