"""Whether this process still works: the event loop turns, which whoever asks on it shows, and the disk writes."""

from node.stopwatch import Stopwatch

SYNC_STUCK_S = 30.0
"""A synced write takes milliseconds, on a dying card some seconds. Beyond this a restart is the better chance."""

BLOCK_STUCK_S = 120.0
"""A full block takes a second on a Pi, and may wait for the store to make room: minutes are no honest work."""


def find_dead_reason(sync_time: Stopwatch, block_time: Stopwatch) -> str | None:
    """Return why the process should be ended and started again, or None."""
    sync_s, block_s = sync_time.get_running_s(), block_time.get_running_s()
    if sync_s > SYNC_STUCK_S:
        return f"a write of the journal has not ended for {sync_s:.0f} s: look at the disk"
    if block_s > BLOCK_STUCK_S:
        return f"a block has not been stored for {block_s:.0f} s: look at the disk"
    return None
