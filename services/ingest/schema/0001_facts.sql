-- Sources by key; the key is a digest of the name, so writers need not agree on one.
CREATE TABLE sources (
    source UInt64,
    name String,
    first_seen_ms Int64
) ENGINE = ReplacingMergeTree(first_seen_ms) ORDER BY source;

-- The sources' own words by key, never translated here: a mapping confirmed later also holds
-- for what came before.
CREATE TABLE labels (
    label UInt64,
    source UInt64,
    text String,
    first_seen_ms Int64
) ENGINE = ReplacingMergeTree(first_seen_ms) ORDER BY label;

-- One row a mark; a withdrawal is a row of its own with the same mark_key. seq ascends by row.
CREATE TABLE marks (
    number Int64,
    occurred_ms Int64,
    source UInt64,
    label UInt64,
    reporter UInt64,
    origin UInt32,
    kind UInt8,
    withdrawn UInt8,
    call_ms Int64,
    mark_key UInt64,
    mark_check UInt64,
    seq UInt64,
    received_ms Int64
) ENGINE = MergeTree ORDER BY (number, occurred_ms) SETTINGS index_granularity = 512;

-- engine >= 21.0
ALTER TABLE marks MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;

-- Which marks are there, by digest of (source, mark_id, withdrawn): 64 bits to find, 64 to be sure.
CREATE TABLE mark_ids (
    mark_key UInt64,
    mark_check UInt64
) ENGINE = MergeTree ORDER BY mark_key SETTINGS index_granularity = 1024;

-- The commit record, written last: a row whose seq is not below here is not committed.
CREATE TABLE changes (
    seq UInt64,
    number Int64,
    committed_ms Int64
) ENGINE = MergeTree ORDER BY seq;

-- engine >= 21.0
ALTER TABLE changes MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;

-- One row a carrier, number and day; the row with the greater seq holds. day: days since 1970.
CREATE TABLE behaviour (
    number Int64,
    day Int32,
    carrier String,
    calls_out Int64,
    answered_out Int64,
    distinct_callees Int64,
    ring_only_out Int64,
    short_calls_out Int64,
    talk_s Int64,
    calls_in Int64,
    callbacks_in Int64,
    night_calls_out Int64,
    max_calls_per_callee Int64,
    max_calls_per_minute Int64,
    max_callers_share_callee Int64,
    distinct_areas Int64,
    sequential_ratio Float64,
    imei_count Int64,
    cell_count Int64,
    intl_ingress_calls Int64,
    auth_failed_calls Int64,
    after_refusal_calls Int64,
    seq UInt64
) ENGINE = ReplacingMergeTree(seq) ORDER BY (number, day, carrier) SETTINGS index_granularity = 512;

-- kind: the wire's LifecycleKind.
CREATE TABLE lifecycle (
    number Int64,
    occurred_ms Int64,
    kind UInt8,
    carrier String,
    seq UInt64
) ENGINE = ReplacingMergeTree(seq) ORDER BY (number, occurred_ms, kind);

-- number is 0 where a prefix is registered. outbound_allowed: 0 no, 1 yes, 2 not stated.
CREATE TABLE registry (
    number Int64,
    prefix String,
    holder String,
    identity String,
    purpose String,
    outbound_allowed UInt8,
    valid_from_ms Int64,
    valid_until_ms Int64,
    seq UInt64
) ENGINE = ReplacingMergeTree(seq) ORDER BY (number, prefix, valid_from_ms);

CREATE TABLE refusals (
    number Int64,
    occurred_ms Int64,
    callee UInt64,
    industry UInt16,
    seq UInt64
) ENGINE = ReplacingMergeTree(seq) ORDER BY (number, occurred_ms, callee);
