"""Key files: a sealed secret on disk that only its owner reads, created once and never overwritten.

The file is what ``primitives.sealing`` makes. Its label is public and authenticated on opening: kind, name, public key
and account id, so that a person can see whose key a file holds without the passphrase.
"""

import contextlib
import os
import secrets
import stat
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from primitives.encoding import DecodeError, Struct, decode, encode
from primitives.hashing import compute_account_id
from primitives.ids import ACCOUNT_BYTES, PUBLIC_KEY_BYTES, AccountId
from primitives.sealing import NONCE_BYTES, SALT_BYTES, SealError, open_sealed, read_label, seal
from primitives.signing import SecretKey
from vm.genesis import is_name_sound

KEY_SUFFIX = ".key"
SEED_BYTES = 32
ATTACHMENT_BYTES_MAX = 8 * 1024
"""A PEM key of RSA-4096 has 3.2 kB, the P-256 key of a validator 0.3 kB."""
KEY_FILE_BYTES_MAX = 16 * 1024
"""The largest attachment with label and seal; a longer file was named by mistake."""
KEYS_LISTED_MAX = 10_000
"""More than any community has meters; a directory with more files was named by mistake."""

OWNER_ONLY_FILE = 0o600
OWNER_ONLY_DIRECTORY = 0o700
OTHERS = 0o077


class KeyKind(StrEnum):
    """What a key is used for. A node's key carries its TLS key as the attachment."""

    VALIDATOR = "validator"
    WALLET = "wallet"
    METER = "meter"
    NODE = "node"


@dataclass(frozen=True, slots=True)
class KeyLabel:
    """What everybody may know of a key."""

    kind: KeyKind
    name: str
    public_key: bytes
    account: AccountId

    def encode(self) -> str:
        """Return the label as it stands in the file."""
        return f"{self.kind} {self.name} {self.public_key.hex()} {self.account.hex()}"


@dataclass(frozen=True, slots=True)
class OpenedKey:
    """A key ready to sign; ``attachment`` is the TLS key (PEM) of a node, else empty."""

    label: KeyLabel
    key: SecretKey
    attachment: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class ListedKey:
    """A key file of a directory: its label, or the one-line reason why it has none that can be read."""

    path: Path
    label: KeyLabel | None
    problem: str | None


class KeystoreError(Exception):
    """A key file was refused; the message is one line that names the file and what to do."""


class KeyExistsError(KeystoreError):
    """A file of this name is there already: key files are never overwritten."""


class KeyNotFoundError(KeystoreError):
    """There is no such key file."""


class KeyExposedError(KeystoreError):
    """The file or its owner is wrong: others than the owner may read or change the key."""


class KeyFileInvalidError(KeystoreError):
    """The file is no key file of this program."""


class KeyNotOpenedError(KeystoreError):
    """The passphrase is wrong, or the file was altered; the two cannot be told apart."""


class KeyOfOtherKindError(KeystoreError):
    """The key serves another purpose than the one it was named for."""


class KeyUnusableError(KeystoreError):
    """What should become a key file cannot: a name, seed or attachment out of bounds."""


class KeyFileFailedError(KeystoreError):
    """The file system refused (full, read-only, not permitted)."""


class KeySecret(Struct, frozen=True):
    """What is sealed."""

    seed: bytes
    attachment: bytes


def create_key(
    path: Path,
    passphrase: bytes,
    kind: KeyKind,
    name: str,
    *,
    seed: bytes | None = None,
    account: AccountId | None = None,
    attachment: bytes = b"",
) -> KeyLabel:
    """Make a key file that only its owner can read, whole or not at all, and return its label.

    ``seed`` is fresh randomness unless given, ``account`` the id that belongs to the public key. Missing directories
    are made, for the owner only.

    Raises:
        KeyUnusableError, KeyExistsError, KeyFileFailedError: nothing was created.

    """
    if not is_name_sound(name):
        raise KeyUnusableError(f"key name {name!r}: use 1 to 32 letters, digits, dots, dashes, underscores")
    if seed is not None and len(seed) != SEED_BYTES:
        raise KeyUnusableError(f"a seed has {SEED_BYTES} bytes, this one {len(seed)}")
    if account is not None and len(account) != ACCOUNT_BYTES:
        raise KeyUnusableError(f"an account id has {ACCOUNT_BYTES} bytes, this one {len(account)}")
    if len(attachment) > ATTACHMENT_BYTES_MAX:
        raise KeyUnusableError(f"the attachment of {name} has more than {ATTACHMENT_BYTES_MAX} bytes")
    if os.path.lexists(path):
        raise _build_exists(path)
    chosen = secrets.token_bytes(SEED_BYTES) if seed is None else seed
    public_key = SecretKey(chosen).public
    label = KeyLabel(kind, name, public_key, account or compute_account_id(public_key))
    sealed = seal(
        passphrase,
        label.encode(),
        encode(KeySecret(chosen, attachment)),
        secrets.token_bytes(SALT_BYTES),
        secrets.token_bytes(NONCE_BYTES),
    )
    write_once(path, sealed)
    return label


