"""A community in one command: real validator processes, real readings, one day, everything checked."""
