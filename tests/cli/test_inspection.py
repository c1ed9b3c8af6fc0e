"""`gridbft inspect integrity`: says that all is whole, or names what is not."""

import json
from pathlib import Path

import pytest

from cli.failure import ExitCode
from node.home import load_constitution, open_storage
from tests.cli.conftest import Command
from tests.node.storage.homes import BLOCKS, build_home


def test_a_whole_home_is_told_in_two_lines(gridbft: Command, tmp_path: Path) -> None:
    home = build_home(tmp_path / "node0").path
    told = gridbft("inspect", "integrity", "--home", home)
    assert told.code == ExitCode.OK
    assert told.out.splitlines() == [
        f"blocks 0 to {BLOCKS}, certified up to {BLOCKS}: whole",
        f"journal of {BLOCKS} records: whole, and of this chain",
    ]
    assert json.loads(gridbft("inspect", "integrity", "--home", home, "--json").out)["height"] == BLOCKS


def test_lost_blocks_are_told_and_damage_is_refused_in_one_line(gridbft: Command, tmp_path: Path) -> None:
    home = build_home(tmp_path / "node0", reopened_after=(2,)).path
    (log,) = (home / "data/leveldb").glob("*.log")
    log.write_bytes(b"")
    assert (
        f"blocks up to {BLOCKS} were signed and lost" in gridbft("inspect", "integrity", "--home", home).out
    )
    (home / "data/leveldb/CURRENT").unlink()
    told = gridbft("inspect", "integrity", "--home", home)
    assert told.code == ExitCode.ERROR
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert f"{home / 'data/leveldb'}: the file CURRENT is missing" in told.err


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_home(tmp_path_factory.mktemp("inspected") / "node0").path


def test_a_block_is_shown_with_its_transactions_and_each_of_them_alone(gridbft: Command, kept: Path) -> None:
    told = gridbft("inspect", "block", "latest", "--home", kept)
    assert told.code == ExitCode.OK
    assert told.out.startswith(f"block {BLOCKS}, epoch 0, sequence {BLOCKS}, ")
    assert "signatures, 3 are a quorum" in told.out
    (transaction,) = json.loads(gridbft("inspect", "block", BLOCKS, "--home", kept, "--json").out)["page"]
    alone = gridbft("inspect", "tx", transaction["id"], "--home", kept)
    assert alone.out.splitlines()[:2] == [
        f"applied, in block {BLOCKS} at place 0",
        "call         ledger.grant",
    ]
    assert (
        json.loads(gridbft("inspect", "tx", transaction["id"], "--home", kept, "--json").out) == transaction
    )


def test_what_does_not_fit_on_a_page_is_told_with_where_it_goes_on(gridbft: Command, kept: Path) -> None:
    told = gridbft("inspect", "block", "1", "--limit", "1", "--home", kept)
    assert told.err == "1 more: --from 1\n"
    told = gridbft("inspect", "journal", "--limit", "2", "--from", "1", "--home", kept)
    assert told.err == f"{BLOCKS - 3} more: --from 3\n"
    told = gridbft("inspect", "state", "--prefix", "em", "--limit", "1", "--home", kept)
    assert told.out.count("\n") == 1
    following = told.err.split()[-1]
    rest = gridbft("inspect", "state", "--prefix", "0x656d", "--from", following, "--home", kept)
    assert (rest.out.count("\n"), rest.err) == (1, "")
    assert following in rest.out


def test_the_state_is_summed_up_and_an_account_or_key_is_shown(gridbft: Command, kept: Path) -> None:
    summary = gridbft("inspect", "state", "--home", kept)
    assert summary.out.splitlines()[0].startswith(f"state of block {BLOCKS}, root ")
    assert "\npa      Account  " in summary.out
    account = json.loads(gridbft("inspect", "state", "--account", "utility", "--home", kept, "--json").out)
    key = b"pa".hex() + account["account"]
    entry = json.loads(gridbft("inspect", "state", "--key", key, "--home", kept, "--json").out)
    assert (entry["kind"], entry["value"]) == ("Account", account["record"])
    assert "role         utility" in gridbft("inspect", "state", "--account", "utility", "--home", kept).out


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (("block", "-1"), ExitCode.USAGE, "No such option"),
        (("block", "newest"), ExitCode.USAGE, "'newest' is no height"),
        (("block", "9" * 40), ExitCode.USAGE, "is no height"),
        (("block", "77"), ExitCode.NOT_FOUND, "block 77 is not here"),
        (("tx", "ab"), ExitCode.USAGE, "ab"),
        (("tx", "ab" * 32), ExitCode.NOT_FOUND, "no block of this chain holds"),
        (("state", "--key", "7"), ExitCode.USAGE, "hexadecimal digits"),
        (("state", "--prefix", "0xzz"), ExitCode.USAGE, "hexadecimal digits"),
        (("state", "--prefix", "é"), ExitCode.USAGE, "letters as pa"),
        (("state", "--account", "nobody"), ExitCode.NOT_FOUND, "no account has the name or id 'nobody'"),
        (("state", "--account", "x", "--key", "00"), ExitCode.USAGE, "exclude each other"),
        (("state", "--from", "00"), ExitCode.USAGE, "--from goes with --prefix"),
        (("journal", "--limit", "0"), ExitCode.USAGE, "limit"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_line(
    gridbft: Command, kept: Path, arguments: tuple[str, ...], code: ExitCode, reason: str
) -> None:
    ended = gridbft("inspect", *arguments, "--home", kept)
    assert (ended.code, ended.out) == (code, "")
    assert reason in ended.line


@pytest.mark.parametrize("arguments", [("block", "1"), ("tx", "ab" * 32), ("state",), ("journal",)])
def test_a_running_validator_is_not_looked_into(
    gridbft: Command, kept: Path, arguments: tuple[str, ...]
) -> None:
    with open_storage(kept, load_constitution(kept)):
        ended = gridbft("inspect", *arguments, "--home", kept)
    assert ended.code == ExitCode.ERROR
    assert "the validator runs; stop it first" in ended.line


def test_a_damaged_journal_is_shown_with_its_places_and_ends_as_unhealthy(
    gridbft: Command, tmp_path: Path
) -> None:
    home = build_home(tmp_path / "node0").path
    path = home / "data" / "journal"
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 700] = b"\xee" * 700
    path.write_bytes(data)
    ended = gridbft("inspect", "journal", "--home", home)
    assert ended.code == ExitCode.UNHEALTHY
    assert "DAMAGED: record 2: missing" in ended.out
    assert "no record can be read there" in ended.out
    assert "promises: last signed header is of block 5" in ended.out
    assert "a start refuses it, `gridbft recover` keeps it" in ended.line
    shown = gridbft("inspect", "journal", "--home", home, "--json")
    assert not json.loads(shown.out)["is_usable"]
