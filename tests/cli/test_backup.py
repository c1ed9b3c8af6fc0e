"""All keys of a home are put away in one file, compared, and put back; the journal never is among them."""

import json
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.failure import ExitCode
from cli.passphrase import PASSPHRASE_VARIABLE
from meter.key_backup import BACKUP_LABEL, KeyBackup, StoredKey
from primitives.encoding import encode
from primitives.sealing import open_sealed, seal
from tests.cli.conftest import PASSPHRASE, Command, Ended
from tests.cli.locked import lock_folder


def list_files(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def home(network: Path) -> Path:
    """A validator's home with a journal, as one that has run."""
    home = network / "node0"
    (home / "data").mkdir()
    (home / "data" / "journal").write_bytes(b"what this validator has promised")
    return home


@pytest.fixture
def kept(gridbft: Command, home: Path, tmp_path: Path) -> Path:
    file = tmp_path / "node0.backup"
    ended = gridbft("keys", "backup", "--home", home, "-o", file)
    assert ended.code == ExitCode.OK, ended.err
    return file


def test_the_keys_of_a_validator_are_kept_without_its_journal_and_it_says_why(
    gridbft: Command, home: Path, tmp_path: Path
) -> None:
    before = list_files(home)
    file = tmp_path / "node0.backup"
    ended = gridbft("keys", "backup", "--home", home, "-o", file)
    assert ended.code == ExitCode.OK, ended.err
    assert ended.out.startswith("keys/node.key  node  ")
    assert "data/journal is in no backup" in ended.err
    assert "`gridbft recover` before `gridbft start`" in ended.err
    assert list_files(home) == before
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    content = open_sealed(PASSPHRASE.encode(), file.read_bytes())
    assert before["keys/node.key"] in content
    assert before["data/journal"] not in content


def test_a_member_and_a_utility_find_all_their_keys_in_one_file(
    gridbft: Command, network: Path, tmp_path: Path
) -> None:
    for name in ("birch", "alder"):
        assert gridbft("--home", network, "wallet", "create", name, "--kind", "meter").code == ExitCode.OK
    file = tmp_path / "street.backup"
    ended = gridbft("keys", "backup", "--home", network, "-o", file, "--json")
    told = json.loads(ended.out)
    paths = ["utility/utility.key", "wallets/alder.key", "wallets/birch.key"]
    assert [each["path"] for each in told["keys"]] == paths
    assert "journal" not in ended.err  # no validator votes with these
    compared = json.loads(gridbft("keys", "verify-backup", file, "--home", network, "--json").out)
    assert compared == [{"path": path, "standing": "same"} for path in paths]


def test_a_backup_is_compared_and_nothing_is_written(
    gridbft: Command, home: Path, kept: Path, tmp_path: Path
) -> None:
    before = list_files(tmp_path)
    ended = gridbft("keys", "verify-backup", kept, "--home", home)
    assert (ended.code, ended.out) == (ExitCode.OK, "keys/node.key  node  same\n")
    empty = gridbft("keys", "verify-backup", kept, "--home", tmp_path / "nowhere")
    assert (empty.code, empty.out) == (ExitCode.OK, "keys/node.key  node  not in the home\n")
    assert list_files(tmp_path) == before


def add_key(home: Path) -> None:
    shutil.copy(home / "keys" / "node.key", home / "keys" / "node.next.key")


def exchange_key(home: Path) -> None:
    shutil.copy(home.parent / "node1" / "keys" / "node.key", home / "keys" / "node.key")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (add_key, "keys/node.next.key  node  not in the backup"),
        (exchange_key, "keys/node.key  node  differs"),
    ],
)
def test_a_backup_without_a_key_of_the_home_is_told_and_ends_with_an_error(
    gridbft: Command, home: Path, kept: Path, change: Callable[[Path], None], line: str
) -> None:
    change(home)
    ended = gridbft("keys", "verify-backup", kept, "--home", home)
    assert ended.code == ExitCode.ERROR
    assert line in ended.out.splitlines()
    assert "does not hold 1 key" in ended.line


def test_what_is_missing_is_put_back_once_and_what_is_there_is_left(
    gridbft: Command, home: Path, kept: Path, tmp_path: Path
) -> None:
    restored = tmp_path / "another disk"
    ended = gridbft("keys", "restore", kept, "--home", restored)
    assert ended.code == ExitCode.OK, ended.err
    assert "1 key written" in ended.err
    assert "`gridbft recover` before `gridbft start`" in ended.err
    assert list_files(restored) == {"keys/node.key": (home / "keys" / "node.key").read_bytes()}
    assert stat.S_IMODE((restored / "keys" / "node.key").stat().st_mode) == 0o600
    again = gridbft("keys", "restore", kept, "--home", restored, "--json")
    assert json.loads(again.out) == {"written": [], "kept": 1}


