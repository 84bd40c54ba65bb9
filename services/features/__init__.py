"""Turns what was known of a number at a time into a row of numbers."""
