"""The bytes of a journal, pure: how records are laid out, and what can be believed of a file after a crash.

A file is blocks of 4,096 bytes. The first block holds the header twice, 512 bytes apart: magic word, version, genesis
hash, how often it was rewritten, a random salt and a checksum. Then come groups, one for each sync, each beginning a
new block: torn writes of one sync never touch what an earlier sync made durable, and file systems write whole blocks
anyway. A group holds the frames of its records in order and then, from the next 512 bytes on, the second copies of
those that are written twice.

A frame is a head (magic word, copy, number of the record in the file, numbers of its group's first and last record,
how many of the group are written twice, length, check of the head), the record, and a checksum over all of it. Head
check and checksum also cover genesis hash, salt and place in the file, so that no bytes inside a record (transactions
are written by strangers) can pass for a frame.

What is found is judged by the records' numbers. A number missing below the last group is damage, refused: the next
group was begun only after the sync of this one returned. In the last group the power may have gone before the sync did:
then its end is missing, or whole sectors in the middle are, as they reach the medium in any order and read as zeros.
Only then is something missing taken for torn. If every record that is written twice is there, all that is there is
kept: what was never synced was never spoken of, and a promise too many does no harm. If not, the group was not synced,
and ends before the first missing record. Damage to one copy of two is healed.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from struct import Struct

from primitives.hashing import HashDomain, compute_hash
from primitives.ids import DIGEST_BYTES, Digest

BLOCK_BYTES = 4096
"""What common file systems and flash controllers write as a whole."""

SECTOR_BYTES = 512
"""The smallest unit a disk loses: two copies never share one."""

RECORD_BYTES_MAX = 8 * 1024 * 1024
"""A new-view of 80 validators takes 3 MB; a longer length is damage."""

SALT_BYTES = 8
"""Nobody outside guesses it, and no two files of a home share it."""

VERSION = 2

_FILE_MAGIC = b"gridbft journal\n"
_FRAME_MAGIC = b"\xf7GBJ"
_HEADER = Struct(f">{len(_FILE_MAGIC)}sH{DIGEST_BYTES}sQ{SALT_BYTES}s")
_HEAD = Struct(">4sBQQQII")
_CHECK_BYTES = 8
_HEAD_BYTES = _HEAD.size + _CHECK_BYTES
_CHECKSUM_BYTES = DIGEST_BYTES

ONLY, FIRST, SECOND = 0, 1, 2
"""Which copy of its record a frame is: of one, or of two."""
_COPIES = frozenset((ONLY, FIRST, SECOND))


class Damage(Exception):  # noqa: N818  # it reads as what was found
    """The file cannot be believed: where, and what is wrong."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(f"damaged at byte {offset}: {reason}")
        self.offset = offset


@dataclass(frozen=True, slots=True)
class FileHeader:
    """What a file is bound to; ``generation`` grows whenever records are left out and numbered anew."""

    version: int
    genesis_hash: Digest
    generation: int
    salt: bytes


@dataclass(frozen=True, slots=True)
class Scan:
    """What a file holds: (record, twice) in order, where the last valid frame ends, and what is to be done about it.

    ``is_torn``: bytes that are no frame follow ``end``. ``is_degraded``: a copy, or the header's, is not intact.
    """

    records: list[tuple[bytes, bool]]
    end: int
    is_torn: bool
    is_degraded: bool


@dataclass(frozen=True, slots=True)
class Found:
    """A frame as it lies in a file: which copy of which record, from where to where, and whether it is intact."""

    offset: int
    end: int
    number: int
    copy: int
    record: bytes
    is_intact: bool


@dataclass(frozen=True, slots=True, order=True)
class _Group:
    """The numbers of its first and last record, and how many are written twice."""

    first: int
    last: int
    pairs: int


@dataclass(frozen=True, slots=True)
class _Frame:
    copy: int
    number: int
    group: _Group
    record: bytes
    offset: int
    is_intact: bool = True


