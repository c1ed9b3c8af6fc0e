"""Measurements of gridbft: one file per question, results as data."""
