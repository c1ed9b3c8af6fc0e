"""Python's search for cyclic garbage, tamed: a node remembers much, makes few cycles, and must not stop to look.

Reference counts free nearly everything here at once. What is left to the collector are tasks and errors that refer to
each other, a few in each second; yet by default it looks through every object that is remembered (100 ms with a full
pool) whenever a quarter of them are new.
"""

import gc

THRESHOLDS = (20_000, 20, 100)
"""Young objects (net of those freed) before a look at the young; young looks before one at the middle-aged; those
before one at all."""


def tame_collector() -> None:
    """Never look again at what stands now, and seldom at the rest; called when everything is set up."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