def build_header(header: FileHeader) -> bytes:
    """Return the first block of a file."""
    fields = _HEADER.pack(_FILE_MAGIC, header.version, header.genesis_hash, header.generation, header.salt)
    copy = fields + compute_hash(HashDomain.JOURNAL, fields)
    return copy.ljust(SECTOR_BYTES, b"\0") + copy.ljust(BLOCK_BYTES - SECTOR_BYTES, b"\0")


def read_header(data: bytes) -> FileHeader:
    """Return the header of a file from either copy.

    Raises:
        Damage: neither is intact.

    """
    for offset in (0, SECTOR_BYTES):
        fields, checksum = data[offset : offset + _HEADER.size], data[offset + _HEADER.size :][:DIGEST_BYTES]
        if len(checksum) == DIGEST_BYTES and checksum == compute_hash(HashDomain.JOURNAL, fields):
            magic, version, genesis_hash, generation, salt = _HEADER.unpack(fields)
            if magic == _FILE_MAGIC:
                return FileHeader(version, Digest(genesis_hash), generation, salt)
    raise Damage(0, "no header of a journal")


def build_group(
    header: FileHeader, offset: int, first_number: int, records: Sequence[tuple[bytes, bool]]
) -> bytes:
    """Return the bytes of one sync, to be written at ``offset``: (record, twice), numbered from ``first_number``."""
    group = bytearray(-offset % BLOCK_BYTES)
    pairs = sum(twice for _, twice in records)
    place = _Group(first_number, first_number + len(records) - 1, pairs)
    for number, (record, twice) in enumerate(records, first_number):
        frame = _Frame(FIRST if twice else ONLY, number, place, record, offset + len(group))
        group += _build_frame(header, frame)
    if pairs:
        group += bytes(-(offset + len(group)) % SECTOR_BYTES)
    for number, (record, twice) in enumerate(records, first_number):
        if twice:
            group += _build_frame(header, _Frame(SECOND, number, place, record, offset + len(group)))
    group += bytes(-(offset + len(group)) % BLOCK_BYTES)
    return bytes(group)


def scan(data: bytes, header: FileHeader) -> Scan:
    """Return what can be believed of a file whose header was read.

    Raises:
        Damage: records are missing that are not a torn tail.

    """
    found = list(_find_frames(data, header))
    copies: dict[int, list[_Frame]] = {}
    for frame in found:
        if frame.is_intact:
            copies.setdefault(frame.number, []).append(frame)
    last = max((frame.group for frame in found), default=_Group(0, -1, 0))
    for number in range(last.first):
        if number not in copies:
            before = copies[number - 1][0] if number else None
            raise Damage(
                BLOCK_BYTES if before is None else _get_end(before),
                f"record {number} is lost and later ones are not",
            )
    kept = _choose_kept(data, last, found, copies)
    frames = [frame for frame in found if frame.is_intact and frame.number in kept]
    end = _get_end(frames[-1]) if frames else min(BLOCK_BYTES, len(data))
    return Scan(
        records=[(copies[number][0].record, copies[number][0].copy != ONLY) for number in kept],
        end=end,
        is_torn=data.count(0, end) < len(data) - end,
        is_degraded=data[:BLOCK_BYTES] != build_header(header)
        or not _is_padding_clean(data, frames)
        or kept != list(range(len(kept)))
        or any(len(copies[number]) != (1 if copies[number][0].copy == ONLY else 2) for number in kept),
    )


def survey(data: bytes, header: FileHeader) -> Iterator[Found]:
    """Yield every frame with a valid head in the order of the file, believed or not: for a person who looks."""
    for frame in _find_frames(data, header):
        yield Found(
            frame.offset,
            min(_get_end(frame), len(data)),
            frame.number,
            frame.copy,
            frame.record,
            frame.is_intact,
        )


