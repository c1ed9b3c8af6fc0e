"""A key file is its owner's alone, made once, and opens only whole and with its passphrase."""

import os
import stat
from pathlib import Path

import pytest
from nacl import bindings
from nacl.pwhash import argon2id

from meter.keystore import (
    ATTACHMENT_BYTES_MAX,
    KEY_FILE_BYTES_MAX,
    KeyExistsError,
    KeyExposedError,
    KeyFileFailedError,
    KeyFileInvalidError,
    KeyKind,
    KeyLabel,
    KeyNotFoundError,
    KeyNotOpenedError,
    KeyOfOtherKindError,
    KeySecret,
    KeystoreError,
    KeyUnusableError,
    create_key,
    list_keys,
    open_key,
    read_key_label,
)
from primitives.encoding import encode
from primitives.hashing import compute_account_id
from primitives.ids import AccountId
from primitives.sealing import KEY_BYTES, NONCE_BYTES, SALT_BYTES, SEAL_VERSION, SealedSecret
from primitives.signing import SecretKey

PASSPHRASE = b"correct horse"
SEED = bytes(range(32))


def write_cheap_key(path: Path, label: str | None = None, secret: bytes | None = None) -> bytes:
    """A key file of the right format at the lowest cost, to be opened hundreds of times; return its content."""
    public_key = SecretKey(SEED).public
    text = label or KeyLabel(KeyKind.METER, "CL01", public_key, compute_account_id(public_key)).encode()
    salt, nonce = bytes(SALT_BYTES), bytes(NONCE_BYTES)
    costs = (argon2id.OPSLIMIT_MIN, argon2id.MEMLIMIT_MIN)
    header = encode(SealedSecret(SEAL_VERSION, text, salt, nonce, *costs, b""))
    key = argon2id.kdf(KEY_BYTES, PASSPHRASE, salt, opslimit=costs[0], memlimit=costs[1])
    content = bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(
        encode(KeySecret(SEED, b"")) if secret is None else secret, header, nonce, key
    )
    sealed = encode(SealedSecret(SEAL_VERSION, text, salt, nonce, *costs, content))
    write_private(path, sealed)
    return sealed


def write_private(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)


