"""A community in one process: the same contracts, no network."""
