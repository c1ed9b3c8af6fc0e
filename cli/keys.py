"""Opening key files for a command: whose key signs, and how a refusal ends."""

from pathlib import Path

from cli.client_settings import ClientHome
from cli.failure import CliError, ExitCode
from cli.passphrase import read_passphrase
from meter.keystore import (
    KEY_SUFFIX,
    KeyExposedError,
    KeyKind,
    KeyNotFoundError,
    KeyNotOpenedError,
    KeyOfOtherKindError,
    KeystoreError,
    OpenedKey,
    open_key,
    read_key_label,
)

_CODES: tuple[tuple[type[KeystoreError], ExitCode], ...] = (
    (KeyNotFoundError, ExitCode.NOT_FOUND),
    (KeyExposedError, ExitCode.NOT_ALLOWED),
    (KeyNotOpenedError, ExitCode.NOT_ALLOWED),
    (KeyOfOtherKindError, ExitCode.NOT_ALLOWED),
)


def build_key_error(error: KeystoreError) -> CliError:
    """Return the end of a command whose key file was refused."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return CliError(str(error), code)
    return CliError(str(error))


def open_utility_key(home: ClientHome, passphrase_file: Path | None) -> OpenedKey:
    """Return the utility's key of this home.

    Raises:
        CliError: there is none, or it does not open.

    """
    return _open(home.utility_key, passphrase_file, KeyKind.WALLET)


def open_wallet_key(home: ClientHome, name: str, passphrase_file: Path | None, *kinds: KeyKind) -> OpenedKey:
    """Return a key of this home by its name.

    Raises:
        CliError: there is none, it serves another purpose, or it does not open.

    """
    return _open(home.wallets / f"{name}{KEY_SUFFIX}", passphrase_file, *kinds)


def _open(path: Path, passphrase_file: Path | None, *kinds: KeyKind) -> OpenedKey:
    try:
        label = read_key_label(path)  # a missing file is told before a passphrase is asked for
        passphrase = read_passphrase(passphrase_file, of_what=f"the key {label.name}")
        return open_key(path, passphrase, *kinds)
    except KeystoreError as error:
        raise build_key_error(error) from None
