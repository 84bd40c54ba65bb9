-- What a run learned besides the accuracies, and what it suspects.

-- log P(label) within the label's source by marks that are not honest.
CREATE TABLE label_noise (
    run UInt64,
    label UInt64,
    log_probability Float64
) ENGINE = MergeTree PARTITION BY run ORDER BY label;

-- Share of honest marks of each kind (honesty.TRAITS) of a source.
CREATE TABLE honesty (
    run UInt64,
    source UInt64,
    trait UInt16,
    share Float64
) ENGINE = MergeTree PARTITION BY run ORDER BY (source, trait);

-- Share of a source's marks by people that name no call.
CREATE TABLE source_honesty (
    run UInt64,
    source UInt64,
    missing Float64
) ENGINE = MergeTree PARTITION BY run ORDER BY source;

-- How far one source repeats another.
CREATE TABLE copying (
    run UInt64,
    original UInt64,
    copier UInt64,
    share Float64
) ENGINE = MergeTree PARTITION BY run ORDER BY (original, copier);

-- Known reporters: first mark, ring (0 none), honest marks over expected ones.
CREATE TABLE reporters (
    run UInt64,
    reporter UInt64,
    first_ms Int64,
    ring Int64,
    ratio Float64
) ENGINE = MergeTree PARTITION BY run ORDER BY reporter;

-- Marks in quarantine (B20): more likely dishonest than not. They are kept and do not count.
CREATE TABLE suspicions (
    run UInt64,
    number Int64,
    mark_key UInt64,
    honesty Float32
) ENGINE = MergeTree PARTITION BY run ORDER BY number;

ALTER TABLE posteriors ADD COLUMN quarantined_count UInt32;
