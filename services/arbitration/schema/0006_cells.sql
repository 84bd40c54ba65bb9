-- Marks of a run collapsed to weights by number and cell (label and level of honesty), while its
-- matrices are learned in the store; decided: place of the category decided upon, -1 none.
CREATE TABLE cells (
    run UInt64,
    number Int64,
    cell UInt32,
    weight Float32,
    decided Int16
) ENGINE = MergeTree PARTITION BY run ORDER BY number;
