"""The collector of a node that has started looks seldom, and never at what stood then."""

import gc

from node.garbage import THRESHOLDS, tame_collector


def test_what_stands_is_frozen_and_the_rest_is_seldom_looked_at() -> None:
    thresholds = gc.get_threshold()
    try:
        tame_collector()
        assert gc.get_freeze_count() > 0
        assert gc.get_threshold() == THRESHOLDS
        assert gc.isenabled()
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
