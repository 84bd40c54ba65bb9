-- Members of the campaigns of a run. days: bit i is set if the number called i + 1 days before the
-- day of the run in China. category: the one of the illegal,
-- malicious or marketing class that its marks name most often, 0 without; hostile: how many do.
CREATE TABLE campaigns (
    run UInt64,
    campaign UInt32,
    number Int64,
    hostile UInt32,
    days UInt32,
    category UInt16
) ENGINE = MergeTree PARTITION BY run ORDER BY (campaign, number);
