"""One file for whoever helps: findings, status, settings, versions, metrics and the end of the log, without a secret.

What goes in is chosen, not copied: key files never do, settings and words are redacted by their names, and at last
every secret that is known here (the environment's, the key files', files that are named like secrets) is looked for in
all that was collected, as it is, in hexadecimal and in base64.
"""

import base64
import gzip
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from node.doctor.findings import Finding, tabulate
from node.redaction import REDACTED, is_secret_name, redact_text, redact_value

LOG_BYTES_MAX = 512 * 1024
"""A few thousand lines: hours of a quiet node."""

PART_BYTES_MAX = 2 * 1024 * 1024
SECRET_BYTES_MAX = 16 * 1024
"""A key file with the largest attachment; what is longer is no secret of ours."""

SECRET_BYTES_MIN = 6
"""A shorter one would be found everywhere by chance; passphrases that short protect nothing."""

SECRET_SUFFIXES = (".key", ".pem", ".pass", ".passphrase", ".token")
ENTRIES_MAX = 2_000
"""Files that are listed, and files of secrets that are read. What else lies in HOME does not count among the secrets: a
store of a few gigabytes has as many files, and must not hide the keys behind it."""

KEYS_DIRECTORY = "keys"


def collect_parts(
    home: Path,
    findings: list[Finding],
    told: Mapping[str, object],
    metrics: str,
    log_paths: list[Path],
    environment: Mapping[str, str],
) -> dict[str, str]:
    """Return the texts of a bundle by their names; ``told`` are answers and settings by name."""
    parts = {
        "findings.json": tabulate(findings),
        "files.json": list(_list_files(home)),
        "environment.json": sorted(name for name in environment if name.startswith("GRIDBFT_")),
        **{f"{name}.json": value for name, value in told.items()},
    }
    texts = {
        name: json.dumps(redact_value("", value), indent=1, default=str) for name, value in parts.items()
    }
    texts["metrics.txt"] = redact_text(metrics)
    for number, path in enumerate(log_paths):
        texts[f"log-{number}.txt"] = redact_text(_read_end(path))
    secrets = list(find_secrets(home, environment))
    return {name: hide(text, secrets)[:PART_BYTES_MAX] for name, text in texts.items()}


def write_bundle(path: Path, parts: Mapping[str, str]) -> None:
    """Write the parts as one tar.gz that only its owner may read, whole or not at all.

    Raises:
        FileExistsError: there is a file of this name.
        OSError: the disk refuses.

    """
    if path.exists():
        raise FileExistsError(17, os.strerror(17), str(path))
    content = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=content, mode="wb") as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name, text in sorted(parts.items()):
            data = text.encode("utf-8", errors="replace")
            entry = tarfile.TarInfo(f"gridbft-doctor/{name}")
            entry.size, entry.mode = len(data), 0o600
            archive.addfile(entry, io.BytesIO(data))
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.getvalue())
            file.flush()
            os.fsync(file.fileno())
        Path(draft).rename(path)
    finally:
        Path(draft).unlink(missing_ok=True)


def find_secrets(home: Path, environment: Mapping[str, str]) -> Iterator[bytes]:
    """Yield what is secret here as far as it is known, longest forms first where one holds another."""
    for name, value in environment.items():
        if is_secret_name(name) or name.startswith("GRIDBFT_PASS"):
            yield from _split(value.encode())
    for path in islice(filter(_is_named_secret, home.rglob("*")), ENTRIES_MAX):
        if not path.is_file() or path.is_symlink():
            continue
        try:
            with path.open("rb") as file:
                yield from _split(file.read(SECRET_BYTES_MAX))
        except OSError:
            continue  # what cannot be read cannot have been collected


def _is_named_secret(path: Path) -> bool:
    return path.suffix in SECRET_SUFFIXES or is_secret_name(path.name) or path.parent.name == KEYS_DIRECTORY


def hide(text: str, secrets: list[bytes]) -> str:
    """Return the text without the secrets, in whatever common form they stand there."""
    forms = {form for secret in secrets for form in list_forms(secret)}
    for form in sorted(forms, key=len, reverse=True):
        if form in text:
            text = text.replace(form, REDACTED)
    return text


def list_forms(secret: bytes) -> Iterator[str]:
    """Yield how a secret may be written: as it is, in hexadecimal, and the inner part of its base64 at each offset."""
    if len(secret) < SECRET_BYTES_MIN:
        return
    plain = secret.decode("utf-8", errors="ignore")
    if len(plain) >= SECRET_BYTES_MIN:
        yield plain
        yield json.dumps(plain)[1:-1]
    yield secret.hex()
    yield secret.hex().upper()
    for offset in range(3):
        padded = bytes(offset) + secret
        whole = len(padded) - len(padded) % 3
        inner = padded[(3 if offset else 0) : whole]
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            form = encode(inner).decode()
            if len(form) >= SECRET_BYTES_MIN:
                yield form


def _split(content: bytes) -> Iterator[bytes]:
    """Yield the whole without its line's end, and each of its lines: a key file has a public and a sealed one."""
    whole = content.strip(b"\r\n")
    yield whole
    lines = whole.splitlines()
    if len(lines) > 1:
        yield from lines


def _list_files(home: Path) -> Iterator[Mapping[str, object]]:
    for path in islice(sorted(home.rglob("*")), ENTRIES_MAX):
        try:
            found = path.lstat()
        except OSError:
            continue
        yield {
            "name": path.relative_to(home).as_posix(),
            "bytes": found.st_size,
            "mode": f"{found.st_mode & 0o7777:04o}",
            "uid": found.st_uid,
        }


def _read_end(path: Path) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - LOG_BYTES_MAX))
            content = file.read(LOG_BYTES_MAX)
    except OSError as error:
        return f"{path.name}: {error.strerror}"
    text = content.decode("utf-8", errors="replace")
    return text if size <= LOG_BYTES_MAX else text.partition("\n")[2]
