-- What consumers reported as applied.
CREATE TABLE receipts (
    consumer String,
    version UInt64,
    filter String,
    received_ms Int64
) ENGINE = MergeTree ORDER BY (consumer, version);
