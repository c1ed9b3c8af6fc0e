"""Who is a member now, who was one before, and what is remembered of each. Time is an argument, in seconds."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from p2p.peers import PeerAddress, PeerRecord

FORMER_MAX = 16
"""Former members that are told by name that they are none any more; to TLS an older one is a stranger again."""


@dataclass(frozen=True, slots=True)
class MemberChanges:
    """What became of the members: new keys, and keys that are none any more."""

    added: tuple[PeerAddress, ...]
    dismissed: tuple[PeerAddress, ...]


class Members:
    """The other members of one node, by key. A member with a new key is another one, whatever its name."""

    def __init__(self, own: bytes, ban_s: float) -> None:
        self.known: dict[bytes, PeerAddress] = {}
        self.records: dict[bytes, PeerRecord] = {}
        self._own = own
        self._ban_s = ban_s
        self._former: OrderedDict[bytes, PeerAddress] = OrderedDict()

    def update(self, peers: Iterable[PeerAddress], now_s: float) -> MemberChanges:
        """Take over the members, the own key left out; who stays keeps its record, whoever returns begins anew."""
        wanted = {peer.key: peer for peer in peers if peer.key != self._own}
        dismissed = tuple(peer for key, peer in self.known.items() if key not in wanted)
        added = tuple(peer for key, peer in wanted.items() if key not in self.known)
        for peer in dismissed:
            self._former[peer.key] = peer
        for key in wanted:
            self._former.pop(key, None)
        while len(self._former) > FORMER_MAX:
            self._former.popitem(last=False)
        records = {}
        for key, peer in wanted.items():
            records[key] = self.records.get(key) or PeerRecord(peer, now_s, self._ban_s)
            records[key].address = peer
        self.records = records
        self.known.clear()
        self.known.update(wanted)
        return MemberChanges(added, dismissed)

    def get_certificates(self) -> list[bytes]:
        """Return the certificates that TLS lets in: the members', and those of whom a refusal is to name."""
        return [peer.tls_certificate for peer in (*self.known.values(), *self._former.values())]

    def find_member(self, certificate: bytes) -> bytes | None:
        """Return the key of the member with this certificate, or None."""
        return next((key for key, peer in self.known.items() if peer.tls_certificate == certificate), None)

    def find_former(self, certificate: bytes) -> PeerAddress | None:
        """Return the former member with this certificate, unless it is a member's now."""
        if self.find_member(certificate) is not None:
            return None
        return next((peer for peer in self._former.values() if peer.tls_certificate == certificate), None)
