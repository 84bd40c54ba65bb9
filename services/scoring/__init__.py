"""Gives calibrated risk from features, with LightGBM models it keeps and learns."""