def _choose_kept(
    data: bytes, last: _Group, found: Sequence[_Frame], copies: dict[int, list[_Frame]]
) -> list[int]:
    """Return the numbers of the records to be believed, in order: all, or what a torn last group leaves.

    Raises:
        Damage: something of the last group is missing that no power cut takes.

    """
    numbers = range(last.last + 1)
    missing = [number for number in numbers if number not in copies]
    if not missing:
        return list(numbers)
    own = [frame for frame in found if frame.group == last]
    is_end_missing = all(
        frame.number < missing[0] and frame.copy != SECOND for frame in own if frame.is_intact
    )
    start = max(
        (_get_end(frame) for frame in found if frame.is_intact and frame.group != last), default=BLOCK_BYTES
    )
    if not is_end_missing and not _has_lost_sector(data, start + -start % BLOCK_BYTES):
        raise Damage(own[0].offset, f"record {missing[0]} is lost although its group had been written whole")
    pairs = {frame.number for frame in own if frame.is_intact and frame.copy != ONLY}
    if len(pairs) == last.pairs:
        return [number for number in numbers if number in copies]
    return list(range(missing[0]))


def _has_lost_sector(data: bytes, start: int) -> bool:
    """Tell whether a sector from ``start`` on holds zeros only and later ones do not: it never reached the medium."""
    used = len(data.rstrip(b"\0"))
    sectors = range(start, used - SECTOR_BYTES, SECTOR_BYTES)
    return any(data.count(0, sector, sector + SECTOR_BYTES) == SECTOR_BYTES for sector in sectors)


def _find_frames(data: bytes, header: FileHeader) -> Iterator[_Frame]:
    """Yield the frames with a valid head in the order of the file; whatever is between them is passed over."""
    position = BLOCK_BYTES
    while (offset := data.find(_FRAME_MAGIC, position)) >= 0:
        frame = _read_frame(data, header, offset)
        position = offset + 1
        if frame is not None:
            if frame.is_intact:
                position = _get_end(frame)
            yield frame


def _is_padding_clean(data: bytes, frames: Iterable[_Frame]) -> bool:
    """Tell whether only zeros are between the frames: anything else was a frame, or will be mistaken for damage."""
    position = BLOCK_BYTES
    for frame in frames:
        if data.count(0, position, frame.offset) < frame.offset - position:
            return False
        position = _get_end(frame)
    return True


def _get_end(frame: _Frame) -> int:
    return frame.offset + _HEAD_BYTES + len(frame.record) + _CHECKSUM_BYTES


def _build_frame(header: FileHeader, frame: _Frame) -> bytes:
    group = frame.group
    fields = _HEAD.pack(
        _FRAME_MAGIC, frame.copy, frame.number, group.first, group.last, group.pairs, len(frame.record)
    )
    head = fields + _compute_check(header, frame.offset, fields)
    return head + frame.record + _compute_checksum(header, frame.offset, head, frame.record)


def _read_frame(data: bytes, header: FileHeader, offset: int) -> _Frame | None:
    """Return the frame at ``offset``, intact or not, or None without a valid head.

    Cheap doubts come first, as garbage may be full of magic words.
    """
    start = offset + _HEAD_BYTES
    head = data[offset:start]
    if len(head) < _HEAD_BYTES:
        return None
    _, copy, number, first, last, pairs, length = _HEAD.unpack(head[: _HEAD.size])
    if copy not in _COPIES or not first <= number <= last or length > RECORD_BYTES_MAX:
        return None
    if head[_HEAD.size :] != _compute_check(header, offset, head[: _HEAD.size]):
        return None
    end = start + length
    record, checksum = data[start:end], data[end : end + _CHECKSUM_BYTES]
    is_intact = len(record) == length and checksum == _compute_checksum(header, offset, head, record)
    return _Frame(copy, number, _Group(first, last, pairs), record, offset, is_intact)


def _compute_check(header: FileHeader, offset: int, fields: bytes) -> bytes:
    return _compute_checksum(header, offset, fields, b"")[:_CHECK_BYTES]


def _compute_checksum(header: FileHeader, offset: int, head: bytes, record: bytes) -> bytes:
    place = header.genesis_hash + header.salt + offset.to_bytes(8, "big")
    return compute_hash(HashDomain.JOURNAL, place + head + record)
