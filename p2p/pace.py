"""How much of the event loop one peer may use. Time is an argument, in seconds.

Valid messages cost their receiver a signature check each and their sender nothing once they are made, so that a member
which repeats them without end is no liar and still in everybody's way. What its frames cost is measured, and a peer
that used up its share is read again when time has brought it back; meanwhile its own link fills.
"""

SHARE = 0.25
"""Of one core, for reading: the votes of one of 80 peers take a hundredth of it."""

ANSWERS_SHARE = 0.1
"""For answering questions, of which one takes up to 20 ms: blocks are given faster than anybody executes them."""

ANSWER_COST_S = 0.002
"""What the smallest answer counts for: fifty a second in the long run, with 64 blocks each."""

BURST_S = 0.5
"""What may be used at once after a pause: all that a healed link brings, and the first pages of a catch-up."""

ANSWERS_BURST_S = 0.1
"""The same of answers, of which no vote waits for one: fifty, with 3,200 blocks, as fast as anybody takes them in."""

BREATH_S = 0.002
"""After so much work for one peer the loop hears the others, whatever is left of the share."""

FRAMES_PER_LOOK = 16
"""Frames taken between two looks at the clock: a millisecond of votes."""


class Pace:
    """What one peer has left of its share."""

    def __init__(self, now_s: float, share: float, burst_s: float = BURST_S) -> None:
        self._share = share
        self._burst_s = burst_s
        self._left_s = burst_s
        self._filled_s = now_s

    def spend(self, used_s: float, now_s: float) -> float:
        """Count what was used; return for how long the peer must wait."""
        self._left_s = min(self._burst_s, self._left_s + (now_s - self._filled_s) * self._share) - used_s
        self._filled_s = now_s
        return max(0.0, -self._left_s / self._share)
