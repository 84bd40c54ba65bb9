-- Replicas ask for the rows since a version, and the table is in order of number.
-- engine >= 21.0
ALTER TABLE published ADD INDEX version_index version TYPE minmax GRANULARITY 1;
