"""Referring numbers to the authorities in charge."""
