-- Marks, days of calls, events and registrations once more, number by number and each in one piece,
-- as services/common/facts.py has it: touched numbers are read from here, by slot alone.
CREATE TABLE facts_by_number (
    number Int64,
    slot Int64,
    place Int64,
    seq UInt64,
    row Array(Int64)
) ENGINE = MergeTree ORDER BY slot SETTINGS index_granularity = 128;

-- What a power failure takes is completed from the tables themselves: no fsync.
-- engine >= 21.0
ALTER TABLE facts_by_number MODIFY SETTING min_compress_block_size = 8192;

-- Small integers in eight bytes each: LZ4 takes two and a half times as much for them.
-- engine >= 21.0
ALTER TABLE facts_by_number MODIFY COLUMN row Array(Int64) CODEC(ZSTD(1));
