"""Disputes: contesting what is said of a number, from filing to the last appeal."""
