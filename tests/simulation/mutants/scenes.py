"""Short scenes for bugs that random seeds meet too seldom: each says what must be seen, and returns what was not."""

from collections.abc import Callable
from copy import deepcopy
from random import Random

from msgspec import structs

from consensus.authentication import check_envelope, sign_envelope
from consensus.certificates import check_certificate
from consensus.effects import Broadcast, Deliver, Effect, Send
from consensus.events import BlocksFetched, Event
from consensus.messages import (
    Certificate,
    Checkpoint,
    Commit,
    Complaint,
    Envelope,
    Message,
    Prepare,
    PreparedCertificate,
    Proposal,
    Signature,
    SignedViewChange,
    ViewChange,
)
from consensus.new_view import compute_proposals
from primitives.hashing import HashDomain, compute_hash
from primitives.ids import Height, View
from primitives.signing import SignatureDomain, is_public_key_sound, is_signature_valid
from tests.simulation.bounds import find_excess
from tests.simulation.byzantine import Flooding, ForgedVotes, HugeNumbers
from tests.simulation.community import build_constitution, get_member_key, get_validator_key
from tests.simulation.disk import JOURNAL
from tests.simulation.network import Frame, Kind
from tests.simulation.world import World
from vm.admission import QUOTA_PER_SLOT, check_account, get_quota_slot
from vm.contract import LedgerContext
from vm.contracts.permissions import Account
from vm.receipt import Rejection

Scene = Callable[[int], str | None]

SMALL_ORDER_KEY = bytes([1]) + bytes(31)
"""The neutral element: every signature rule that does not look for it accepts forged signatures under it."""


def play_long_chain(seed: int) -> str | None:
    """More blocks than the window holds sequences."""
    world = World(4, seed)
    for _ in range(80):
        sealed = world.community.grant(0)
        world.submit(sealed)
        world.run_until(lambda sealed=sealed: world.is_committed(sealed), 3_000)  # type: ignore[misc]  # bound now
    world.check()
    return None


def play_outage(seed: int) -> str | None:
    """Without a quorum for long, time-outs double up to their cap, and start anew after progress."""
    world = World(4, seed)
    for _ in range(2):
        world.network.cut_between({0, 1}, {2, 3})
        sealed = world.community.grant(seed % 4)
        world.submit(sealed)
        world.run(30_000)
        world.network.heal()
        world.run_until(lambda sealed=sealed: world.is_committed(sealed), 20_000)  # type: ignore[misc]  # bound now
        for _ in range(3):
            world.kill(max(machine.state.view for machine in world.machines if machine.is_alive) % 4)
            after = world.community.grant(seed % 4)
            world.submit(after)
            world.run_until(lambda after=after: world.is_committed(after), 20_000)  # type: ignore[misc]  # bound now
            for machine in world.machines:
                if not machine.is_alive:
                    world.restart(machine.index)
            world.run(2_000)
    return None


def play_absent_primaries(seed: int) -> str | None:
    """With one primary after the other missing, the time-out doubles up to its cap and no further."""
    world = World(13, seed)
    world.run(100)
    for index in range(4):
        world.kill(index)
    sealed = world.community.grant(0)
    world.submit(sealed)
    world.run_until(lambda: world.is_committed(sealed), 30_000)
    return None


def play_flood(seed: int) -> str | None:
    """What one replica says of later views is kept up to a bound."""
    world = World(4, seed)
    world.set_behaviour(3, Flooding(seed))
    for _ in range(15):
        world.run(1_000)
        for machine in world.get_correct():
            excess = find_excess(machine.get_process())
            if excess is not None:
                return excess
    return None


def play_flipped_twice(seed: int) -> str | None:
    """A copy that was damaged is healed at the next start, so that damage to its twin is harmless later."""
    world = World(4, seed)
    world.submit(world.community.grant(0))
    world.run(300)
    machine = world.machines[1]
    files = machine.disk.files
    world.stop(1)
    data = files.get(JOURNAL) or b""
    place = data.find(machine.key.public)
    vote = data[place + 40 : place + 90]  # of its signature, which stands again in the twin
    files.flip(JOURNAL, place + Random(seed).randrange(32), seed % 8)
    assert world.restart(1)
    world.run(300)
    world.stop(1)
    data = files.get(JOURNAL) or b""
    twin = data.find(vote, data.find(vote) + 1)
    files.flip(JOURNAL, twin + 1, seed % 8)
    return None if world.restart(1) else f"a healed copy was not there: {machine.refused_start}"