def test_another_key_in_the_place_of_one_is_never_replaced(
    gridbft: Command, home: Path, kept: Path, tmp_path: Path
) -> None:
    before = list_files(home.parent / "node1")
    ended = gridbft("keys", "restore", kept, "--home", home.parent / "node1")
    assert ended.code == ExitCode.ERROR
    assert "another key is there" in ended.line
    assert list_files(home.parent / "node1") == before


def test_a_backup_is_made_once_and_never_over_another_file(gridbft: Command, home: Path, kept: Path) -> None:
    content = kept.read_bytes()
    ended = gridbft("keys", "backup", "--home", home, "-o", kept)
    assert ended.code == ExitCode.ERROR
    assert "never overwritten" in ended.line
    assert kept.read_bytes() == content


@pytest.mark.parametrize("name", ["", ".", "/"])
def test_a_directory_in_the_place_of_a_backup_is_refused(gridbft: Command, home: Path, name: str) -> None:
    ended = gridbft("keys", "backup", "--home", home, "-o", name)
    assert (ended.code, "never overwritten" in ended.line) == (ExitCode.ERROR, True)


def test_another_passphrase_opens_nothing(
    gridbft: Command, home: Path, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "another")
    for command in ("verify-backup", "restore"):
        ended = gridbft("keys", command, kept, "--home", tmp_path / "new")
        assert ended.code == ExitCode.NOT_ALLOWED
        assert "the passphrase is wrong or the key file was altered" in ended.line
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "path",
    [
        "../keys/node.key",
        "/keys/node.key",
        "keys/../node.key",
        "data/journal",
        "keys/.key",
        ".ssh/id.key",
        "node.key",
    ],
)
def test_a_backup_that_would_write_elsewhere_is_refused(
    gridbft: Command, home: Path, tmp_path: Path, path: str
) -> None:
    content = encode(KeyBackup((StoredKey(path, (home / "keys" / "node.key").read_bytes()),)))
    file = tmp_path / "forged.backup"
    file.write_bytes(seal(PASSPHRASE.encode(), BACKUP_LABEL, content, bytes(16), bytes(24)))
    ended = gridbft("keys", "restore", file, "--home", tmp_path / "new")
    assert ended.code == ExitCode.ERROR
    assert "the paths in it are not those of keys of a home" in ended.line
    assert not (tmp_path / "new").exists()


def expose(home: Path) -> Path:
    (home / "keys" / "node.key").chmod(0o644)
    return home


def damage(home: Path) -> Path:
    (home / "keys" / "node.key").write_bytes(b"no key")
    return home


@pytest.mark.parametrize(
    ("spoil", "code", "line"),
    [
        (lambda home: home / "nowhere", ExitCode.NOT_FOUND, "holds no keys"),
        (expose, ExitCode.NOT_ALLOWED, "others than its owner may use this file"),
        (damage, ExitCode.ERROR, "not a gridbft key file"),
    ],
)
def test_a_home_whose_keys_are_not_sound_is_not_backed_up(
    gridbft: Command, home: Path, tmp_path: Path, spoil: Callable[[Path], Path], code: ExitCode, line: str
) -> None:
    file = tmp_path / "spoiled.backup"
    ended = gridbft("keys", "backup", "--home", spoil(home), "-o", file)
    assert ended.code == code
    assert line in ended.line
    assert not file.exists()


def test_a_home_of_which_a_folder_cannot_be_read_is_not_backed_up_in_part(
    gridbft: Command, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "wallets").mkdir()
    file = tmp_path / "part.backup"
    lock_folder(monkeypatch, home / "wallets")
    ended = gridbft("keys", "backup", "--home", home, "-o", file)
    assert (ended.code, "wallets: Permission denied" in ended.line) == (ExitCode.ERROR, True)
    assert not file.exists()


def test_a_key_file_is_no_backup_and_a_backup_no_key(gridbft: Command, home: Path, kept: Path) -> None:
    ended = gridbft("keys", "verify-backup", home / "keys" / "node.key", "--home", home)
    assert ended.code == ExitCode.ERROR
    assert "no backup of keys" in ended.line


def rotate(gridbft: Command, *arguments: object) -> Ended:
    return gridbft("keys", "rotate", *arguments)


def test_a_validators_key_is_rotated_the_way_of_the_network(gridbft: Command, home: Path) -> None:
    ended = rotate(gridbft, "--home", home)
    assert ended.code == ExitCode.OK, ended.err
    assert "gridbft validators replace node0" in ended.err
    assert (home / "keys" / "node.next.key").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "is no validator's home; of a meter: `gridbft keys rotate METER --to NEW`"),
        (("birch",), "--to names the new key of birch"),
        (("--to", "birch"), "--to is for a meter"),
    ],
)
def test_which_key_is_meant_must_be_said(
    gridbft: Command, network: Path, arguments: tuple[str, ...], line: str
) -> None:
    ended = rotate(gridbft, "--home", network, *arguments)
    assert ended.code == ExitCode.USAGE
    assert line in ended.line
