-- Touched numbers read a few rows here and there: a block of 64 KiB a column for each is too much.
-- engine >= 21.0
ALTER TABLE marks MODIFY SETTING min_compress_block_size = 8192;
