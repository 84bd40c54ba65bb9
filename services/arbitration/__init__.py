"""Finds whose mark is right, and how sure."""
