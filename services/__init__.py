"""Zhengming: one authoritative reputation per phone number."""
