"""Snapshots: cut, served, checked, installed."""
