"""A bundle holds no secret that is known here, in whatever common form it was written."""

import base64
import tarfile
from pathlib import Path

import pytest

from node.doctor.bundle import ENTRIES_MAX, LOG_BYTES_MAX, collect_parts, find_secrets, hide, write_bundle
from node.redaction import REDACTED

SECRET = b"unusual-canary-0815"


@pytest.mark.parametrize(
    "written",
    [
        SECRET.decode(),
        SECRET.hex(),
        SECRET.hex().upper(),
        base64.b64encode(SECRET).decode(),
        base64.b64encode(b"a" + SECRET + b"b").decode(),
        base64.urlsafe_b64encode(b"ab" + SECRET).decode(),
    ],
)
def test_a_secret_is_hidden_in_every_form(written: str) -> None:
    found = hide(f"before {written} after", [SECRET])
    assert REDACTED in found
    assert SECRET.decode()[4:-4] not in found
    assert found.startswith("before ")
    assert found.endswith(" after")


def test_text_without_the_secret_is_left_alone() -> None:
    assert hide("nothing of it here", [SECRET, b"", b"ab"]) == "nothing of it here"


def test_secrets_are_the_environments_the_keys_and_what_is_named_like_one(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/node.key").write_bytes(b"label of a key\nsealed bytes\n")
    (tmp_path / "api-token.txt").write_bytes(b"token of the API\n")
    (tmp_path / "node.pass").write_bytes(b"word in a file\n")
    (tmp_path / "config.toml").write_bytes(b"no secret here\n")
    environment = {
        "GRIDBFT_PASSPHRASE": "word of a shell",
        "BROKER_PASSWORD": "of a broker",
        "PATH": "/usr/bin",
    }
    assert set(find_secrets(tmp_path, environment)) == {
        b"label of a key\nsealed bytes",
        b"label of a key",
        b"sealed bytes",
        b"token of the API",
        b"word in a file",
        b"word of a shell",
        b"of a broker",
    }


def test_a_store_of_many_files_hides_no_secret_from_the_search(tmp_path: Path) -> None:
    store = tmp_path / "data/leveldb"
    store.mkdir(parents=True)
    for number in range(ENTRIES_MAX):
        (store / f"{number:06d}.ldb").touch()
    for place in ("aaa.key", "keys/node.key", "zzz.token"):  # whichever way the file system lists them
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_bytes(f"canary of {place}".encode())
    found = set(find_secrets(tmp_path, {}))
    assert found == {b"canary of aaa.key", b"canary of keys/node.key", b"canary of zzz.token"}


def test_only_the_end_of_a_long_log_is_packed_and_a_missing_one_is_told(tmp_path: Path) -> None:
    log = tmp_path / "node.log"
    log.write_bytes(b"old line\n" * 100_000 + b"newest line\n")
    parts = collect_parts(tmp_path, [], {}, "", [log, tmp_path / "gone.log"], {})
    assert len(parts["log-0.txt"]) <= LOG_BYTES_MAX
    assert parts["log-0.txt"].startswith("old line\n")
    assert parts["log-0.txt"].endswith("newest line\n")
    assert parts["log-1.txt"] == "gone.log: No such file or directory"


def test_a_bundle_is_its_owners_alone_and_replaces_no_file(tmp_path: Path) -> None:
    path = tmp_path / "bundle.tar.gz"
    write_bundle(path, {"a.txt": "text"})
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    with tarfile.open(path) as archive:
        assert archive.getnames() == ["gridbft-doctor/a.txt"]
    with pytest.raises(FileExistsError):
        write_bundle(path, {"a.txt": "other"})
    assert [each.name for each in tmp_path.iterdir()] == ["bundle.tar.gz"]
