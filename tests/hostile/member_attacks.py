"""What a member does whose key is in wrong hands: real links, and on them everything that no correct member sends.

Each attack says the same again and again over every link that it has. Some of it is forged and must get the liar
banned; some of it is valid and must be too much for nobody but itself.
"""

import asyncio
import secrets
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import aiohttp

from cli.node_keys import NODE_KEY_PATH, open_node_key
from consensus.authentication import sign_envelope
from consensus.codec import decode_envelope, encode_envelope
from consensus.messages import Envelope, Message, Prepare, PrePrepare, Proposal, Status
from node.config import load_config
from node.exchange import RequestKind, encode_height
from node.home import load_constitution
from p2p.frames import MESSAGE_BYTES_MAX, Channel, encode_frame
from p2p.network import Network, NetworkSettings
from p2p.peers import PeerAddress
from p2p.transfer import RequestFailed
from primitives.batch import BatchHeader
from primitives.ids import Digest, Height, ReplicaId
from primitives.signing import SecretKey
from tests.hostile.http_attacks import forge_transactions

HEARD_KEPT = 200
FLOOD_FRAMES = 100
"""In one websocket message: a flood does not waste its own time on headers."""


class Ear:
    """Keeps what others said, to say it again."""

    def __init__(self) -> None:
        self.heard: deque[bytes] = deque(maxlen=HEARD_KEPT)

    def on_message(self, peer: bytes, channel: Channel, payload: bytes) -> None:
        if channel is Channel.CONSENSUS:
            self.heard.append(payload)

    async def on_request(self, peer: bytes, kind: int, payload: bytes) -> bytes:
        return secrets.token_bytes(100)

    def on_peer_change(self, peer: bytes, *, connected: bool) -> None:
        pass


class Liar:
    """A member's identity, taken from its home, and its links."""

    def __init__(self, home: Path, passphrase: bytes) -> None:
        config = load_config(home, {})
        identity = open_node_key(home / NODE_KEY_PATH, passphrase)
        constitution = load_constitution(home)
        validators = {validator.name: validator for validator in constitution.genesis.validators}
        own = validators[config.name]
        self.key: SecretKey = identity.key
        self.genesis_hash = constitution.genesis_hash
        self.time_ms = constitution.genesis.time_ms
        self.members = constitution.membership.replicas
        self.ear = Ear()
        self.counts: Counter[str] = Counter()
        self.network: Network | None = None
        self.settings = NetworkSettings(
            chain=constitution.genesis.name,
            genesis_hash=constitution.genesis_hash,
            own=PeerAddress(own.name, own.public_key, own.tls_certificate, config.p2p.host, config.p2p.port),
            signing_key=identity.key,
            tls_key_pem=identity.tls_key_pem,
            listen_host=config.p2p.host,
            listen_port=config.p2p.port,
            peers=tuple(
                PeerAddress(
                    peer.name,
                    validators[peer.name].public_key,
                    validators[peer.name].tls_certificate,
                    peer.host,
                    peer.port,
                )
                for peer in config.peers
            ),
        )

    @property
    def others(self) -> list[ReplicaId]:
        return [replica for replica in self.members if replica != self.key.public]

    def sign(self, message: Message) -> Envelope:
        return sign_envelope(self.key, self.genesis_hash, message)

    async def write(self, message: bytes) -> None:
        """Send a websocket message as it is over every link, past all queues and checks of this side."""
        assert self.network is not None
        for link in list(self.network._links.values()):
            with suppress(OSError, aiohttp.ClientError, RuntimeError):
                await link._socket.send_bytes(message)
                self.counts["messages"] += 1

    async def say(self, *payloads: bytes, channel: Channel = Channel.CONSENSUS) -> None:
        await self.write(b"".join(encode_frame(channel, payload) for payload in payloads))


Lie = Callable[[Liar], Awaitable[None]]


