"""Notices to vendors, applicants and registered holders."""
