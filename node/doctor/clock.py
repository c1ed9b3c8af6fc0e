"""The clock: whether it was ever set, whether it jumps, and how far it is from the other validators'."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median_low

from node.doctor.findings import Finding, Level

YEAR_MIN = 2024
"""A clock that shows an earlier year was never set: this program is younger."""

JUMP_MS = 250
"""Wall clock against monotonic clock while the checks run: a clock that is slewed stays far below."""

SET_CLOCK = "set it and keep it set: `timedatectl set-ntp true`, or a clock module with a battery"


@dataclass(frozen=True, slots=True)
class Moment:
    """Both clocks at one moment."""

    wall_ms: int
    monotonic_ms: int


def check_year(now: Moment) -> Finding:
    """Check that the clock was ever set: a Raspberry Pi has none while it is off."""
    shown = datetime.fromtimestamp(now.wall_ms / 1000, UTC)
    measures = {"wall_ms": now.wall_ms}
    if shown.year < YEAR_MIN:
        return Finding(
            "clock",
            Level.PROBLEM,
            f"the clock shows {shown:%Y-%m-%d}: it was never set since the machine started",
            SET_CLOCK,
            measures,
        )
    return Finding("clock", Level.OK, f"the clock shows {shown:%Y-%m-%d %H:%M:%S} UTC", "", measures)


def check_jump(first: Moment, last: Moment) -> Finding:
    """Check that the wall clock went as far as the monotonic one between two moments."""
    jump_ms = (last.wall_ms - first.wall_ms) - (last.monotonic_ms - first.monotonic_ms)
    measures = {"jump_ms": jump_ms, "watched_ms": last.monotonic_ms - first.monotonic_ms}
    if abs(jump_ms) > JUMP_MS:
        return Finding(
            "clock_jump",
            Level.WARNING,
            f"the clock jumped by {jump_ms} ms while these checks ran",
            "let one program alone set it: look at `timedatectl timesync-status`, `chronyc tracking`",
            measures,
        )
    return Finding("clock_jump", Level.OK, "the clock did not jump while these checks ran", "", measures)


def check_offset(offsets_ms: Mapping[str, int], drift_ms: int) -> Finding:
    """Check the distance to the others' clocks, of which the one in the middle counts."""
    if not offsets_ms:
        return Finding("clock_offset", Level.OK, "no other validator was asked for its clock")
    middle_ms = median_low(offsets_ms.values())
    measures = {"offset_ms": middle_ms, "drift_ms": drift_ms, "by_validator": dict(offsets_ms)}
    said = f"the clock is {abs(middle_ms)} ms {'ahead of' if middle_ms >= 0 else 'behind'} the others'"
    if abs(middle_ms) > drift_ms:
        return Finding(
            "clock_offset",
            Level.PROBLEM,
            f"{said}, beyond the {drift_ms} ms that the network allows: its batches, or theirs, are held back",
            SET_CLOCK,
            measures,
        )
    if abs(middle_ms) * 2 > drift_ms:
        return Finding(
            "clock_offset", Level.WARNING, f"{said}; {drift_ms} ms are allowed", SET_CLOCK, measures
        )
    return Finding("clock_offset", Level.OK, said, "", measures)


def check_block_time(times_ms: Sequence[int], now: Moment, drift_ms: int) -> Finding:
    """Check that no block is dated beyond the own clock: block time never runs back."""
    if not times_ms:
        return Finding("block_time", Level.OK, "no block's time is known here")
    ahead_ms = max(times_ms) - now.wall_ms
    measures = {"ahead_ms": ahead_ms}
    if ahead_ms > drift_ms:
        return Finding(
            "block_time",
            Level.PROBLEM,
            f"the newest block is dated {ahead_ms / 1000:.1f} s after this clock",
            f"{SET_CLOCK}; if this clock is right, the others' were wrong when they made that block",
            measures,
        )
    return Finding("block_time", Level.OK, "the newest block is not dated after this clock", "", measures)