def play_two_prepared(seed: int) -> str | None:
    """Of two digests prepared at one sequence, the one of the later view is re-proposed."""
    del seed
    membership = build_constitution(4).membership
    changes = []
    for view, replica in enumerate(membership.replicas[:3]):
        prepared = PreparedCertificate(Proposal(0, view, 1, bytes([view + 1]) * 32), b"", ())
        changes.append(SignedViewChange(replica, b"", ViewChange(0, 3, None, (prepared,))))
    (proposal,) = compute_proposals(membership, View(3), tuple(changes))
    return None if proposal.digest == bytes([3]) * 32 else "an older prepared digest is re-proposed"


def play_one_signer(seed: int) -> str | None:
    """A certificate that one replica signed for all is none, wherever it comes from."""
    world = World(4, seed)
    constitution, machine = world.constitution, world.machines[seed % 4]
    header = structs.replace(machine.state.executed, height=5)
    signed = sign_envelope(machine.key, constitution.genesis_hash, Checkpoint(header)).signature
    forged = Certificate(header, (Signature(machine.key.public, signed),) * 3)
    if check_certificate(constitution.membership, constitution.genesis_hash, forged) is None:
        return "one replica's signature, three times, is a certificate"
    return None


def play_false_block(seed: int) -> str | None:
    """Blocks that are not linked to the certified one are not executed, whoever gave them."""
    world = World(4, seed)
    world.run(100)
    world.network.isolate(3)
    _commit(world, 4, [0, 1, 2])
    world.run(500)
    chain, host = world.machines[0].get_chain(), world.machines[3].get_process().host
    blocks = [block for height in range(1, 5) if (block := chain.get_block(Height(height))) is not None]
    certificate = chain.get_certificate(Height(4))
    assert certificate is not None
    false = structs.replace(blocks[1].header, state_root=bytes(32))
    blocks[1] = structs.replace(blocks[1], header=false)
    effects = host.replica.step(BlocksFetched(host.now(), tuple(blocks), certificate))
    is_taken = any(isinstance(effect, Deliver) for effect in effects)
    return "blocks were taken that are not linked" if is_taken else None


def play_gap(seed: int) -> str | None:
    """A sequence that nobody prepared below one that was: the next view fills it with the null batch."""
    world = World(4, seed)

    def may_pass(_source: int, _target: int, frame: Frame) -> bool:
        envelope = world.memory.decode(frame.payload) if frame.kind is Kind.MESSAGE else None
        message = envelope.message if isinstance(envelope, Envelope) else None
        return not (isinstance(message, Prepare) and (message.view, message.sequence) == (0, 1))

    world.run(100)
    world.network.may_pass = may_pass
    first, second = world.community.grant(0), world.community.grant(1)
    world.submit(first)
    world.run(3)
    world.submit(second)
    world.run_until(lambda: world.is_committed(second), 8_000)
    world.network.may_pass = None
    world.run_until(lambda: world.is_committed(first), 8_000)
    sequences = [header.sequence for _, header in sorted(world.checker.chain.items())]
    return None if sequences[0] == 2 else f"the gap was not filled: blocks stand at the sequences {sequences}"


def play_lone_complaint(seed: int) -> str | None:
    """One faulty replica alone makes nobody leave a view that works."""
    world = World(4, seed)
    world.set_behaviour(3, HugeNumbers(seed))
    for member in range(4):
        sealed = world.community.grant(member)
        world.submit(sealed)
        world.run_until(lambda sealed=sealed: world.is_committed(sealed), 3_000)  # type: ignore[misc]  # bound now
        world.run(1_000)
    views = {machine.state.view for machine in world.get_correct()}
    return None if views == {0} else f"one faulty replica moved the others to the views {sorted(views)}"


def play_evidence(seed: int) -> str | None:
    """Whoever contradicts itself is convicted by what is stored."""
    world = World(4, seed)
    world.set_behaviour(1, ForgedVotes(seed))
    for member in range(4):
        world.submit(world.community.grant(member))
        world.run(1_500)
    kept = [list(machine.get_chain().iterate_evidence()) for machine in world.get_correct()]
    return None if any(kept) else "nobody kept evidence against a replica that voted twice"


def play_flipped_copy(seed: int) -> str | None:
    """A damaged copy of a vote is healed from its twin: the validator starts, and forgot nothing."""
    world = World(4, seed)
    world.submit(world.community.grant(0))
    world.run(300)
    machine = world.machines[1]
    world.stop(1)
    data = machine.disk.files.get(JOURNAL) or b""
    place = data.find(machine.key.public)  # in the first copy of its first vote
    machine.disk.files.flip(JOURNAL, place + Random(seed).randrange(32), seed % 8)
    return None if world.restart(1) else f"a damaged copy was not healed: {machine.refused_start}"