def open_key(path: Path, passphrase: bytes, *kinds: KeyKind) -> OpenedKey:
    """Return the key of a file; with ``kinds``, only a key of one of them.

    Raises:
        KeystoreError: not found, exposed, invalid, not opened, of another kind, or the file system failed.

    """
    content = _read(path)
    label = parse_key_label(path, content)
    if kinds and label.kind not in kinds:
        wanted = " or ".join(kinds)
        raise KeyOfOtherKindError(
            f"{path}: a {label.kind} key, where a {wanted} key is needed; name another file"
        )
    try:
        secret = decode(open_sealed(passphrase, content), KeySecret)
    except SealError as error:
        raise KeyNotOpenedError(f"{path}: {error}; try again or restore a backup of the file") from None
    except DecodeError:
        raise KeyFileInvalidError(f"{path}: sealed, but holds no key of this program") from None
    if len(secret.seed) != SEED_BYTES or SecretKey(secret.seed).public != label.public_key:
        raise KeyFileInvalidError(f"{path}: the sealed key is not the one of its label")
    return OpenedKey(label, SecretKey(secret.seed), secret.attachment)


def read_key_label(path: Path) -> KeyLabel:
    """Return what the label of a key file says; without the passphrase nothing vouches for it.

    Raises:
        KeyNotFoundError, KeyExposedError, KeyFileInvalidError, KeyFileFailedError.

    """
    return read_key_file(path)[0]


def read_key_file(path: Path) -> tuple[KeyLabel, bytes]:
    """Return the label of a key file and its bytes, sealed as they are.

    Raises:
        KeyNotFoundError, KeyExposedError, KeyFileInvalidError, KeyFileFailedError.

    """
    content = _read(path)
    return parse_key_label(path, content), content


def list_keys(directory: Path) -> list[ListedKey]:
    """Return the key files (``*.key``) of a directory by name; a missing directory has none.

    Raises:
        KeyFileFailedError: the directory cannot be read, or holds too many files.

    """
    try:
        paths = sorted(path for path in directory.iterdir() if path.suffix == KEY_SUFFIX)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise KeyFileFailedError(f"{directory}: {error.strerror}") from None
    if len(paths) > KEYS_LISTED_MAX:
        raise KeyFileFailedError(f"{directory}: more than {KEYS_LISTED_MAX} key files; move some elsewhere")
    return [_list_key(path) for path in paths]


def _list_key(path: Path) -> ListedKey:
    try:
        return ListedKey(path, read_key_label(path), None)
    except KeystoreError as error:
        return ListedKey(path, None, str(error))


def parse_key_label(path: Path, content: bytes) -> KeyLabel:
    """Return the label in the bytes of a key file; ``path`` is named where they are refused.

    Raises:
        KeyFileInvalidError: the bytes are no key file of this program.

    """
    try:
        text = read_label(content)
    except SealError as error:
        raise KeyFileInvalidError(f"{path}: {error}") from None
    label = _decode_label(text)
    if label is None:
        raise KeyFileInvalidError(f"{path}: the label of the key file is not one of this program")
    return label


def _decode_label(text: str) -> KeyLabel | None:
    fields = text.split(" ")
    if len(fields) != 4:  # noqa: PLR2004  # kind, name, public key, account
        return None
    kind, name, public_hex, account_hex = fields
    try:
        public_key, account = bytes.fromhex(public_hex), bytes.fromhex(account_hex)
    except ValueError:
        return None
    if kind not in set(KeyKind) or not is_name_sound(name):
        return None
    if len(public_key) != PUBLIC_KEY_BYTES or len(account) != ACCOUNT_BYTES:
        return None
    label = KeyLabel(KeyKind(kind), name, public_key, AccountId(account))
    return label if label.encode() == text else None


def _read(path: Path) -> bytes:
    """Read a key file through one descriptor, so that what was checked is what is read."""
    try:
        # Non-blocking: a pipe of this name must not hold the program.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise KeyNotFoundError(f"{path}: no such key file; check the name, or create the key") from None
    except OSError as error:
        raise KeyFileFailedError(f"{path}: {error.strerror}") from None
    try:
        _check_owner_only(path, os.fstat(descriptor))
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(KEY_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise KeyFileFailedError(f"{path}: {error.strerror}") from None
    finally:
        os.close(descriptor)
    if len(content) > KEY_FILE_BYTES_MAX:
        raise KeyFileInvalidError(f"{path}: longer than {KEY_FILE_BYTES_MAX} bytes, so no key file")
    return content


def _check_owner_only(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyFileInvalidError(f"{path}: not a regular file")
    if status.st_mode & OTHERS:
        raise KeyExposedError(f"{path}: others than its owner may use this file; run: chmod 600 {path}")
    if os.geteuid() not in {0, status.st_uid} and status.st_uid != 0:  # root works in the homes of others
        raise KeyExposedError(f"{path}: belongs to another user; run: chown $USER {path}")


def write_once(path: Path, content: bytes) -> None:
    """Write a file for its owner only; its name appears with the whole content, and never replaces another.

    Raises:
        KeyExistsError, KeyFileFailedError: nothing was created.

    """
    if not path.name:  # a variable of the shell that is empty, most likely
        raise _build_exists(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    try:
        path.parent.mkdir(mode=OWNER_ONLY_DIRECTORY, parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, OWNER_ONLY_FILE)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, OWNER_ONLY_FILE)  # whatever the umask takes away is given back
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            _link(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
        _sync_directory(path.parent)
    except OSError as error:
        raise KeyFileFailedError(f"{path}: the key file was not written: {error.strerror}") from None


def _link(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise _build_exists(path) from None


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _build_exists(path: Path) -> KeyExistsError:
    return KeyExistsError(
        f"{path}: there is a file already and keys are never overwritten; choose another name"
    )
