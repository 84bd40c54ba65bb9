-- Half-lives in force in a run, and the pairs of marks they were learned from.
CREATE TABLE half_lives (
    run UInt64,
    category UInt16,
    days Float64,
    standard_days Float64,
    pairs UInt64
) ENGINE = MergeTree PARTITION BY run ORDER BY category;
