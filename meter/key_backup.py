"""All key files of a home in one sealed file: put away, compared with the home, put back where they are missing.

The keys stay sealed under their own passphrases; the backup is sealed once more. Nothing else of a home is ever in it,
above all not the journal: an older journal is worse than none.
"""

import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

from meter.keystore import (
    KEY_SUFFIX,
    KEYS_LISTED_MAX,
    KeyExistsError,
    KeyFileFailedError,
    KeyFileInvalidError,
    KeyLabel,
    KeyNotFoundError,
    KeyNotOpenedError,
    parse_key_label,
    read_key_file,
    write_once,
)
from primitives.encoding import DecodeError, Struct, decode, encode
from primitives.sealing import NONCE_BYTES, SALT_BYTES, SealError, open_sealed, read_label, seal
from vm.genesis import is_name_sound

BACKUP_LABEL = "gridbft/key-backup/1"
BACKUP_BYTES_MAX = 16 * 1024 * 1024
"""Ten thousand keys of meters take 3 MB; a longer file was named by mistake."""


DISKS_OWN_FOLDER = "lost+found"
"""Of root alone, where a home is a disk of its own."""


class StoredKey(Struct, frozen=True):
    """A key file as it lies in the home: its path from there, and its bytes."""

    path: str
    content: bytes


class KeyBackup(Struct, frozen=True):
    """What is sealed: key files in the order of their paths."""

    keys: tuple[StoredKey, ...]


class Standing(StrEnum):
    """How a key of a backup and a home compare."""

    SAME = "same"
    DIFFERS = "differs"
    NOT_IN_BACKUP = "not in the backup"
    NOT_IN_HOME = "not in the home"


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A key file of a home or a backup: its path from the home, what everybody may know of it, and its bytes."""

    path: str
    label: KeyLabel
    content: bytes


@dataclass(frozen=True, slots=True)
class ComparedKey:
    """A key, and how backup and home compare in it."""

    path: str
    label: KeyLabel
    standing: Standing


def collect_keys(home: Path) -> list[HeldKey]:
    """Return the key files of a home's folders (``keys``, ``wallets``, ``utility`` …) in the order of their paths.

    Raises:
        KeystoreError: there is none, one is exposed or damaged, or the file system failed.

    """
    try:
        paths = sorted(_find_key_files(home))
    except FileNotFoundError:
        paths = []
    except OSError as error:
        raise KeyFileFailedError(
            f"{error.filename or home}: {error.strerror}; run it as the home's owner"
        ) from None
    if not paths:
        raise KeyNotFoundError(f"{home} holds no keys; check the home directory")
    if len(paths) > KEYS_LISTED_MAX:
        raise KeyFileFailedError(f"{home}: more than {KEYS_LISTED_MAX} key files; move some elsewhere")
    found = []
    for path in paths:
        name = path.relative_to(home).as_posix()
        if not _is_path_sound(name):
            raise KeyFileInvalidError(f"{path}: letters, digits, dots, dashes, underscores only; rename it")
        found.append(HeldKey(name, *read_key_file(path)))
    return found


def _find_key_files(home: Path) -> Iterator[Path]:
    """Yield the key files of a home's folders.

    Raises:
        OSError: a folder cannot be read; a glob would pass over it, and its keys would be in no backup.

    """
    for folder in home.iterdir():
        if folder.is_dir() and folder.name != DISKS_OWN_FOLDER:
            yield from (
                path
                for path in folder.iterdir()
                if path.suffix == KEY_SUFFIX and not path.name.startswith(".")
            )


def write_backup(path: Path, passphrase: bytes, keys: list[HeldKey]) -> None:
    """Seal key files into a new file that only its owner can read.

    Raises:
        KeystoreError: there is such a file, they are too many, or the file system failed; nothing was created.

    """
    content = encode(KeyBackup(tuple(StoredKey(each.path, each.content) for each in keys)))
    if len(content) > BACKUP_BYTES_MAX:
        raise KeyFileFailedError(f"{path}: the keys take more than {BACKUP_BYTES_MAX} bytes; keep them apart")
    salt, nonce = secrets.token_bytes(SALT_BYTES), secrets.token_bytes(NONCE_BYTES)
    write_once(path, seal(passphrase, BACKUP_LABEL, content, salt, nonce))


def check_backup(path: Path) -> bytes:
    """Return the bytes of a file that says to be a backup.

    Raises:
        KeystoreError: there is none, it is no backup, or the file system failed.

    """
    try:
        with path.open("rb") as file:
            data = file.read(2 * BACKUP_BYTES_MAX)
    except FileNotFoundError:
        raise KeyNotFoundError(f"{path}: no such file; check the name") from None
    except OSError as error:
        raise KeyFileFailedError(f"{path}: {error.strerror}") from None
    try:
        label = read_label(data)
    except SealError:
        label = ""
    if label != BACKUP_LABEL:
        raise KeyFileInvalidError(f"{path}: no backup of keys of this version")
    return data


def open_backup(path: Path, data: bytes, passphrase: bytes) -> list[HeldKey]:
    """Return the key files of a backup; nothing is written.

    Raises:
        KeyNotOpenedError: another passphrase, or altered.
        KeyFileInvalidError: it holds what no backup holds.

    """
    try:
        stored = decode(open_sealed(passphrase, data), KeyBackup).keys
    except SealError as error:
        raise KeyNotOpenedError(f"{path}: {error}; try again or take another copy of the backup") from None
    except DecodeError:
        raise KeyFileInvalidError(f"{path}: sealed, but holds no keys of this version") from None
    names = [each.path for each in stored]
    if sorted(set(names)) != names or not all(map(_is_path_sound, names)):
        raise KeyFileInvalidError(f"{path}: the paths in it are not those of keys of a home")
    return [
        HeldKey(each.path, parse_key_label(path / each.path, each.content), each.content) for each in stored
    ]


def compare_keys(backed_up: list[HeldKey], at_home: list[HeldKey]) -> list[ComparedKey]:
    """Return all keys of both in the order of their paths, with how they compare."""
    kept = {each.path: each for each in backed_up}
    held = {each.path: each for each in at_home}
    compared = []
    for path in sorted(kept.keys() | held.keys()):
        if path not in kept:
            standing = Standing.NOT_IN_BACKUP
        elif path not in held:
            standing = Standing.NOT_IN_HOME
        else:
            standing = Standing.SAME if kept[path].content == held[path].content else Standing.DIFFERS
        compared.append(ComparedKey(path, (held.get(path) or kept[path]).label, standing))
    return compared


def restore_keys(home: Path, keys: list[HeldKey]) -> list[HeldKey]:
    """Write the key files that a home does not have, and return them; those that are there are left as they are.

    Raises:
        KeyExistsError: another file lies in the place of one; nothing was written.
        KeystoreError: the file system failed; run it again, what was written stays.

    """
    missing = []
    for each in keys:
        path = home / each.path
        if not os.path.lexists(path):
            missing.append(each)
        elif read_key_file(path)[1] != each.content:
            raise KeyExistsError(f"{path}: another key is there; move it away first, nothing was written")
    for each in missing:
        write_once(home / each.path, each.content)
    return missing


def _is_path_sound(text: str) -> bool:
    """Tell whether a path is FOLDER/NAME.key, of names that can be typed anywhere and lead nowhere else."""
    folder, _, name = text.partition("/")
    is_plain = PurePosixPath(text).suffix == KEY_SUFFIX and is_name_sound(name.removesuffix(KEY_SUFFIX))
    return is_plain and is_name_sound(folder) and not folder.startswith(".") and not name.startswith(".")
