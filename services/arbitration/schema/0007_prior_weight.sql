-- How far a run believes what behaviour says before any mark counts, in [0, 1].
CREATE TABLE prior_weight (
    run UInt64,
    weight Float64
) ENGINE = MergeTree PARTITION BY run ORDER BY run;
