"""Bugs that we put in ourselves, one at a time, while the code runs: the simulator must catch every one.

``python -m tests.simulation.mutants [--json] [--only NAME] [--jobs J]``. A mutant that nobody catches shows a hole in
the checkers, in the liars or in the seeds; the canary, a change that changes nothing, must be reported as clean.
"""
