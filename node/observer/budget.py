"""What all observers of a validator together may have of its way out. Time is an argument, in seconds."""


class Budget:
    """Bytes that come back with time. An answer is given first and paid for by those who ask after it."""

    def __init__(self, bytes_per_s: int, now_s: float) -> None:
        """Begin with what one second brings."""
        self._bytes_per_s = bytes_per_s
        self._left = float(bytes_per_s)
        self._filled_s = now_s

    def compute_wait_s(self, now_s: float) -> float:
        """Return for how long the next answer must wait."""
        self._fill(now_s)
        return max(0.0, -self._left / self._bytes_per_s)

    def spend(self, size: int, now_s: float) -> None:
        """Count an answer."""
        self._fill(now_s)
        self._left -= size

    def _fill(self, now_s: float) -> None:
        brought = (now_s - self._filled_s) * self._bytes_per_s
        self._left = min(float(self._bytes_per_s), self._left + brought)
        self._filled_s = now_s
