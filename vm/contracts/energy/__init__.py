"""Metering, the real-time pool and settlement."""
