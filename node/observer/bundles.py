"""The bundle of an observer: what a validator must have of it to serve it. Nothing in it is secret.

HOME/observers/*.bundle of a validator is the list of those whom its operator lets in.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from p2p.tls import is_certificate_sound
from primitives.encoding import DecodeError, Struct, decode, encode
from primitives.ids import Digest
from primitives.signing import is_public_key_sound
from vm.contracts.validators import CERTIFICATE_BYTES_MAX
from vm.genesis import is_name_sound

BUNDLE_MARK = b"gridbft observer bundle 1\n"
BUNDLE_BYTES_MAX = 4096
"""A certificate of the largest size and 150 bytes more."""

DIRECTORY_NAME = "observers"
SUFFIX = ".bundle"

OBSERVERS_MAX = 8
"""Of one validator. Each may hold an answer of 2 MB while it is read slowly; more households ask an observer."""

FILES_LOOKED_AT_MAX = 64
"""Of the directory: who lays more there made a mistake, and a start must not read them all."""


class Observer(Struct, frozen=True):
    """An observer: its name, the key of its links, its TLS certificate (DER)."""

    name: str
    public_key: bytes
    tls_certificate: bytes


class _Content(Struct, frozen=True):
    genesis_hash: bytes
    observer: Observer


class BundleError(Exception):
    """A file is no bundle that this network's validators could let in; one line says why."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """Whom a directory lets in, in the order of file names, and why which other file does not."""

    observers: tuple[Observer, ...]
    refused: tuple[tuple[str, str], ...]


def encode_bundle(genesis_hash: Digest, observer: Observer) -> bytes:
    """Return the bytes of a bundle for the network of ``genesis_hash``."""
    return BUNDLE_MARK + encode(_Content(genesis_hash, observer))


def decode_bundle(data: bytes, genesis_hash: Digest) -> Observer:
    """Return the observer of these bytes.

    Raises:
        BundleError: not a bundle, of another network, or nothing that a link could be made to.

    """
    if len(data) > BUNDLE_BYTES_MAX or not data.startswith(BUNDLE_MARK):
        raise BundleError("no observer bundle; `gridbft network join --role observer` writes one")
    try:
        content = decode(data[len(BUNDLE_MARK) :], _Content)
    except DecodeError as error:
        raise BundleError(f"a damaged observer bundle: {error}; ask for it again") from None
    if content.genesis_hash != genesis_hash:
        raise BundleError("a bundle for another network")
    problem = _find_problem(content.observer)
    if problem is not None:
        raise BundleError(f"a bundle that no observer can have: {problem}; ask for it again")
    return content.observer


def read_bundle(path: Path, genesis_hash: Digest) -> Observer:
    """Return the observer of a file.

    Raises:
        BundleError: unreadable, or as ``decode_bundle``.

    """
    try:
        with path.open("rb") as file:
            data = file.read(BUNDLE_BYTES_MAX + 1)
    except OSError as error:
        raise BundleError(f"{error.strerror}; ask the observer's operator for its bundle") from None
    return decode_bundle(data, genesis_hash)


def read_admitted(home: Path, genesis_hash: Digest) -> Admitted:
    """Return whom the operator of a validator's home lets in: the first OBSERVERS_MAX sound bundles.

    Raises:
        OSError: the directory cannot be read; that there is none lets nobody in.

    """
    observers: list[Observer] = []
    refused: list[tuple[str, str]] = []
    for path in list_bundles(home):
        try:
            observer = read_bundle(path, genesis_hash)
        except BundleError as error:
            refused.append((path.name, str(error)))
            continue
        reason = _find_conflict(observer, observers)
        if reason is None:
            observers.append(observer)
        else:
            refused.append((path.name, reason))
    return Admitted(tuple(observers), tuple(refused))


def list_bundles(home: Path) -> list[Path]:
    """Return the bundle files of a validator's home in order, at most FILES_LOOKED_AT_MAX.

    Raises:
        OSError: the directory cannot be read.

    """
    return sorted(path for path, _ in _scan(home))[:FILES_LOOKED_AT_MAX]


def fingerprint_bundles(home: Path) -> tuple[tuple[str, int, int], ...]:
    """Return what changes when a bundle is laid there, removed or overwritten: it costs no reading.

    Raises:
        OSError: the directory cannot be read.

    """
    return tuple(sorted((path.name, found.st_mtime_ns, found.st_size) for path, found in _scan(home)))


def _scan(home: Path) -> Iterator[tuple[Path, os.stat_result]]:
    try:
        entries = os.scandir(home / DIRECTORY_NAME)
    except FileNotFoundError:
        return
    with entries:
        for entry in entries:
            if entry.name.endswith(SUFFIX) and not entry.name.startswith(".") and entry.is_file():
                yield Path(entry.path), entry.stat()


def _find_conflict(observer: Observer, others: list[Observer]) -> str | None:
    if any(observer.name == other.name for other in others):
        return f"there is another observer {observer.name}"
    if any(
        observer.public_key == other.public_key or observer.tls_certificate == other.tls_certificate
        for other in others
    ):
        return "another observer has the same key"
    if len(others) >= OBSERVERS_MAX:
        return (
            f"a validator serves at most {OBSERVERS_MAX} observers; the others may follow another validator"
        )
    return None


def _find_problem(observer: Observer) -> str | None:
    if not is_name_sound(observer.name) or observer.name.startswith("."):
        return f"the name {observer.name!r}"
    if not is_public_key_sound(observer.public_key):
        return "its key is no sound Ed25519 key"
    certificate = observer.tls_certificate
    if len(certificate) > CERTIFICATE_BYTES_MAX or not is_certificate_sound(certificate):
        return "its TLS certificate is none"
    return None
