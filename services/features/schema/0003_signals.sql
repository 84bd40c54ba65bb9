-- Signals of a run: rules that fired in the window. last_day: days since 1970, China. victim: the
-- number's own calls were authenticated, those that fired were not.
CREATE TABLE signals (
    run UInt64,
    number Int64,
    code String,
    version UInt32,
    days UInt32,
    last_day Int32,
    victim UInt8
) ENGINE = MergeTree PARTITION BY run ORDER BY number;
