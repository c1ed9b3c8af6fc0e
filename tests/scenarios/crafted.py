"""Messages that no correct replica says, by name: each is well formed, signed by its sender, and wrong in one thing."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from consensus.authentication import sign_envelope
from consensus.messages import (
    Certificate,
    Checkpoint,
    Commit,
    Complaint,
    Envelope,
    Message,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    Proposal,
    Signature,
    Status,
    ViewChange,
    get_signed_bytes,
)
from primitives.batch import BatchHeader
from primitives.hashing import EMPTY_DIGEST, HashDomain, compute_hash
from primitives.header import BlockHeader
from primitives.signing import SignatureDomain
from tests.scenarios.stage import Stage
from tests.simulation.community import WALL_START_MS

Values = Mapping[str, str]
T = TypeVar("T")

OTHER = b"\x07" * 32
"""A digest that nobody proposed."""

OTHER_NETWORK = compute_hash(HashDomain.GENESIS, b"another network")


class CraftError(Exception):
    """There is no such message, or a value of it is missing or wrong."""


def craft(stage: Stage, source: int, kind: str, values: Values) -> Envelope:
    """Return a message of a machine.

    Raises:
        CraftError: unknown kind, or a value is missing or wrong.

    """
    build = KINDS.get(kind)
    if build is None:
        raise CraftError(f"no message {kind!r}; there are {', '.join(sorted(KINDS))}")
    network = OTHER_NETWORK if values.get("network") == "other" else stage.constitution.genesis_hash
    return sign_envelope(stage.machines[source].key, network, build(stage, source, values))


def build_pre_prepare(stage: Stage, source: int, values: Values) -> Message:
    """A proposal: ``of`` names its transaction, ``ahead_ms`` how far its time is beyond the clock."""
    name = values.get("of", "")
    sealed = stage.transactions.get(name)
    if sealed is None:
        raise CraftError(f"of={name}: no transaction of that name was submitted")
    time_ms = WALL_START_MS + stage.now_ms + get_number(values, "ahead_ms", 0)
    batch = BatchHeader(stage.machines[source].key.public, time_ms, (sealed.id,))
    view, sequence = get_number(values, "view", 0), get_number(values, "sequence", 1)
    return PrePrepare(Proposal(0, view, sequence, batch.compute_digest()), batch)


def build_prepare(stage: Stage, source: int, values: Values) -> Message:
    """A vote for a digest that nobody proposed."""
    return Prepare(0, get_number(values, "view", 0), get_number(values, "sequence", 1), OTHER)


def build_commit(stage: Stage, source: int, values: Values) -> Message:
    """The same, a commit."""
    return Commit(0, get_number(values, "view", 0), get_number(values, "sequence", 1), OTHER)


def build_checkpoint(stage: Stage, source: int, values: Values) -> Message:
    """A header that nobody executed."""
    return Checkpoint(build_false_header(get_number(values, "height", 1)))


def build_complaint(stage: Stage, source: int, values: Values) -> Message:
    """A complaint of the primary."""
    return Complaint(0, get_number(values, "view", 0))


def build_status(stage: Stage, source: int, values: Values) -> Message:
    """A claim of a height."""
    height = get_number(values, "height", 0)
    return Status(0, get_number(values, "view", 0), height, height)


def build_view_change(stage: Stage, source: int, values: Values) -> Message:
    """A view change: ``stable`` short, forged or none, ``prepared`` by one, of another digest, or none."""
    stable = {"none": None, "short": build_certificate(stage, 1), "forged": build_certificate(stage, 3)}
    prepared = {
        "none": (),
        "by_one": (build_prepared(stage, source, voters=(source, source)),),
        "forged": (build_prepared(stage, source, voters=(0, 1, 2, 3)),),
        "far": (build_prepared(stage, source, voters=(0, 1, 2, 3), sequence=10_000),),
    }
    return ViewChange(
        0,
        get_number(values, "view", 1),
        choose(values, "stable", stable),
        choose(values, "prepared", prepared),
    )


def build_certificate(stage: Stage, signers: int) -> Certificate:
    """Build a certificate of a false header, whose signatures are of something else."""
    header = build_false_header(1)
    names = sorted(machine.key.public for machine in stage.machines[:signers])
    return Certificate(header, tuple(Signature(name, bytes(64)) for name in names))


def build_false_header(height: int) -> BlockHeader:
    """Build the header of a block that nobody executed."""
    return BlockHeader(
        height=height,
        sequence=height,
        epoch=0,
        parent=EMPTY_DIGEST,
        batch_digest=OTHER,
        time_ms=WALL_START_MS,
        state_root=OTHER,
        receipts_root=EMPTY_DIGEST,
        next_membership=EMPTY_DIGEST,
        protocol_version=1,
    )


def build_prepared(
    stage: Stage, source: int, voters: tuple[int, ...], sequence: int = 1
) -> PreparedCertificate:
    """Build a prepared certificate for which one key signed in everybody's name."""
    proposal = Proposal(0, 0, sequence, OTHER)
    key, network = stage.machines[source].key, stage.constitution.genesis_hash
    signature = key.sign(SignatureDomain.CONSENSUS, network, get_signed_bytes(proposal))
    vote = sign_envelope(key, network, Prepare(0, 0, sequence, OTHER)).signature
    names = sorted(stage.machines[index].key.public for index in voters if index or len(set(voters)) == 1)
    return PreparedCertificate(proposal, signature, tuple(Signature(name, vote) for name in names))


def get_number(values: Values, name: str, default: int) -> int:
    """Return a number of the script, or the default.

    Raises:
        CraftError: it is no number.

    """
    text = values.get(name)
    if text is None:
        return default
    if not text.removeprefix("-").isdecimal():
        raise CraftError(f"{name}={text}: not a whole number")
    return int(text)


def choose(values: Values, name: str, choices: Mapping[str, T]) -> T:
    """Return the choice that the script names; without a name, none.

    Raises:
        CraftError: there is no such choice.

    """
    text = values.get(name, "none")
    if text not in choices:
        raise CraftError(f"{name}={text}: choose one of {', '.join(choices)}")
    return choices[text]


KINDS: dict[str, Callable[[Stage, int, Values], Message]] = {
    "pre_prepare": build_pre_prepare,
    "prepare": build_prepare,
    "commit": build_commit,
    "checkpoint": build_checkpoint,
    "complaint": build_complaint,
    "status": build_status,
    "view_change": build_view_change,
}
