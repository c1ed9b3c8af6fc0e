"""Which validators an observer follows: those whom its config.toml lists, with the keys that the chain gives them."""

from collections.abc import Sequence

import structlog

from consensus.membership import Membership
from node.config import PeerConfig
from node.errors import HomeError
from p2p.network import Network
from p2p.peers import PeerAddress

log = structlog.get_logger("gridbft.observer")


class SourceBook:
    """The addresses of validators that serve observers. ``newest`` are the members when this home was made."""

    def __init__(self, listed: Sequence[PeerConfig], newest: Membership | None) -> None:
        self._listed = tuple(listed)
        self._newest = newest

    def find_newest(self, membership: Membership) -> Membership:
        """Return the later of these members and those whom the home was made with."""
        newest = self._newest
        return membership if newest is None or newest.epoch <= membership.epoch else newest

    def build(self, membership: Membership) -> tuple[PeerAddress, ...]:
        """Return who is listed and validates, as far as this home knows; by name, because keys change."""
        members = {each.name: each for each in self.find_newest(membership).validators}
        return tuple(
            PeerAddress(
                peer.name,
                members[peer.name].public_key,
                members[peer.name].tls_certificate,
                peer.host,
                peer.port,
            )
            for peer in self._listed
            if peer.name in members
        )

    def check(self, membership: Membership, own_key: bytes) -> None:
        """Refuse a home that could follow nobody, or whose key has a vote.

        Raises:
            HomeError: none of those listed validates, or the key of this home does.

        """
        newest = self.find_newest(membership)
        names = ", ".join(each.name for each in newest.validators)
        if not self.build(membership):
            raise HomeError(f"[[peers]] of config.toml lists no validator; they are {names}")
        if any(own_key in each.replica_set for each in (membership, newest)):
            raise HomeError(
                "keys/node.key is a validator's, and an observer has no vote: start it without --role observer, or make"
                " a home with `gridbft network join --role observer`"
            )


class SourceKeeper:
    """Follows the memberships with the network's peers."""

    def __init__(self, book: SourceBook, network: Network) -> None:
        self._book = book
        self._network = network

    def follow(self, membership: Membership) -> frozenset[bytes]:
        """Follow these members from now on, as far as they are listed; return their keys."""
        peers = self._book.build(membership)
        self._network.update_peers(peers)
        if not peers:
            names = [each.name for each in membership.validators]
            log.warning("no_source_listed", validators=names)
        return frozenset(peer.key for peer in peers)
