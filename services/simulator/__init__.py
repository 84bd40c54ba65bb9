"""A Chinese city of phone numbers, its marks and its truth, and how far a reputation hits it."""
