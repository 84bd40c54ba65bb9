"""What is kept: copies of a whole store, and how long each kind of record stays."""
