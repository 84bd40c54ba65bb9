"""Call records become a carrier's daily aggregates, at the carrier's: docs/cdr.md."""
