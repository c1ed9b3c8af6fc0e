"""The whole cluster in one process, under one seed, on virtual time: real replicas, ledger, journal, store and pool.

``World`` is the door: validators, clients and faults that a test drives by hand. ``campaign`` draws all of it from a
seed; ``run`` plays many seeds from the command line. The checkers stand outside of the replicas: they see what leaves a
machine, what its disk holds, and what it executed, and nothing else.
"""
