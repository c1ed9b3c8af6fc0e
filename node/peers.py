"""Which peers this node talks to: the members it knows of, where config.toml finds them, else where the ledger does."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import structlog

from consensus.certificates import follow_handover
from consensus.membership import Membership
from consensus.messages import Handover
from node.config import PeerConfig
from node.errors import HomeError
from node.home import Constitution
from node.identity import Identity
from p2p.network import Network
from p2p.peers import PeerAddress
from primitives.encoding import DecodeError, decode
from primitives.header import Validator
from vm.contracts.validators import read_endpoint
from vm.state import StateReader

log = structlog.get_logger("gridbft.node")

HANDOVERS_NAME = "handovers.bin"
HANDOVERS_BYTES_MAX = 8 * 1024 * 1024
"""A hundred changes among eighty validators; a network has few."""


class PeerBook:
    """The addresses of members. Members at the time when this home was made may be ahead of its chain: both count."""

    def __init__(
        self, own: str, listed: Sequence[PeerConfig], state: StateReader, newest: Membership | None = None
    ) -> None:
        """Take the own name, what config.toml lists, the ledger, and the newest membership the home was made with.

        Whoever has the own name is no peer, whatever its key: that of before is this node's as well.
        """
        self._own = own
        self._listed = {peer.name: peer for peer in listed}
        self._state = state
        self._newest = newest

    def get_members(self, membership: Membership) -> tuple[Validator, ...]:
        """Return whom to talk to: the members, and those who came later as far as this home knows."""
        members = {each.public_key: each for each in membership.validators}
        if self._newest is not None and self._newest.epoch > membership.epoch:
            members |= {each.public_key: each for each in self._newest.validators}
        return tuple(each for each in members.values() if each.name != self._own)

    def build(self, membership: Membership) -> tuple[PeerAddress, ...]:
        """Return the members' addresses; one that nobody knows is empty, and that member is waited for."""
        return tuple(self._find_address(each) for each in self.get_members(membership))

    def check(self, membership: Membership) -> None:
        """Refuse a home that does not know where its peers are.

        Whoever config.toml lists beyond the members may become one, and is left alone until then. Of members that
        the newest membership known does not have any more nothing is demanded.

        Raises:
            HomeError: the address of a member is neither in config.toml nor in the ledger.

        """
        newest = membership
        if self._newest is not None and self._newest.epoch > membership.epoch:
            newest = self._newest
        unknown = [
            each.name
            for each in newest.validators
            if each.name != self._own and not self._find_address(each).host
        ]
        if unknown:
            raise HomeError(
                f"[[peers]] of config.toml lists no address of {', '.join(unknown)}, and the ledger has none:"
                " add a [[peers]] table with name, host and port for each"
            )

    def _find_address(self, member: Validator) -> PeerAddress:
        listed = self._listed.get(member.name)
        endpoint = read_endpoint(self._state, member.public_key)
        host, port = "", 0
        if listed is not None:
            host, port = listed.host, listed.port
        elif endpoint is not None:
            host, port = endpoint.host, endpoint.port
        return PeerAddress(member.name, member.public_key, member.tls_certificate, host, port)


class PeerKeeper:
    """Follows the memberships with the network's peers, and notices what becomes of this node's own key."""

    def __init__(
        self, book: PeerBook, network: Network, own: Validator, identities: Sequence[Identity]
    ) -> None:
        self.replaced = asyncio.Event()
        """Another key of this home is a member's now: the node must start again with it."""
        self._book = book
        self._network = network
        self._own = own
        self._others = {each.key.public for each in identities} - {own.public_key}
        self._is_member: bool | None = None

    def follow(self, membership: Membership) -> None:
        """Talk to these members from now on."""
        self._network.update_peers(self._book.build(membership))
        is_member = self._own.public_key in membership.replica_set
        if is_member != self._is_member and self._is_member is not None:
            if is_member:
                log.info("membership_gained", validator=self._own.name, epoch=membership.epoch)
            else:
                log.warning("membership_lost", validator=self._own.name, epoch=membership.epoch)
        self._is_member = is_member
        if not is_member and any(key in membership.replica_set for key in self._others):
            self.replaced.set()


def read_newest_membership(home: Path, constitution: Constitution) -> Membership | None:
    """Return the last membership that the handovers beside the genesis lead to; None without such a file.

    Raises:
        HomeError: the file holds no handovers of this network.

    """
    path = home / HANDOVERS_NAME
    try:
        with path.open("rb") as file:
            data = file.read(HANDOVERS_BYTES_MAX + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HomeError(f"{path}: {error.strerror}") from None
    if len(data) > HANDOVERS_BYTES_MAX:
        raise HomeError(
            f"{path} is larger than any handovers; make the home anew with `gridbft network join`"
        )
    try:
        handovers = decode(data, tuple[Handover, ...])
    except DecodeError as error:
        raise HomeError(f"{path} holds no handovers of this version: {error}") from None
    membership = constitution.membership
    for handover in handovers:
        following = follow_handover(membership, constitution.genesis_hash, handover)
        if isinstance(following, str):
            raise HomeError(
                f"{path} proves nothing: {following}; remove it, or make the home anew with `gridbft network join`"
            )
        membership = following
    return membership
