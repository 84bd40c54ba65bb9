-- Where notices go. party: 1 a source, 2 the applicant of a dispute, 3 a registered holder; name:
-- the source, the dispute's id or the holder. The row with the greatest changed_ms holds.
CREATE TABLE notice_targets (
    target_id String,
    party UInt8,
    name String,
    number Int64,
    url String,
    created_by String,
    created_ms Int64,
    removed UInt8,
    changed_ms Int64
) ENGINE = ReplacingMergeTree(changed_ms) ORDER BY (number, target_id);

-- The outbox of notices. place: of what is told in its log. notice_id follows from the target and from what is told, so that telling
-- the same again adds nothing.
CREATE TABLE notices (
    notice_id String,
    target_id String,
    kind String,
    body String,
    place UInt64,
    created_ms Int64
) ENGINE = ReplacingMergeTree(created_ms) ORDER BY (target_id, notice_id);

-- engine >= 21.0
ALTER TABLE notices MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;

-- state: 1 waiting, 2 delivered, 3 dead. tries counts since it was last begun anew.
CREATE TABLE notice_attempts (
    notice_id String,
    target_id String,
    attempt UInt32,
    tries UInt32,
    state UInt8,
    status UInt16,
    cause String,
    attempted_ms Int64,
    due_ms Int64
) ENGINE = MergeTree ORDER BY (notice_id, attempt);

-- How far each log has been turned into notices; written after them.
CREATE TABLE notice_cursors (
    log String,
    place UInt64,
    moved_ms Int64
) ENGINE = ReplacingMergeTree(place) ORDER BY log;