def test_a_created_key_opens_with_its_passphrase_and_says_who_it_is(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "deeper" / "CL01.key"
    label = create_key(path, PASSPHRASE, KeyKind.METER, "CL01")
    opened = open_key(path, PASSPHRASE, KeyKind.METER, KeyKind.WALLET)
    assert opened.label == label == read_key_label(path)
    assert (label.kind, label.name) == (KeyKind.METER, "CL01")
    assert opened.key.public == label.public_key
    assert label.account == compute_account_id(label.public_key)
    assert opened.attachment == b""


def test_a_given_seed_account_and_attachment_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    account = AccountId(b"\x05" * 16)
    create_key(path, PASSPHRASE, KeyKind.NODE, "node0", seed=SEED, account=account, attachment=b"PEM")
    opened = open_key(path, PASSPHRASE, KeyKind.NODE)
    assert opened.key.public == SecretKey(SEED).public
    assert opened.label.account == account
    assert opened.attachment == b"PEM"
    assert "PEM" not in repr(opened)
    assert SEED not in path.read_bytes()


def test_two_keys_never_share_a_seed(tmp_path: Path) -> None:
    labels = [create_key(tmp_path / f"{name}.key", PASSPHRASE, KeyKind.WALLET, name) for name in ("a", "b")]
    assert labels[0].public_key != labels[1].public_key


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_only_the_owner_may_read_the_file_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "CL01.key"
    before = os.umask(umask)
    try:
        create_key(path, PASSPHRASE, KeyKind.METER, "CL01")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_made_directory_is_the_owners_alone(tmp_path: Path) -> None:
    create_key(tmp_path / "keys" / "CL01.key", PASSPHRASE, KeyKind.METER, "CL01")
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700


def test_nothing_but_the_key_file_is_left_behind(tmp_path: Path) -> None:
    create_key(tmp_path / "CL01.key", PASSPHRASE, KeyKind.METER, "CL01")
    assert [path.name for path in tmp_path.iterdir()] == ["CL01.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o666])
def test_a_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "CL01.key"
    write_cheap_key(path)
    path.chmod(mode)
    with pytest.raises(KeyExposedError, match="chmod 600"):
        open_key(path, PASSPHRASE)


def test_a_key_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "CL01.key"
    content = write_cheap_key(path)
    with pytest.raises(KeyExistsError, match="never overwritten"):
        create_key(path, PASSPHRASE, KeyKind.METER, "CL01")
    assert path.read_bytes() == content


def test_a_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "CL01.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyExistsError):
        create_key(tmp_path / "CL01.key", PASSPHRASE, KeyKind.METER, "CL01")
    assert not (tmp_path / "elsewhere").exists()


def test_a_wrong_passphrase_is_refused(tmp_path: Path) -> None:
    write_cheap_key(tmp_path / "CL01.key")
    assert open_key(tmp_path / "CL01.key", PASSPHRASE).key.public == SecretKey(SEED).public
    with pytest.raises(KeyNotOpenedError, match="passphrase is wrong or the key file was altered"):
        open_key(tmp_path / "CL01.key", b"correct horsf")


def test_each_altered_byte_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "CL01.key"
    content = write_cheap_key(path)
    for place in range(len(content)):
        altered = bytearray(content)
        altered[place] ^= 0x01
        write_private(path, bytes(altered))
        with pytest.raises((KeyNotOpenedError, KeyFileInvalidError)) as raised:
            open_key(path, PASSPHRASE)
        assert "\n" not in str(raised.value)


def test_a_file_cut_at_any_byte_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "CL01.key"
    content = write_cheap_key(path)
    for size in range(len(content)):
        write_private(path, content[:size])
        with pytest.raises(KeyFileInvalidError) as raised:
            open_key(path, PASSPHRASE)
        assert str(path) in str(raised.value)
        assert "\n" not in str(raised.value)
    write_private(path, content)
    assert open_key(path, PASSPHRASE).key.public == SecretKey(SEED).public


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    write_cheap_key(tmp_path / "CL01.key")
    with pytest.raises(KeyOfOtherKindError, match="a meter key, where a wallet or node key is needed"):
        open_key(tmp_path / "CL01.key", PASSPHRASE, KeyKind.WALLET, KeyKind.NODE)


def test_a_label_of_another_key_than_the_sealed_one_is_refused(tmp_path: Path) -> None:
    other = SecretKey(bytes(32)).public
    label = KeyLabel(KeyKind.METER, "CL01", other, compute_account_id(other)).encode()
    write_cheap_key(tmp_path / "CL01.key", label)
    with pytest.raises(KeyFileInvalidError, match="not the one of its label"):
        open_key(tmp_path / "CL01.key", PASSPHRASE)


@pytest.mark.parametrize(
    "label",
    [
        "",
        "meter CL01",
        f"meter CL01 {'0' * 64} {'0' * 31}",
        f"meter CL01 {'0' * 62} {'0' * 32}",
        f"crown CL01 {'0' * 64} {'0' * 32}",
        f"meter CL/01 {'0' * 64} {'0' * 32}",
        f"meter CL01 {'A' * 64} {'0' * 32}",
        f"meter  CL01 {'0' * 64} {'0' * 32}",
    ],
)
def test_a_label_that_this_program_never_writes_is_refused(tmp_path: Path, label: str) -> None:
    write_cheap_key(tmp_path / "CL01.key", label or " ")
    with pytest.raises(KeyFileInvalidError, match="label"):
        read_key_label(tmp_path / "CL01.key")


@pytest.mark.parametrize("secret", [b"", b"\x90", encode(KeySecret(SEED[:31], b"")), SEED])
def test_a_sealed_content_that_is_no_key_is_refused(tmp_path: Path, secret: bytes) -> None:
    write_cheap_key(tmp_path / "CL01.key", secret=secret)
    with pytest.raises(KeyFileInvalidError):
        open_key(tmp_path / "CL01.key", PASSPHRASE)


def test_a_key_of_another_user_is_refused_to_all_but_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root looks after the homes of service users; whoever else finds such a key did not put it there."""
    path = tmp_path / "CL01.key"
    write_cheap_key(path)
    os.chown(path, 4321 if os.geteuid() == 0 else os.geteuid(), -1)
    label = read_key_label(path)
    for user in (0, path.stat().st_uid):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        assert read_key_label(path) == label
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(KeyExposedError, match="belongs to another user"):
        read_key_label(path)


def test_a_missing_file_a_directory_a_pipe_and_a_large_file_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(KeyNotFoundError, match="no such key file"):
        open_key(tmp_path / "none.key", PASSPHRASE)
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(KeyFileInvalidError, match="not a regular file"):
        open_key(tmp_path / "pipe", PASSPHRASE)
    with pytest.raises(KeystoreError):
        open_key(tmp_path, PASSPHRASE)
    write_private(tmp_path / "large", bytes(KEY_FILE_BYTES_MAX + 1))
    with pytest.raises(KeyFileInvalidError, match="longer than"):
        open_key(tmp_path / "large", PASSPHRASE)


@pytest.mark.parametrize("name", ["", "a/b", "../up", "a b", "x" * 33, "ü"])
def test_a_name_that_cannot_be_typed_anywhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(KeyUnusableError, match="key name"):
        create_key(tmp_path / "new.key", PASSPHRASE, KeyKind.METER, name)
    assert list(tmp_path.iterdir()) == []


def test_a_seed_account_or_attachment_of_a_wrong_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "new.key"
    with pytest.raises(KeyUnusableError, match="seed"):
        create_key(path, PASSPHRASE, KeyKind.METER, "a", seed=SEED[:31])
    with pytest.raises(KeyUnusableError, match="account"):
        create_key(path, PASSPHRASE, KeyKind.METER, "a", account=AccountId(bytes(15)))
    with pytest.raises(KeyUnusableError, match="attachment"):
        create_key(path, PASSPHRASE, KeyKind.NODE, "a", attachment=bytes(ATTACHMENT_BYTES_MAX + 1))
    assert not path.exists()


def test_a_place_that_cannot_be_written_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    with pytest.raises(KeyFileFailedError, match="not written"):
        create_key(tmp_path / "file" / "new.key", PASSPHRASE, KeyKind.METER, "a")


def test_listing_shows_labels_and_what_is_wrong_with_the_others(tmp_path: Path) -> None:
    write_cheap_key(tmp_path / "b.key")
    write_private(tmp_path / "a.key", b"nonsense")
    write_cheap_key(tmp_path / "c.key")
    (tmp_path / "c.key").chmod(0o644)
    (tmp_path / "notes.txt").write_text("not a key")
    listed = list_keys(tmp_path)
    assert [entry.path.name for entry in listed] == ["a.key", "b.key", "c.key"]
    assert [entry.label is not None for entry in listed] == [False, True, False]
    assert [entry.problem is None for entry in listed] == [False, True, False]


def test_a_missing_directory_has_no_keys(tmp_path: Path) -> None:
    assert list_keys(tmp_path / "none") == []
