"""Defaults of simulations that the command line shows without loading a solver."""

FEED_IN_DEFAULT = 50_000
RETAIL_DEFAULT = 220_000
ITERATIONS_DEFAULT = 300
