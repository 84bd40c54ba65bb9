-- Population stability index of a run's features, and of its scores under the name '', against
-- what its model was learned with.
CREATE TABLE drift (
    run UInt64,
    model_version String,
    feature String,
    stability_index Float64,
    found_ms Int64
) ENGINE = MergeTree ORDER BY (model_version, run);
