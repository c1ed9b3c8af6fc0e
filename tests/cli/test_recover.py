"""`gridbft recover`: a validator without its journal begins again in silence; one that has it is sent away."""

import shutil
from pathlib import Path

import pytest

from cli.failure import ExitCode
from consensus.codec import NONCE_BYTES, decode_record, encode_record
from consensus.effects import Silenced, ViewEntered
from node.errors import HomeError
from node.home import build_replica, load_constitution, open_storage
from node.recover import plan_recovery, recover
from node.storage.journal import open_journal
from primitives.signing import SecretKey
from tests.cli.conftest import Command
from tests.node.storage.homes import build_home


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with five blocks, each signed in its journal."""
    return build_home(tmp_path / "node0").path


def read_silence(home: Path) -> list[object]:
    """Return the records of the journal; the replica that is built from them must be silent."""
    constitution = load_constitution(home)
    with open_storage(home, constitution) as storage:
        replica = build_replica(constitution, storage, SecretKey(bytes(32)), bytes(NONCE_BYTES))
        silence = replica.view.silence
        assert silence is not None
        assert silence.is_past_unknown
        return list(storage.records)


def spoil(path: Path) -> bytes:
    """Damage the middle of a file as no torn write does; return what is there now."""
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 700] = bytes(700)
    path.write_bytes(data)
    return bytes(data)


def test_a_home_whose_disk_is_gone_begins_again_in_silence(gridbft: Command, network: Path) -> None:
    home = network / "node0"
    ended = gridbft("recover", "--home", home)
    assert ended.code == ExitCode.OK
    assert (
        "data/journal and the chain are gone: nobody here knows what this validator's key has signed"
        in ended.err
    )
    assert "Start it now: gridbft start" in ended.err
    assert "gridbft validators replace" in ended.err
    assert read_silence(home) == [Silenced(is_over=False)]


def test_a_chain_without_its_journal_stays_and_begins_again_in_silence(gridbft: Command, home: Path) -> None:
    (home / "data" / "journal").unlink()
    constitution = load_constitution(home)
    with pytest.raises(HomeError, match="run `gridbft recover`"), open_storage(home, constitution):
        pass
    ended = gridbft("recover", "--home", home)
    assert ended.code == ExitCode.OK
    assert "data/journal is gone:" in ended.err
    assert read_silence(home) == [Silenced(is_over=False)]
    with open_storage(home, constitution) as storage:
        assert storage.chain.get_height() == 5


def test_a_damaged_journal_is_kept_beside_the_new_one(gridbft: Command, home: Path) -> None:
    damaged = spoil(home / "data" / "journal")
    ended = gridbft("recover", "--home", home)
    assert ended.code == ExitCode.OK
    assert "data/journal is damaged" in ended.err
    assert "data/journal is kept as data/journal.damaged-1" in ended.err
    assert (home / "data" / "journal.damaged-1").read_bytes() == damaged
    assert read_silence(home) == [Silenced(is_over=False)]


def test_a_second_damage_overwrites_nothing(gridbft: Command, home: Path) -> None:
    first = spoil(home / "data" / "journal")
    assert gridbft("recover", "--home", home).code == ExitCode.OK
    (home / "data" / "journal").write_bytes(b"not a journal")
    assert gridbft("recover", "--home", home).code == ExitCode.OK
    assert (home / "data" / "journal.damaged-1").read_bytes() == first
    assert (home / "data" / "journal.damaged-2").read_bytes() == b"not a journal"
    assert read_silence(home) == [Silenced(is_over=False)]


def test_an_older_copy_of_the_journal_is_moved_aside_too(
    gridbft: Command, tmp_path: Path, home: Path
) -> None:
    older = build_home(tmp_path / "before", blocks=2).path
    shutil.copy(older / "data" / "journal", home / "data" / "journal")
    ended = gridbft("recover", "--home", home)
    assert ended.code == ExitCode.OK
    assert "an older copy" in ended.err
    assert read_silence(home) == [Silenced(is_over=False)]


def test_run_twice_it_says_that_it_is_done_and_changes_nothing(gridbft: Command, home: Path) -> None:
    spoil(home / "data" / "journal")
    assert gridbft("recover", "--home", home).code == ExitCode.OK
    files = {path: path.read_bytes() for path in (home / "data").glob("journal*")}
    again = gridbft("recover", "--home", home)
    assert again.code == ExitCode.OK
    assert "it was recovered before" in again.err
    assert {path: path.read_bytes() for path in (home / "data").glob("journal*")} == files


def test_an_intact_journal_is_never_touched(gridbft: Command, home: Path) -> None:
    before = (home / "data" / "journal").read_bytes()
    ended = gridbft("recover", "--home", home)
    assert ended.code == ExitCode.ERROR
    assert ended.line == (
        "gridbft: data/journal is intact, so there is nothing to recover: start the validator"
    )
    assert (home / "data" / "journal").read_bytes() == before


def test_a_validator_that_votes_again_is_not_silenced_again(gridbft: Command, home: Path) -> None:
    (home / "data" / "journal").unlink()
    assert gridbft("recover", "--home", home).code == ExitCode.OK
    constitution = load_constitution(home)
    with open_journal(home / "data" / "journal", constitution.genesis_hash) as journal:
        for record in (Silenced(is_over=True), ViewEntered(0, 0, active=True)):
            journal.append(encode_record(record), twice=True)
        journal.sync()
    assert gridbft("recover", "--home", home).code == ExitCode.ERROR


def test_a_damaged_chain_beside_a_damaged_journal_is_kept_as_well(gridbft: Command, home: Path) -> None:
    spoil(home / "data" / "journal")
    (home / "data" / "leveldb" / "CURRENT").unlink()
    ended = gridbft("recover", "--home", home)
    assert ended.code == ExitCode.OK
    assert "data/leveldb is kept as data/leveldb.damaged-1" in ended.err
    assert (home / "data" / "leveldb.damaged-1").is_dir()
    assert read_silence(home) == [Silenced(is_over=False)]


def test_a_home_in_use_is_refused(gridbft: Command, home: Path) -> None:
    constitution = load_constitution(home)
    with open_storage(home, constitution):
        ended = gridbft("recover", "--home", home)
    assert ended.code == ExitCode.ERROR
    assert "another process" in ended.line


def test_the_journal_of_another_network_is_refused(gridbft: Command, network: Path, home: Path) -> None:
    shutil.copytree(home / "data", network / "node0" / "data")
    ended = gridbft("recover", "--home", network / "node0")
    assert ended.code == ExitCode.ERROR
    assert "belongs to the network" in ended.line


def test_a_home_without_a_genesis_is_refused(gridbft: Command, tmp_path: Path) -> None:
    ended = gridbft("recover", "--home", tmp_path)
    assert ended.code == ExitCode.ERROR
    assert "copy the network's genesis" in ended.line


def test_interrupted_between_its_two_steps_it_is_finished_by_the_next_run(home: Path) -> None:
    spoil(home / "data" / "journal")
    constitution = load_constitution(home)
    plan = plan_recovery(home, constitution)
    (home / "data" / "journal").rename(home / "data" / "journal.damaged-1")  # and the power goes
    with pytest.raises(HomeError, match="is missing"), open_storage(home, constitution):
        pass
    recover(home, constitution, plan_recovery(home, constitution))
    assert read_silence(home) == [Silenced(is_over=False)]
    assert plan.moved == (("journal", "journal.damaged-1"),)


def test_the_new_journal_is_ahead_of_what_the_chain_remembers(home: Path) -> None:
    constitution = load_constitution(home)
    (home / "data" / "journal").unlink()
    recover(home, constitution, plan_recovery(home, constitution))
    with open_storage(home, constitution) as storage:
        assert storage.journal.mark > storage.chain.get_journal_mark()
        assert [decode_record(encode_record(each)) for each in storage.records] == list(storage.records)
