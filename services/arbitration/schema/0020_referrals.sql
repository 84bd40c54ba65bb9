-- Numbers referred to the authority in charge, as they were published then.
CREATE TABLE referrals (
    referral_id String,
    request_id String,
    number Int64,
    epoch UInt32,
    category UInt16,
    authority String,
    level UInt8,
    adjudicated UInt8,
    probability Float32,
    effective_sources Float32,
    mark_count UInt32,
    first_mark_ms Int64,
    last_mark_ms Int64,
    version UInt64,
    drawn_ms Int64
) ENGINE = ReplacingMergeTree(drawn_ms) ORDER BY (number, epoch, category);

-- Written after the rows of a draw: without a row here it is not finished.
CREATE TABLE referral_draws (
    request_id String,
    drawn_by String,
    drawn_ms Int64
) ENGINE = MergeTree ORDER BY request_id;

-- What authorities answered; disposition: the wire's. The row with the greatest recorded_ms holds.
CREATE TABLE referral_feedback (
    referral_id String,
    number Int64,
    disposition UInt8,
    disposed_ms Int64,
    text String,
    recorded_by String,
    recorded_ms Int64
) ENGINE = MergeTree ORDER BY (referral_id, recorded_ms);
