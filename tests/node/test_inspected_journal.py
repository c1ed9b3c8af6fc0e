"""A journal is shown record by record with what it promises; what is damaged is named by its place, never a failure."""

from pathlib import Path
from typing import get_args

import pytest

from consensus.codec import encode_record, is_vote_record
from consensus.effects import AcceptedBatch, JournalRecord, SignedHeader, Silenced, ViewEntered
from consensus.messages import Proposal
from node.errors import HomeError
from node.home import load_constitution, open_storage
from node.inspected_journal import ShownJournal, explain_record, inspect_journal, show_journal
from node.storage.journal_frames import (
    VERSION,
    FileHeader,
    build_group,
    build_header,
    survey,
)
from primitives.ids import Digest
from tests.consensus.test_codec import RECORDS as KINDS
from tests.node.storage.homes import BLOCKS, build_home

HEADER = FileHeader(VERSION, Digest(b"g" * 32), 3, b"saltsalt")
PROPOSAL = Proposal(0, 2, 9, b"d" * 32)
RECORDS: list[JournalRecord] = [
    ViewEntered(0, 2, active=True),
    AcceptedBatch(PROPOSAL, b"s" * 64, None),
    SignedHeader(7, b"h" * 32),
    SignedHeader(6, b"x" * 32),
    Silenced(is_over=False),
]


def build(*groups: list[JournalRecord]) -> bytes:
    data, number = build_header(HEADER), 0
    for group in groups:
        data += build_group(
            HEADER, len(data), number, [(encode_record(each), is_vote_record(each)) for each in group]
        )
        number += len(group)
    return data


def show(data: bytes, first: int = 0, limit: int = 100) -> ShownJournal:
    return show_journal(data, HEADER, first, limit)


def test_a_whole_journal_says_what_it_promises() -> None:
    shown = show(build(RECORDS[:3], RECORDS[3:]))
    assert (shown.verdict, shown.is_usable, shown.damages, shown.records) == ("whole", True, (), 5)
    assert [each.copies for each in shown.page] == ["2 of 2", "1 of 1", "2 of 2", "2 of 2", "2 of 2"]
    assert [each.number for each in shown.page] == [0, 1, 2, 3, 4]
    assert shown.promise.view == 2
    assert (shown.promise.signed_height, shown.promise.signed_digest) == (7, (b"h" * 32).hex())
    assert shown.promise.is_silenced
    assert shown.page[2].meaning == "it signed this header for block 7, and signs no other"


def test_every_kind_of_record_has_a_meaning() -> None:
    told = {type(record): explain_record(record) for record in KINDS}
    assert set(told) == set(get_args(JournalRecord))
    assert all(told.values())


def test_pages_are_the_records() -> None:
    data = build(RECORDS)
    pages = [show(data, first, 2).page for first in (0, 2, 4)]
    assert sum(pages, ()) == show(data).page
    assert show(data, 5).page == ()


def test_a_damaged_copy_is_named_by_record_and_place_and_a_start_heals_it() -> None:
    data = bytearray(build(RECORDS))
    second = next(frame for frame in survey(bytes(data), HEADER) if frame.copy == 2)
    data[second.end - 1] ^= 1
    shown = show(bytes(data))
    assert shown.damages == (f"record 0, copy 2 of 2, at byte {second.offset}: damaged",)
    assert shown.page[0].copies == "1 of 2"
    assert shown.is_usable
    assert "heals" in shown.verdict


def test_a_lost_record_is_named_and_the_others_are_still_shown() -> None:
    data = bytearray(build(RECORDS[:2], RECORDS[2:]))
    for frame in survey(bytes(data), HEADER):
        if frame.number == 1:
            data[frame.offset : frame.end] = bytes(frame.end - frame.offset)
    shown = show(bytes(data))
    assert not shown.is_usable
    assert "record 1 is lost and later ones are not; a start refuses it" in shown.verdict
    assert "record 1: missing" in shown.damages
    assert [each.number for each in shown.page] == [0, 2, 3, 4]


def test_a_torn_tail_is_told_from_damage() -> None:
    data = build(RECORDS[:3], RECORDS[3:])
    start = next(frame for frame in survey(data, HEADER) if frame.number == 3).offset
    shown = show(data[:start] + b"\xf7GBJ torn away")
    assert shown.is_usable
    assert "torn tail" in shown.verdict
    assert any("no record can be read there" in damage for damage in shown.damages)


def test_whatever_follows_the_header_it_is_shown_without_failure() -> None:
    data = build(RECORDS[:3], RECORDS[3:])
    for offset in range(4096, len(data), 61):
        flipped = bytearray(data)
        flipped[offset] ^= 0xFF
        assert show(bytes(flipped)).damages, offset
        assert show(data[:offset]).records <= len(RECORDS)


def test_a_homes_journal_is_shown_and_not_changed(tmp_path: Path) -> None:
    home = build_home(tmp_path / "node0").path
    constitution = load_constitution(home)
    before = (home / "data/journal").read_bytes()
    shown = inspect_journal(home, constitution, 0, 3)
    assert (shown.records, len(shown.page), shown.promise.signed_height) == (BLOCKS, 3, BLOCKS)
    assert (home / "data/journal").read_bytes() == before


def test_what_cannot_be_told_apart_is_refused_by_name(tmp_path: Path) -> None:
    home = build_home(tmp_path / "node0", blocks=1).path
    constitution = load_constitution(home)
    with open_storage(home, constitution), pytest.raises(HomeError, match="the validator runs"):
        inspect_journal(home, constitution, 0, 3)
    path = home / "data/journal"
    path.write_bytes(bytes(9000))
    with pytest.raises(HomeError, match="damaged at byte 0: no header of a journal"):
        inspect_journal(home, constitution, 0, 3)
    path.write_bytes(build(RECORDS))
    with pytest.raises(HomeError, match="belongs to the network with genesis 6767"):
        inspect_journal(home, constitution, 0, 3)
    path.unlink()
    with pytest.raises(HomeError, match="there is no journal"):
        inspect_journal(home, constitution, 0, 3)
