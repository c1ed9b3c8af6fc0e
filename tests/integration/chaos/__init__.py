"""Campaigns against real validators: seeded faults of processes, links, disks and clocks under load, then a reckoning.

`python -m tests.integration.chaos --seconds N --seed S` plays one and prints what it saw; `--json` in one line.
"""
