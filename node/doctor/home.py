"""The home: who owns it, who else may read its keys, its genesis, and the certificates of the validators."""

import os
import stat
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from cryptography import x509

from node.doctor.findings import Finding, Level
from node.home import Constitution
from node.redaction import is_secret_name
from primitives.header import Validator

OTHERS = 0o077
KEYS_DIRECTORY = "keys"
NODE_KEY = "keys/node.key"
ENTRIES_MAX = 100_000
"""Files looked at below a home: LevelDB's tables of 100 GB."""

SHOWN_MAX = 5
SOON = timedelta(days=60)
"""A certificate is replaced by a ballot of the others, who are asked in time."""


def check_permissions(home: Path) -> Finding:
    """Check that nobody but the owner may use the keys, the admin socket, files of tokens or the home."""
    keys = list((home / KEYS_DIRECTORY).rglob("*")) if (home / KEYS_DIRECTORY).is_dir() else []
    named = [path for path in home.iterdir() if is_secret_name(path.name)]
    secret = [home / KEYS_DIRECTORY, home / "admin.sock", *keys, *named]
    open_secrets = [path for path in secret if path.exists() and _is_open_to_others(path)]
    if open_secrets:
        shown = " ".join(str(path) for path in open_secrets[:SHOWN_MAX])
        return Finding(
            "permissions",
            Level.PROBLEM,
            f"others than its owner may use {open_secrets[0]}",
            f"`chmod go-rwx {shown}`; if others did read a key, rotate it (`gridbft network rotate`)",
            {"open": [str(path) for path in open_secrets[:SHOWN_MAX]], "count": len(open_secrets)},
        )
    if _is_open_to_others(home):
        return Finding(
            "permissions",
            Level.WARNING,
            f"others than its owner may look into {home}",
            f"`chmod 0700 {home}`",
            {"mode": f"{stat.S_IMODE(home.stat().st_mode):04o}"},
        )
    return Finding("permissions", Level.OK, "nobody but its owner may use the home and its keys")


def check_owner(home: Path) -> Finding:
    """Check that all of the home belongs to one user: a start as root leaves files that the service cannot open."""
    owner = home.stat().st_uid
    strangers = [path for path in islice(home.rglob("*"), ENTRIES_MAX) if path.lstat().st_uid != owner]
    measures = {"owner_uid": owner, "own_uid": os.geteuid(), "others": len(strangers)}
    if strangers:
        return Finding(
            "owner",
            Level.PROBLEM,
            f"{strangers[0]} and {len(strangers) - 1} more belong to another user than the home",
            f"with the node stopped: `chown -R --reference={home} {home}`",
            measures,
        )
    if os.geteuid() not in {owner, 0}:
        return Finding(
            "owner",
            Level.WARNING,
            f"the home belongs to user {owner}, and these checks run as user {os.geteuid()}",
            "run them as the node's user: what it may not read was not looked at",
            measures,
        )
    return Finding("owner", Level.OK, f"all of the home belongs to user {owner}", "", measures)


def check_key_file(home: Path) -> Finding:
    """Check that the key is there; only a passphrase opens it, and it is not asked for."""
    path = home / NODE_KEY
    if not path.is_file():
        return Finding(
            "key",
            Level.PROBLEM,
            f"{path} is missing",
            "bring it back from its backup; without one the others replace the key (`gridbft validators replace`)",
        )
    if path.stat().st_size == 0:
        return Finding("key", Level.PROBLEM, f"{path} is empty", "bring it back from its backup")
    return Finding("key", Level.OK, f"{NODE_KEY} is there")


def check_genesis(constitution: Constitution | None, reason: str) -> Finding:
    """Check that the genesis is there and one of this version; ``reason`` says why it is not."""
    if constitution is None:
        return Finding(
            "genesis",
            Level.PROBLEM,
            reason,
            "copy genesis.bin from another validator and compare its hash (`gridbft network verify-genesis`)",
        )
    return Finding(
        "genesis",
        Level.OK,
        f"network {constitution.genesis.name}, genesis {constitution.genesis_hash.hex()}",
        "",
        {"name": constitution.genesis.name, "genesis_hash": constitution.genesis_hash.hex()},
    )


def check_certificates(validators: Sequence[Validator], now: datetime) -> Finding:
    """Check the dates of the validators' pinned certificates: TLS refuses one before its first and after its last."""
    early, late, soon, broken = [], [], [], []
    for validator in validators:
        dates = _read_dates(validator.tls_certificate)
        if dates is None:
            broken.append(validator.name)
        elif now < dates[0]:
            early.append(f"{validator.name} (from {dates[0]:%Y-%m-%d})")
        elif now > dates[1]:
            late.append(f"{validator.name} (until {dates[1]:%Y-%m-%d})")
        elif now + SOON > dates[1]:
            soon.append(f"{validator.name} (until {dates[1]:%Y-%m-%d})")
    replace = "its operator runs `gridbft network rotate`, and the others `gridbft validators replace`"
    for names, level, said, advice in (
        (broken, Level.PROBLEM, "no certificate can be read of", replace),
        (late, Level.PROBLEM, "the certificate has expired of", replace),
        (early, Level.PROBLEM, "the certificate is not valid yet by this clock of", "set the clock"),
        (soon, Level.WARNING, "the certificate expires soon of", replace),
    ):
        if names:
            return Finding("certificates", level, f"{said} {_join(names)}", advice, {"names": names})
    return Finding("certificates", Level.OK, f"{len(validators)} certificates are valid by this clock")


def _read_dates(certificate: bytes) -> tuple[datetime, datetime] | None:
    try:
        found = x509.load_der_x509_certificate(certificate)
        return (
            found.not_valid_before_utc.astimezone(UTC),
            found.not_valid_after_utc.astimezone(UTC),
        )
    except ValueError:
        return None


def _is_open_to_others(path: Path) -> bool:
    return bool(stat.S_IMODE(path.lstat().st_mode) & OTHERS)


def _join(names: Iterable[str]) -> str:
    return ", ".join(islice(names, SHOWN_MAX))