async def frame_nonsense(liar: Liar) -> None:
    await liar.write(b"\x09" + secrets.token_bytes(50))


async def frame_too_much(liar: Liar) -> None:
    """A length that no message holds, and a message that is larger than any."""
    await liar.write(b"\x01\xff\xff\xff\xff")
    await liar.write(bytes(MESSAGE_BYTES_MAX + 1))


async def send_bombs(liar: Liar) -> None:
    await liar.say(b"\x91" * 100_000, b"\xdd\xff\xff\xff\xff", b"\x93" + b"\xc6\xff\xff\xff\xff" * 3)


async def forge_messages(liar: Liar) -> None:
    """Speak in another member's name, and in the own one with another signature."""
    status = Status(0, 0, 10, 10)
    for sender in liar.members:
        await liar.say(encode_envelope(Envelope(sender, secrets.token_bytes(64), status)))


async def speak_of_another_chain(liar: Liar) -> None:
    other = Digest(bytes(32))
    await liar.say(encode_envelope(sign_envelope(liar.key, other, Status(0, 0, 10, 10))))


async def gossip_forged_transactions(liar: Liar) -> None:
    await liar.say(*forge_transactions(liar.genesis_hash, FLOOD_FRAMES), channel=Channel.TRANSACTIONS)


async def contradict(liar: Liar) -> None:
    """Vote twice for positions that are just coming."""
    votes = [decode_envelope(raw).message for raw in liar.ear.heard]
    newest = max(
        (vote for vote in votes if isinstance(vote, Prepare)), key=lambda vote: vote.sequence, default=None
    )
    if newest is None:
        return
    for sequence in range(newest.sequence + 2, newest.sequence + 10):
        for mark in (b"\x01", b"\x02"):
            prepare = Prepare(newest.epoch, newest.view, sequence, mark * 32)
            await liar.say(encode_envelope(liar.sign(prepare)))


async def propose_twice(liar: Liar) -> None:
    """As primary of the first view: two batches for each of the first sequences."""
    for sequence in (1, 2):
        for time_ms in (liar.time_ms + 1, liar.time_ms + 2):
            batch = BatchHeader(liar.key.public, time_ms, ())
            proposal = Proposal(0, 0, sequence, batch.compute_digest())
            await liar.say(encode_envelope(liar.sign(PrePrepare(proposal, batch))))


async def repeat_others(liar: Liar) -> None:
    """Say again what others said."""
    heard = list(liar.ear.heard)
    if heard:
        await liar.say(*(secrets.choice(heard) for _ in range(FLOOD_FRAMES)))


async def repeat_itself(liar: Liar) -> None:
    """Valid, correctly signed, and of no use to anybody."""
    status = encode_envelope(liar.sign(Status(0, 0, 0, 0)))
    await liar.say(*[status] * FLOOD_FRAMES)


async def ask_without_end(liar: Liar) -> None:
    assert liar.network is not None

    async def ask(peer: bytes) -> None:
        assert liar.network is not None
        with suppress(RequestFailed):
            await liar.network.request(peer, RequestKind.BLOCKS, encode_height(Height(1)), 5.0)
            liar.counts["answers"] += 1

    await asyncio.gather(*(ask(peer) for peer in liar.others for _ in range(16)))


PUNISHED: dict[str, Lie] = {
    "frame_nonsense": frame_nonsense,
    "frame_too_much": frame_too_much,
    "send_bombs": send_bombs,
    "forge_messages": forge_messages,
    "speak_of_another_chain": speak_of_another_chain,
    "gossip_forged_transactions": gossip_forged_transactions,
    "contradict": contradict,
    "propose_twice": propose_twice,
}
"""What proves that its sender is no correct member."""

TIRING: dict[str, Lie] = {
    "repeat_others": repeat_others,
    "repeat_itself": repeat_itself,
    "ask_without_end": ask_without_end,
}
"""What a correct member may say once."""

LIES: dict[str, Lie] = PUNISHED | TIRING
