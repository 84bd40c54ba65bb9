-- The log of what was published: a row a number and version in which its value changed.
-- lineage 0 is what consumers see; a pass over the past has a lineage of its own.
CREATE TABLE published (
    lineage UInt64,
    number Int64,
    version UInt64,
    category UInt16,
    probability Float32,
    categories Array(UInt16),
    probabilities Array(Float32),
    risk Float32,
    level UInt8,
    state UInt8,
    rule String,
    effective_sources Float32,
    mark_count UInt32,
    former_mark_count UInt32,
    first_mark_ms Int64,
    last_mark_ms Int64,
    reasons String,
    epoch UInt32,
    update_ms Int64,
    model_version String
) ENGINE = MergeTree ORDER BY (lineage, number, version);

-- Written after the rows of a version: rows of a version without a row here were never published.
CREATE TABLE versions (
    lineage UInt64,
    version UInt64,
    as_of_ms Int64,
    publish_ms Int64,
    number_count UInt64,
    changed_count UInt64,
    change_cursor String,
    run UInt64
) ENGINE = MergeTree ORDER BY version;
