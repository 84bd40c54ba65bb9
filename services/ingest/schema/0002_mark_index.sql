-- A mark is asked for by its id alone, and the table is in order of number.
-- engine >= 21.0
ALTER TABLE marks ADD INDEX mark_key_index mark_key TYPE bloom_filter(0.01) GRANULARITY 4;
