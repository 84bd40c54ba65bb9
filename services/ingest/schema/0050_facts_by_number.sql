-- Marks, days of calls, events and registrations once more, number by number and each in one piece,
-- as services/common/facts.py has it: touched numbers are read from here, by slot alone.
CREATE TABLE facts_by_number (
    number Int64,
    slot Int64,
    place Int64,
    seq UInt64,
    row Array(Int64)
) ENGINE = MergeTree ORDER BY slot SETTINGS index_granularity = 512;

-- engine >= 21.0
ALTER TABLE facts_by_number MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1,
    min_compress_block_size = 8192;
