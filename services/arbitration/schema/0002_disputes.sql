-- The audit of disputes and of privileged reads: append-only, each row hashed with the one before.
-- kind and role: the wire's DisputeEventKind and ActorRole. dispute_id is "" for other reads.
CREATE TABLE dispute_events (
    seq UInt64,
    dispute_id String,
    number Int64,
    kind UInt8,
    role UInt8,
    actor String,
    occurred_ms Int64,
    reason String,
    text String,
    details String,
    previous_hash String,
    hash String
) ENGINE = MergeTree ORDER BY (dispute_id, seq) SETTINGS index_granularity = 1024;

-- engine >= 21.0
ALTER TABLE dispute_events MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;

-- Where each dispute is, folded from its events, for lists; the row with the greater seq holds.
-- due_ms: when the passing of time moves it next, 0 never.
-- rank_ms sorts the queue: the deadline of a running clock, else beyond all of those, newest first.
CREATE TABLE disputes (
    dispute_id String,
    seq UInt64,
    number Int64,
    state UInt8,
    is_open UInt8,
    outcome UInt8,
    ground UInt8,
    applicant_kind UInt8,
    double_review UInt8,
    contested UInt16,
    decided_category Int32,
    reason UInt8,
    sources Array(String),
    filed_ms Int64,
    clock_ms Int64,
    decided_ms Int64,
    closed_ms Int64,
    deadline_ms Int64,
    due_ms Int64,
    rank_ms Int64,
    contested_from_ms Int64,
    contested_until_ms Int64,
    round UInt8,
    automatic UInt8
) ENGINE = ReplacingMergeTree(seq) ORDER BY dispute_id SETTINGS index_granularity = 1024;

-- What disputes say of sources. what: 1 asked, 2 answered, 3 decided, with marks right and wrong.
CREATE TABLE dispute_sources (
    dispute_id String,
    source String,
    what UInt8,
    seq UInt64,
    occurred_ms Int64,
    right_count UInt32,
    wrong_count UInt32
) ENGINE = ReplacingMergeTree(seq) ORDER BY (source, dispute_id, what);

-- Contents of papers, base64; the event of the paper keeps the digest.
CREATE TABLE evidence_files (
    dispute_id String,
    evidence_id UInt32,
    content String,
    added_ms Int64
) ENGINE = MergeTree ORDER BY (dispute_id, evidence_id) SETTINGS index_granularity = 64;

-- Messages that the operator has to send.
CREATE TABLE outbox (
    number Int64,
    text String,
    written_ms Int64
) ENGINE = MergeTree ORDER BY written_ms;
