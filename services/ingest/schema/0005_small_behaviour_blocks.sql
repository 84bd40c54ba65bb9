-- As for marks: a touched number reads thirty rows of twenty columns.
-- engine >= 21.0
ALTER TABLE behaviour MODIFY SETTING min_compress_block_size = 8192;
