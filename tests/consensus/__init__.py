"""Rules of the agreement core."""
