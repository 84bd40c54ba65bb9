"""The accuracy ledger: a random sample of published labels each week, reviewed by people."""
