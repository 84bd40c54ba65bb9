-- What reviewers confirmed of labels; a later row of a scheme and label holds.
-- meanings: "3107:0.7:exact;3102:0.3:narrower", the home first. behaviours: "B07;B09".
CREATE TABLE mappings (
    scheme String,
    label String,
    meanings String,
    behaviours String,
    reviewer String,
    note String,
    confirmed_ms Int64
) ENGINE = MergeTree ORDER BY confirmed_ms;
