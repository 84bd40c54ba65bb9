"""Composes, publishes and answers the reputation of numbers."""
