"""A snapshot's file is whole and certified against the genesis alone, or it is refused by name."""

import io
from pathlib import Path

import pytest

from consensus.membership import Membership
from node.home import Constitution
from node.snapshots.archive import ARCHIVE_MARK, ArchiveRefused, read_head, unpack_archive, write_archive
from node.storage.chain import ChainStore
from node.storage.memory import MemoryStore
from primitives.encoding import encode
from primitives.ids import Digest, Epoch
from tests.node.snapshots.source import Source
from tests.vm.ledger import make_genesis


def build_constitution() -> Constitution:
    genesis = make_genesis()
    return Constitution(
        genesis, encode(genesis), genesis.compute_hash(), Membership(Epoch(0), genesis.validators)
    )


def pack(source: Source, path: Path) -> Path:
    certificate = source.chain.get_latest_certificate()
    assert certificate is not None
    with path.open("wb") as file:
        write_archive(file, build_constitution(), source.chain, source.tree, certificate)
    return path


def unpack(path: Path) -> ChainStore:
    store = MemoryStore()
    unpack_archive(path, build_constitution(), store)
    return ChainStore(store)


@pytest.fixture(scope="module")
def source() -> Source:
    source = Source()
    source.register(5)
    return source


@pytest.fixture
def archive(source: Source, tmp_path: Path) -> Path:
    return pack(source, tmp_path / "street-1.snapshot")


def test_what_is_unpacked_has_the_state_of_what_was_packed(source: Source, archive: Path) -> None:
    chain = unpack(archive)
    assert chain.get_latest_header() == source.header
    assert dict(chain.iterate(b"")) == dict(source.chain.iterate(b""))
    assert chain.get_latest_certificate() == source.chain.get_latest_certificate()
    head = read_head(archive)
    assert (head.height, head.state_root) == (source.height, source.header.state_root.hex())


def test_a_file_is_the_same_whenever_it_is_made(source: Source, archive: Path, tmp_path: Path) -> None:
    assert pack(source, tmp_path / "again").read_bytes() == archive.read_bytes()


@pytest.mark.parametrize("is_last", [False, True])
def test_changes_of_the_validators_are_followed_from_the_genesis(tmp_path: Path, is_last: bool) -> None:
    source = Source()
    source.add_validator("v4")
    if not is_last:
        source.register(1)
    chain = unpack(pack(source, tmp_path / "later"))
    assert chain.get_latest_header() == source.header
    assert [each.certificate.header.epoch for each in chain.iterate_handovers(Epoch(0))] == [0]


def test_the_handover_that_a_crash_kept_from_being_stored_is_in_the_file(tmp_path: Path) -> None:
    source = Source()
    source.add_validator("v4")
    source.store.write({b"m" + bytes(8): None}, sync=True)
    assert source.chain.get_handover(Epoch(0)) is None
    assert unpack(pack(source, tmp_path / "file")).get_handover(Epoch(0)) is not None


def test_no_byte_can_be_altered(archive: Path, tmp_path: Path) -> None:
    data = archive.read_bytes()
    head = len(ARCHIVE_MARK) + 32
    places = {*range(0, head, 17), *range(head, head + 700, 71), *range(0, len(data), len(data) // 20)}
    path = tmp_path / "altered"
    for place in sorted(places | {len(data) - 1}):
        altered = bytearray(data)
        altered[place] ^= 1
        path.write_bytes(altered)
        with pytest.raises(ArchiveRefused, match="altered"):
            unpack(path)


def test_no_end_can_be_cut_off_and_nothing_added(archive: Path, tmp_path: Path) -> None:
    data = archive.read_bytes()
    path = tmp_path / "cut"
    for end in (0, 5, 30, 51, 53, 200, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:end])
        with pytest.raises(ArchiveRefused):
            unpack(path)
    path.write_bytes(data + b"\0")
    with pytest.raises(ArchiveRefused, match="goes on behind its end"):
        unpack(path)


def test_a_snapshot_of_another_network_is_refused(archive: Path, tmp_path: Path) -> None:
    data = archive.read_bytes()
    path = tmp_path / "other"
    path.write_bytes(ARCHIVE_MARK + Digest(b"o" * 32) + data[len(ARCHIVE_MARK) + 32 :])
    with pytest.raises(ArchiveRefused, match="of another network than"):
        unpack(path)


def test_what_nobody_certified_is_refused(source: Source, tmp_path: Path) -> None:
    certificate = source.sign_header(source.header, count=2)
    file = io.BytesIO()
    write_archive(file, build_constitution(), source.chain, source.tree, certificate)
    path = tmp_path / "alone"
    path.write_bytes(file.getvalue())
    with pytest.raises(ArchiveRefused, match="2 signatures are fewer than the 3 needed"):
        unpack(path)
