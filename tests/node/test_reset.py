"""A reset removes what it says and nothing else; the journal stays unless all is to go; the next run finishes it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.errors import HomeError
from node.home import load_constitution, open_storage
from node.reset import ResetKind, ResetPlan, plan_reset, reset
from node.snapshots.installation import offer_fetched
from primitives.encoding import encode
from primitives.ids import Epoch
from tests.node.snapshots.source import Source
from tests.node.snapshots.test_installation import FailingDirectories, PowerCut, fetch
from tests.node.storage.homes import BLOCKS, build_home
from tests.vm.ledger import make_genesis


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = build_home(tmp_path_factory.mktemp("made") / "node0").path
    (home / "config.toml").write_text('name = "v0"\n')
    return home


@pytest.fixture
def home(tmp_path: Path, made: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "node0"))


def perform(home: Path, kind: ResetKind) -> ResetPlan:
    plan = plan_reset(home, load_constitution(home), kind)
    reset(home, plan)
    return plan


def read_files(home: Path) -> dict[str, bytes]:
    found = {path.relative_to(home).as_posix(): path for path in home.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.endswith(".lock")}


def test_the_chain_goes_and_everything_else_stays(home: Path) -> None:
    before = read_files(home)
    (home / "data/leveldb.next").mkdir()
    plan = perform(home, ResetKind.DATA)
    assert [each.name for each in plan.removed] == ["data/leveldb.next", "data/leveldb"]
    assert plan.removed[1].size > 1_000
    after = read_files(home)
    assert after == {name: data for name, data in before.items() if not name.startswith("data/leveldb")}
    assert set(after) == set(plan.kept)
    with open_storage(home, load_constitution(home)) as storage:
        assert (storage.chain.get_height(), storage.signed_height) == (0, BLOCKS)


def test_a_second_run_finds_nothing_to_do(home: Path) -> None:
    perform(home, ResetKind.DATA)
    before = read_files(home)
    assert perform(home, ResetKind.DATA).removed == ()
    assert read_files(home) == before


def list_cuts(home: Path, kind: ResetKind) -> Iterator[Path]:
    """Yield a home for each operation before which the power goes, until there is no further one."""
    for cut_at in range(100):
        copy = home.with_name(f"{home.name}-cut-{cut_at}")
        shutil.copytree(home, copy)
        try:
            reset(copy, plan_reset(copy, load_constitution(copy), kind), FailingDirectories(cut_at))
        except PowerCut:
            yield copy
        else:
            return
    raise AssertionError


def test_wherever_the_power_goes_the_journal_is_whole_and_a_next_run_or_a_start_finishes(home: Path) -> None:
    (home / "data/leveldb.next").mkdir()
    journal = (home / "data/journal").read_bytes()
    cuts = 0
    for copy in list_cuts(home, ResetKind.DATA):
        assert (copy / "data/journal").read_bytes() == journal
        started = Path(shutil.copytree(copy, copy.with_name(copy.name + "-started")))
        with open_storage(started, load_constitution(started)) as storage:
            assert storage.chain.get_height() in {0, BLOCKS}
        assert not (started / "data/leveldb.fetching").exists()
        perform(copy, ResetKind.DATA)
        assert not list((copy / "data").glob("leveldb*"))
        cuts += 1
    assert cuts == 8


@pytest.mark.parametrize("kind", [ResetKind.DATA, ResetKind.EVERYTHING])
def test_a_running_home_is_refused(home: Path, kind: ResetKind) -> None:
    constitution = load_constitution(home)
    before = read_files(home)
    plan = plan_reset(home, constitution, kind)
    with open_storage(home, constitution):
        with pytest.raises(HomeError, match="the validator runs"):
            plan_reset(home, constitution, kind)
        with pytest.raises(HomeError, match="the validator runs; stop it"):
            reset(home, plan)
    assert {name for name in read_files(home) if "leveldb" not in name} == {
        name for name in before if "leveldb" not in name
    }


def test_a_chain_is_kept_where_the_journal_is_gone_or_damaged(home: Path) -> None:
    journal = home / "data/journal"
    content = journal.read_bytes()
    journal.write_bytes(content[:8192] + bytes(700) + content[8892:])
    for _ in range(2):
        with pytest.raises(HomeError, match="run `gridbft recover` first"):
            plan_reset(home, load_constitution(home), ResetKind.DATA)
        journal.unlink(missing_ok=True)
    assert (home / "data/leveldb").is_dir()


def test_an_older_journal_is_not_what_the_chain_is_given_up_for(home: Path, tmp_path: Path) -> None:
    older = build_home(tmp_path / "older", blocks=2).path
    shutil.copy(older / "data/journal", home / "data/journal")
    with pytest.raises(HomeError, match="an older copy"):
        plan_reset(home, load_constitution(home), ResetKind.DATA)


def test_all_data_goes_with_the_journal_as_the_last(home: Path) -> None:
    (home / "data/journal.damaged-1").write_bytes(b"old")
    plan = perform(home, ResetKind.EVERYTHING)
    assert [each.name for each in plan.removed] == [
        "data/leveldb",
        "data/journal.damaged-1",
        "data/journal",
    ]
    assert set(read_files(home)) == {"genesis.bin", "config.toml"}
    assert perform(home, ResetKind.EVERYTHING).removed == ()


def test_wherever_the_power_goes_no_chain_is_left_without_its_journal(home: Path) -> None:
    cuts = 0
    for copy in list_cuts(home, ResetKind.EVERYTHING):
        assert (copy / "data/journal").exists() or not (copy / "data/leveldb").exists()
        perform(copy, ResetKind.EVERYTHING)
        assert set(read_files(copy)) == {"genesis.bin", "config.toml"}
        cuts += 1
    assert cuts == 5


def test_what_is_known_of_peers_goes_where_the_chain_holds_it_or_it_is_of_no_use(home: Path) -> None:
    path = home / "handovers.bin"
    assert perform(home, ResetKind.PEERS).removed == ()
    for content in (encode(()), b"damaged"):
        path.write_bytes(content)
        assert [each.name for each in perform(home, ResetKind.PEERS).removed] == ["handovers.bin"]
        assert not path.exists()
    assert (home / "data/journal").exists()
    assert (home / "data/leveldb").exists()


def test_handovers_that_lead_further_than_the_chain_are_kept(tmp_path: Path) -> None:
    """Without them a home at the genesis looks for validators that may all have gone."""
    source = Source()
    source.add_validator("v4")
    (tmp_path / "genesis.bin").write_bytes(encode(make_genesis()))
    path = tmp_path / "handovers.bin"
    path.write_bytes(encode(tuple(source.chain.iterate_handovers(Epoch(0)))))
    with pytest.raises(HomeError, match="leads to epoch 1 and the chain here has come to epoch 0"):
        plan_reset(tmp_path, load_constitution(tmp_path), ResetKind.PEERS)
    with open_storage(tmp_path, load_constitution(tmp_path)):
        pass
    with pytest.raises(HomeError, match="start it until it has caught up"):
        plan_reset(tmp_path, load_constitution(tmp_path), ResetKind.PEERS)
    shutil.rmtree(tmp_path / "data/leveldb")
    fetch(tmp_path, source)
    offer_fetched(tmp_path / "data")
    with open_storage(tmp_path, load_constitution(tmp_path)):
        pass
    assert [each.name for each in perform(tmp_path, ResetKind.PEERS).removed] == ["handovers.bin"]
