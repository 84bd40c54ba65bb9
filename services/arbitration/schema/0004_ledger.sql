-- Published labels drawn at random, by week; weight: labels that each stands for.
CREATE TABLE samples (
    week_ms Int64,
    number Int64,
    category UInt16,
    probability Float32,
    weight Float64,
    label_count UInt64
) ENGINE = MergeTree ORDER BY (week_ms, number);

-- What reviewers found; the later review of a number holds.
CREATE TABLE sample_reviews (
    week_ms Int64,
    number Int64,
    verdict String,
    reviewer String,
    reviewed_ms Int64
) ENGINE = MergeTree ORDER BY (week_ms, number);

-- How right each source was as of a run. category 0: all; week_ms 0: all. told: marks of which
-- others say anything, each by how much; right: those of them that others confirm.
CREATE TABLE scorecards (
    run UInt64,
    source UInt64,
    category UInt16,
    week_ms Int64,
    marks UInt64,
    told Float64,
    right Float64
) ENGINE = MergeTree PARTITION BY run ORDER BY (source, category, week_ms);

-- What each source sent, as of a run. delay_s: median from call to mark, -1 unknown.
CREATE TABLE source_counts (
    run UInt64,
    source UInt64,
    marks UInt64,
    quarantined UInt64,
    numbers UInt64,
    all_numbers UInt64,
    called UInt64,
    delay_s Int64
) ENGINE = MergeTree PARTITION BY run ORDER BY source;
