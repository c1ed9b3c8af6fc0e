"""Why a node stops or does not start: one line that says what to do, and the exit code of ``gridbft start``."""


class NodeError(Exception):
    """The node cannot go on; the message is for the operator."""

    exit_code = 1


class HomeError(NodeError):
    """The home directory is incomplete, of another network, or used by another process."""


class PortBusyError(NodeError):
    """A port that the node listens on is taken."""


class DivergedError(NodeError):
    """This node computed another block than a certified quorum: it stopped voting and must be looked at."""

    exit_code = 4


class KeyInUseError(NodeError):
    """Somebody else signs with this validator's key: two nodes with one key could contradict each other."""

    exit_code = 4


class DiskError(NodeError):
    """The disk failed or is full: nothing was acknowledged that is not durable."""
