"""Web pages for holders, reviewers, vendors and operators, and HTTP/JSON; it owns no tables."""
