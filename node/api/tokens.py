"""Tokens for what is not public: made for a reader, kept as hashes in a file of the node's home.

A token is 32 random bytes in hexadecimal, so that its plain hash cannot be guessed back. The file may change while the
node runs: it is read again when its time of change is another one.
"""

import fcntl
import hmac
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path

import msgspec

from node.errors import HomeError
from node.ownership import give_to_owner
from vm.genesis import is_name_sound

FILE_NAME = "api_tokens.json"
TOKEN_BYTES = 32
TOKENS_MAX = 1_000
"""Readers of one node: each presented token is compared with all of them, 0.3 ms."""

FILE_BYTES_MAX = 256 * 1024


class StoredToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token as the node keeps it: whose it is, the hash, and when it was made."""

    name: str
    hash: str
    made_ms: int


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tokens: list[StoredToken]


class Tokens:
    """The tokens of a home, as they stand in its file now."""

    def __init__(self, home: Path) -> None:
        self._path = home / FILE_NAME
        self._hashes: list[bytes] = []
        self._changed_ns = -1

    def is_known(self, token: str) -> bool:
        """Tell whether a token is one of these; in the same time whichever it is, or none."""
        self._refresh()
        shown = hash_token(token)
        found = False
        for known in self._hashes:
            found |= hmac.compare_digest(known, shown)
        return found

    def _refresh(self) -> None:
        """Take the file's tokens over; one that cannot be read holds none."""
        try:
            changed_ns = self._path.stat().st_mtime_ns
        except OSError:
            self._hashes, self._changed_ns = [], -1
            return
        if changed_ns != self._changed_ns:
            self._hashes = []
            with suppress(HomeError):
                self._hashes = [bytes.fromhex(each.hash) for each in read_tokens(self._path.parent)]
            self._changed_ns = changed_ns


def make_token() -> str:
    """Return a token that nobody can guess."""
    return secrets.token_hex(TOKEN_BYTES)


def hash_token(token: str) -> bytes:
    """Return what is kept of a token."""
    return blake2b(token.encode(), digest_size=TOKEN_BYTES, person=b"gridbft/token").digest()


def read_tokens(home: Path) -> list[StoredToken]:
    """Return the tokens of a home; without a file there are none.

    Raises:
        HomeError: the file is damaged, or cannot be read.

    """
    path = home / FILE_NAME
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise HomeError(f"{path}: {error.strerror}; the node's user must be able to read it") from None
    try:
        found = msgspec.json.decode(content, type=_File).tokens
        hashes = [bytes.fromhex(each.hash) for each in found]
    except (msgspec.DecodeError, ValueError):
        raise HomeError(f"{path}: damaged; delete it and make the tokens again") from None
    if any(len(each) != TOKEN_BYTES for each in hashes) or len(found) > TOKENS_MAX:
        raise HomeError(f"{path}: damaged; delete it and make the tokens again")
    return found


def add_token(home: Path, name: str, now_ms: int, token: str | None = None) -> str:
    """Make a token for a reader, and keep its hash; return the token, which is told nowhere else.

    Raises:
        HomeError: the name is unsound or taken, there are too many, or the disk refuses.

    """
    if not is_name_sound(name):
        raise HomeError(f"{name!r}: a reader's name has 1 to 32 letters, digits, dots, dashes or underscores")
    with _alone(home):
        tokens = read_tokens(home)
        if any(each.name == name for each in tokens):
            raise HomeError(f"{name} has a token already; revoke it first")
        if len(tokens) >= TOKENS_MAX:
            raise HomeError(f"there are {TOKENS_MAX} tokens, and no more are kept; revoke some")
        made = token or make_token()
        _write_tokens(home, [*tokens, StoredToken(name, hash_token(made).hex(), now_ms)])
    return made


def revoke_token(home: Path, name: str) -> bool:
    """Forget the token of a reader; tell whether there was one.

    Raises:
        HomeError: the file is damaged, or the disk refuses.

    """
    with _alone(home):
        tokens = read_tokens(home)
        kept = [each for each in tokens if each.name != name]
        if len(kept) < len(tokens):
            _write_tokens(home, kept)
    return len(kept) < len(tokens)


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Let nobody else change the file between its reading and its writing: a made token is kept, a revoked one gone.

    Raises:
        HomeError: the home cannot be opened.

    """
    try:
        descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise HomeError(f"{home}: {error.strerror}; name the node's home") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write_tokens(home: Path, tokens: list[StoredToken]) -> None:
    path = home / FILE_NAME
    draft = path.with_suffix(".new")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(_File(tokens)) + b"\n")
            give_to_owner(file.fileno(), home)  # before the node, which runs, looks at it
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise HomeError(f"{path}: {error.strerror}; the node's user must be able to write its home") from None