def play_domains(seed: int) -> str | None:
    """A signature for one purpose is none for another, and none on another chain."""
    constitution = build_constitution(4)
    key, chain = get_validator_key(0), constitution.genesis_hash
    payload = b"payload %d" % seed
    signature = key.sign(SignatureDomain.TRANSACTION, chain, payload)
    if is_signature_valid(key.public, signature, SignatureDomain.CONSENSUS, chain, payload):
        return "a signature under a transaction is valid under a vote"
    other = compute_hash(HashDomain.GENESIS, payload)
    foreign = sign_envelope(key, other, Complaint(0, seed))
    if check_envelope(constitution.membership, chain, foreign) is None:
        return "a message of another chain is authentic"
    return None


def play_small_order(seed: int) -> str | None:
    """A key under which anybody can sign is refused where keys are registered."""
    del seed
    return "a key of small order is sound" if is_public_key_sound(SMALL_ORDER_KEY) else None


def play_quota(seed: int) -> str | None:
    """An account that used up its slot's quota is told so."""
    constitution = build_constitution(4)
    ledger = LedgerContext(constitution.genesis, constitution.genesis_hash)
    world = World(4, seed)
    sealed = world.community.transfer(0, 1)
    time_ms = constitution.genesis.time_ms
    slot = get_quota_slot(ledger, time_ms)
    account = Account(get_member_key(0).public, "prosumer", "member0", False, 0, b"", slot, QUOTA_PER_SLOT)
    rejection = check_account(ledger, account, sealed.transaction, Height(1), time_ms)
    return (
        None if rejection is Rejection.QUOTA_EXCEEDED else f"beyond its quota an account was told {rejection}"
    )


def play_restored_backup(seed: int) -> str | None:
    """A validator that starts from an older copy of its home says nothing that binds its key."""
    world = World(4, seed)
    _commit(world, 2)
    world.kill(2)
    machine = world.machines[2]
    backup = deepcopy(machine.disk)
    world.restart(2)
    world.run(1_000)
    _commit(world, 3)
    world.kill(2)
    machine.disk, machine.is_damaged = backup, True
    said: list[Message] = []

    def hear(_now_ms: int, index: int, _event: Event, effects: list[Effect]) -> None:
        if index == 2:
            envelopes = [effect.envelope for effect in effects if isinstance(effect, Broadcast | Send)]
            said.extend(e.message for e in envelopes if e.sender == machine.key.public)

    world.told = hear
    world.restart(2)
    _commit(world, 5)
    world.run(1_000)
    if not machine.is_alive:
        return "it took itself for somebody else"
    votes = [message for message in said if isinstance(message, Prepare | Commit | Checkpoint | ViewChange)]
    return f"it voted: {votes[0]}" if votes else None


def play_older_journal(seed: int) -> str | None:
    """A journal that is older than its chain is refused."""
    world = World(4, seed)
    _commit(world, 1)
    world.kill(1)
    machine = world.machines[1]
    older = deepcopy(machine.disk.files)
    world.restart(1)
    world.run(500)
    _commit(world, 3)
    world.kill(1)
    machine.is_damaged = True
    machine.disk.files.clone_from(older)
    return "an older journal was taken" if world.restart(1) else None


def play_lone_ballot(seed: int) -> str | None:
    """One validator alone changes nothing about who validates."""
    world = World(4, seed, candidates=1)
    world.run(100)
    world.submit(world.community.cast(0, world.community.add(4)))
    world.run(3_000)
    epochs = {machine.state.epoch for machine in world.machines if machine.is_alive}
    return None if epochs == {0} else f"one ballot began the epochs {sorted(epochs)}"


def _commit(world: World, count: int, at: list[int] | None = None) -> None:
    for number in range(count):
        sealed = world.community.grant(number % 4)
        world.submit(sealed, to=at)
        world.run_until(lambda sealed=sealed: world.is_committed(sealed, at), 10_000)  # type: ignore[misc]  # bound now


SCENES: dict[str, Scene] = {
    "long_chain": play_long_chain,
    "outage": play_outage,
    "absent_primaries": play_absent_primaries,
    "flood": play_flood,
    "flipped_twice": play_flipped_twice,
    "two_prepared": play_two_prepared,
    "restored_backup": play_restored_backup,
    "older_journal": play_older_journal,
    "lone_ballot": play_lone_ballot,
    "one_signer": play_one_signer,
    "false_block": play_false_block,
    "gap": play_gap,
    "lone_complaint": play_lone_complaint,
    "evidence": play_evidence,
    "flipped_copy": play_flipped_copy,
    "domains": play_domains,
    "small_order": play_small_order,
    "quota": play_quota,
}
"""By name."""
