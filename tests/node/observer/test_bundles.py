"""A bundle lets one observer in, by its key and certificate; whatever else lies in the directory lets nobody in."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from node.observer.bundles import (
    BUNDLE_MARK,
    DIRECTORY_NAME,
    OBSERVERS_MAX,
    BundleError,
    Observer,
    decode_bundle,
    encode_bundle,
    fingerprint_bundles,
    read_admitted,
    read_bundle,
)
from primitives.ids import Digest
from primitives.signing import SecretKey
from tests.node.observer.scene import make_observer, make_tls

GENESIS_HASH = Digest(b"g" * 32)
OBSERVER = make_observer()


def make_numbered(number: int) -> Observer:
    name = f"observer-{number}"
    return Observer(name, SecretKey(bytes([number + 1]) * 32).public, make_tls(name).certificate)


def lay(home: Path, name: str, content: bytes) -> None:
    (home / DIRECTORY_NAME).mkdir(exist_ok=True)
    (home / DIRECTORY_NAME / name).write_bytes(content)


def test_a_bundle_gives_back_its_observer() -> None:
    assert decode_bundle(encode_bundle(GENESIS_HASH, OBSERVER), GENESIS_HASH) == OBSERVER


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no observer bundle"),
        (b"gridbft validator bundle 1\n", "no observer bundle"),
        (BUNDLE_MARK, "a damaged observer bundle"),
        (BUNDLE_MARK + bytes(5000), "no observer bundle"),
        (encode_bundle(GENESIS_HASH, OBSERVER) + b"\x00", "a damaged observer bundle"),
        (encode_bundle(Digest(b"h" * 32), OBSERVER), "another network"),
        (encode_bundle(GENESIS_HASH, replace(OBSERVER, name="../up")), "the name '../up'"),
        (encode_bundle(GENESIS_HASH, replace(OBSERVER, name=".hidden")), "the name '.hidden'"),
        (encode_bundle(GENESIS_HASH, replace(OBSERVER, public_key=bytes(32))), "no sound Ed25519 key"),
        (encode_bundle(GENESIS_HASH, replace(OBSERVER, tls_certificate=b"none")), "certificate is none"),
    ],
)
def test_what_is_no_bundle_is_refused_by_name(data: bytes, reason: str) -> None:
    with pytest.raises(BundleError, match=reason):
        decode_bundle(data, GENESIS_HASH)


def test_a_bundle_cut_anywhere_is_refused() -> None:
    whole = encode_bundle(GENESIS_HASH, OBSERVER)
    for length in range(len(whole)):
        with pytest.raises(BundleError):
            decode_bundle(whole[:length], GENESIS_HASH)


def test_a_missing_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="ask the observer's operator"):
        read_bundle(tmp_path / "nothing.bundle", GENESIS_HASH)


def test_without_a_directory_nobody_is_let_in(tmp_path: Path) -> None:
    assert read_admitted(tmp_path, GENESIS_HASH).observers == ()
    assert fingerprint_bundles(tmp_path) == ()


def test_sound_bundles_let_in_and_others_are_named(tmp_path: Path) -> None:
    lay(tmp_path, "a.bundle", encode_bundle(GENESIS_HASH, OBSERVER))
    lay(tmp_path, "b.bundle", b"nonsense")
    lay(tmp_path, "c.bundle", encode_bundle(GENESIS_HASH, OBSERVER))
    lay(tmp_path, "d.bundle", encode_bundle(GENESIS_HASH, replace(OBSERVER, name="twin")))
    lay(tmp_path, "notes.txt", b"no bundle by its name")
    admitted = read_admitted(tmp_path, GENESIS_HASH)
    assert admitted.observers == (OBSERVER,)
    assert [name for name, _ in admitted.refused] == ["b.bundle", "c.bundle", "d.bundle"]
    assert "another observer gateway" in admitted.refused[1][1]
    assert "the same key" in admitted.refused[2][1]


def test_a_validator_serves_no_more_than_its_bound(tmp_path: Path) -> None:
    for number in range(OBSERVERS_MAX + 1):
        lay(tmp_path, f"{number}.bundle", encode_bundle(GENESIS_HASH, make_numbered(number)))
    admitted = read_admitted(tmp_path, GENESIS_HASH)
    assert len(admitted.observers) == OBSERVERS_MAX
    assert [name for name, _ in admitted.refused] == [f"{OBSERVERS_MAX}.bundle"]


def test_a_change_of_the_directory_shows_without_reading_the_files(tmp_path: Path) -> None:
    lay(tmp_path, "a.bundle", b"one")
    before = fingerprint_bundles(tmp_path)
    lay(tmp_path, "b.bundle", b"two")
    added = fingerprint_bundles(tmp_path)
    (tmp_path / DIRECTORY_NAME / "a.bundle").unlink()
    assert len({before, added, fingerprint_bundles(tmp_path)}) == 3  # each differs
