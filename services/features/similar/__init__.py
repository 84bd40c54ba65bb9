"""Numbers that behave alike: an index to search, and campaigns. docs/similar.md."""
