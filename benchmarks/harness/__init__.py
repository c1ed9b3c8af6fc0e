"""What every benchmark of the whole node shares: a network of real processes, the unit of work, the load, the usage."""
