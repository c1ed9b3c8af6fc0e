"""The port to the other validators: what the parts of a node ask of the network, in one process or over sockets."""

from typing import Protocol

from p2p.frames import Channel


class Links(Protocol):
    """Links to the other members. Nothing of it waits, and what cannot be sent now is lost."""

    def broadcast(self, channel: Channel, payload: bytes) -> None:
        """Send to every other member."""
        ...

    def send(self, peer: bytes, channel: Channel, payload: bytes) -> bool:
        """Send to one member; tell whether there is a link to it."""
        ...

    def is_linked(self, peer: bytes) -> bool:
        """Tell whether a link to the member stands."""
        ...

    def gossip(self, payload: bytes) -> None:
        """Pass a transaction on to every other member."""
        ...

    def penalize(self, peer: bytes, points: int, reason: str) -> None:
        """Count something that a correct member does not do."""
        ...
