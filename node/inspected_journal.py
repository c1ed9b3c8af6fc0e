"""A journal record by record, for whoever must know what a validator has promised; damage is part of the answer."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import assert_never

from consensus.codec import decode_record
from consensus.effects import (
    AcceptedBatch,
    AcceptedNewView,
    JournalRecord,
    KnownCertificate,
    OwnMessage,
    OwnProposal,
    PreparedRecord,
    SignedHeader,
    Silenced,
    ViewEntered,
)
from consensus.messages import Commit, NewView, Prepare, ViewChange
from consensus.transcript import describe_record
from node.errors import DiskError, HomeError
from node.home import JOURNAL_NAME, Constitution
from node.home_lock import hold_home
from node.storage.journal import JOURNAL_BYTES_MAX
from node.storage.journal_frames import (
    BLOCK_BYTES,
    ONLY,
    VERSION,
    Damage,
    FileHeader,
    Found,
    read_header,
    scan,
    survey,
)
from primitives.encoding import DecodeError

DAMAGES_MAX = 100
"""Damaged places that are told one by one; a file with more is told by the first of them."""


@dataclass(frozen=True, slots=True)
class ShownRecord:
    """A record: where its first copy lies, how many intact copies there are of how many, and what it means."""

    number: int
    offset: int
    copies: str
    line: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Promise:
    """What the records come to: what this validator may never contradict."""

    epoch: int = 0
    view: int = 0
    is_view_active: bool = True
    signed_height: int | None = None
    signed_digest: str | None = None
    voted: str | None = None
    certified_height: int | None = None
    is_silenced: bool = False


@dataclass(frozen=True, slots=True)
class ShownJournal:
    """A journal: what it is bound to, what a start would make of it, its damaged places and a page of its records."""

    version: int
    generation: int
    genesis_hash: str
    size: int
    verdict: str
    is_usable: bool
    damages: tuple[str, ...]
    records: int
    page: tuple[ShownRecord, ...]
    promise: Promise


def inspect_journal(home: Path, constitution: Constitution, first: int, limit: int) -> ShownJournal:
    """Return the journal of a stopped home with at most ``limit`` records from number ``first`` on.

    Raises:
        HomeError: the validator runs, there is no journal, or it is of another network or version.
        DiskError: it cannot be read.

    """
    path = home / "data" / JOURNAL_NAME
    if not path.is_file():
        raise HomeError(
            f"{path}: there is no journal; where the chain is there, `gridbft recover` says what to do"
        )
    with hold_home(path.parent):
        try:
            with path.open("rb") as file:
                data = file.read(JOURNAL_BYTES_MAX + 1)
        except OSError as error:
            raise DiskError(f"{path}: {error.strerror}") from None
    if len(data) > JOURNAL_BYTES_MAX:
        raise HomeError(f"{path}: longer than {JOURNAL_BYTES_MAX} bytes, so no journal of a node")
    try:
        header = read_header(data)
    except Damage as damage:
        raise HomeError(
            f"{path}: {damage}, so nothing in it can be told apart; keep the file and run `gridbft recover`"
        ) from None
    if header.version != VERSION:
        raise HomeError(f"{path}: written as version {header.version}, this program knows {VERSION}")
    if header.genesis_hash != constitution.genesis_hash:
        raise HomeError(f"{path}: belongs to the network with genesis {header.genesis_hash.hex()[:16]}")
    return show_journal(data, header, first, limit)


def show_journal(data: bytes, header: FileHeader, first: int, limit: int) -> ShownJournal:
    """Return what the bytes of a journal hold; never fails, whatever follows the header."""
    found = list(survey(data, header))
    verdict, is_usable = judge(data, header)
    records: dict[int, list[Found]] = {}
    for frame in found:
        records.setdefault(frame.number, []).append(frame)
    decoded = {number: _decode(frames) for number, frames in records.items()}
    numbers = [number for number in sorted(records) if number >= first][:limit]
    return ShownJournal(
        version=header.version,
        generation=header.generation,
        genesis_hash=header.genesis_hash.hex(),
        size=len(data),
        verdict=verdict,
        is_usable=is_usable,
        damages=tuple(islice(chain(list_damages(data, found), list_missing(records)), DAMAGES_MAX)),
        records=len(records),
        page=tuple(_show_record(number, records[number], decoded[number]) for number in numbers),
        promise=sum_up(record for _, record in sorted(decoded.items()) if not isinstance(record, str)),
    )


def judge(data: bytes, header: FileHeader) -> tuple[str, bool]:
    """Return what a start would make of the file, and whether it would start."""
    try:
        found = scan(data, header)
    except Damage as damage:
        return f"{damage}; a start refuses it, `gridbft recover` keeps it and begins anew in silence", False
    if found.is_torn:
        return (
            f"whole up to byte {found.end}, then a torn tail that the next start cuts: it was never spoken of",
            True,
        )
    if found.is_degraded:
        return "whole, with a damaged copy that the next start heals from its intact twin", True
    return "whole", True


def list_damages(data: bytes, found: Iterable[Found]) -> Iterator[str]:
    """Yield the places that are neither an intact frame nor zeros, by their offsets."""
    position = min(BLOCK_BYTES, len(data))
    for frame in found:
        yield from _name_gap(data, position, frame.offset)
        if not frame.is_intact:
            copy = "its only copy" if frame.copy == ONLY else f"copy {frame.copy} of 2"
            yield f"record {frame.number}, {copy}, at byte {frame.offset}: damaged"
        position = max(position, frame.end)
    yield from _name_gap(data, position, len(data))


def list_missing(records: Mapping[int, Sequence[Found]]) -> Iterator[str]:
    """Yield the records, or second copies, of which nothing is found between others."""
    for number in range(max(records, default=-1) + 1):
        frames = records.get(number, ())
        if not frames:
            yield f"record {number}: missing"
        elif len(frames) < _count_copies(frames):
            yield f"record {number}: copy {3 - frames[0].copy} of 2 is missing"


def sum_up(records: Iterable[JournalRecord]) -> Promise:
    """Return what the records come to, in their order."""
    kept: dict[str, object] = {}
    for record in records:
        match record:
            case ViewEntered(epoch=epoch, view=view, active=active):
                kept |= {"epoch": epoch, "view": view, "is_view_active": active}
            case SignedHeader(height=height, digest=digest):
                if height >= int(str(kept.get("signed_height", 0))):
                    kept |= {"signed_height": height, "signed_digest": digest.hex()}
            case OwnMessage(envelope=envelope):
                message = envelope.message
                if isinstance(message, Prepare | Commit):
                    kind = type(message).__name__.lower()
                    kept["voted"] = f"{kind} in view {message.view} for sequence {message.sequence}"
                elif isinstance(message, ViewChange | NewView):
                    kept |= {"epoch": message.epoch, "view": message.view}
                    kept["is_view_active"] = isinstance(message, NewView)
            case KnownCertificate(certificate=certificate):
                kept["certified_height"] = certificate.header.height
            case Silenced(is_over=is_over):
                kept["is_silenced"] = not is_over
            case _:
                pass
    return Promise(**kept)  # type: ignore[arg-type]  # the fields by name, each set to its own type above


def explain_record(record: JournalRecord) -> str:
    """Return what a record means for what this validator may say."""
    match record:
        case ViewEntered(view=view, active=True):
            return f"it works in view {view}, and votes in no earlier one"
        case ViewEntered(view=view):
            return f"it left for view {view}, and votes in no earlier one"
        case OwnMessage(envelope=envelope):
            return _explain_message(envelope.message)
        case AcceptedBatch(proposal=proposal):
            return f"it accepted this batch for sequence {proposal.sequence}, and no other in view {proposal.view}"
        case AcceptedNewView():
            return "the proof that its view has begun"
        case PreparedRecord(certificate=certificate):
            return f"a quorum prepared sequence {certificate.proposal.sequence}: it must be shown in a view change"
        case SignedHeader(height=height):
            return f"it signed this header for block {height}, and signs no other"
        case OwnProposal(proposal=proposal):
            return (
                f"leading, it bound sequence {proposal.sequence} to this batch, and proposes no other there"
            )
        case KnownCertificate(certificate=certificate):
            return f"block {certificate.header.height} has its certificate: what lies below is settled"
        case Silenced(is_over=False):
            return "nobody here knows what the key has signed: it votes for nothing"
        case Silenced():
            return "all that the key may have signed is passed: it votes again"
        case _:
            assert_never(record)


def _explain_message(message: object) -> str:
    match message:
        case Prepare(view=view, sequence=sequence):
            return (
                f"it voted (prepare) for this digest at sequence {sequence} in view {view}, and for no other"
            )
        case Commit(view=view, sequence=sequence):
            return (
                f"it voted (commit) for this digest at sequence {sequence} in view {view}, and for no other"
            )
        case ViewChange(view=view):
            return f"it told the others that it left for view {view}"
        case NewView(view=view):
            return f"leading, it began view {view} with these proposals"
        case _:
            return "it said this, and says nothing that contradicts it"


def _decode(frames: Iterable[Found]) -> JournalRecord | str:
    intact = next((frame.record for frame in frames if frame.is_intact), None)
    if intact is None:
        return "no copy of it is intact"
    try:
        return decode_record(intact)
    except DecodeError as error:
        return f"of another version of the program ({error})"


def _show_record(number: int, frames: list[Found], record: JournalRecord | str) -> ShownRecord:
    copies = f"{sum(frame.is_intact for frame in frames)} of {_count_copies(frames)}"
    if isinstance(record, str):
        return ShownRecord(number, frames[0].offset, copies, "damaged", record)
    return ShownRecord(number, frames[0].offset, copies, describe_record(record), explain_record(record))


def _count_copies(frames: Sequence[Found]) -> int:
    return 1 if frames[0].copy == ONLY else 2


def _name_gap(data: bytes, start: int, end: int) -> Iterator[str]:
    """Name bytes between frames that are not zeros: no frame can be read there."""
    if start < end and data.count(0, start, end) < end - start:
        yield f"bytes {start} to {end}: no record can be read there"
