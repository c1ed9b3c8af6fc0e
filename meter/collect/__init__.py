"""Collecting: what a meter shows at any time becomes one signed reading for each slot, on disk before it is sent."""
