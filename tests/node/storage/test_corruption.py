"""A home with any byte of its files cut off or flipped starts with what is true, or is refused by name."""

import shutil
import struct
import time
from collections import Counter
from pathlib import Path

import pytest

from node.errors import HomeError
from node.home import load_constitution, open_storage
from node.storage.chain import ChainStore
from node.storage.leveldb import WRITE_BUFFER_BYTES, open_leveldb
from tests.node.storage.corruption import LAYOUTS, SPOILS, main, survey_home, try_home
from tests.node.storage.homes import BLOCKS, SampleHome, build_home, write_home

LOG_HEAD = struct.Struct("<IHB")
"""LevelDB's log record: checksum, length, type; the sample's logs are shorter than one of its 32 KiB blocks."""

FLUSH_BYTES = WRITE_BUFFER_BYTES * 3 // 8
FLUSHES = 3
DEADLINE_S = 90
"""LevelDB makes a table in a second, on a disk that others fill in a minute."""


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SampleHome]:
    folder = tmp_path_factory.mktemp("samples")
    return {name: build_home(folder / name, reopened_after=after) for name, after in LAYOUTS.items()}


def total(outcomes: Counter[str], ending: str) -> int:
    return sum(count for what, count in outcomes.items() if what.endswith(ending))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_nothing_damaged_in_the_store_is_taken_in_silence(
    samples: dict[str, SampleHome], tmp_path: Path, layout: str
) -> None:
    found = survey_home(samples[layout], tmp_path, 31)
    assert found.silent == []
    assert total(found.outcomes, "refused") > 100
    if layout != "tables":
        assert total(found.outcomes, "cut lost_named") > 10


@pytest.mark.parametrize("wanted", ["data/leveldb/CURRENT", "data/leveldb/MANIFEST", "genesis.bin"])
def test_every_byte_of_the_small_files_counts(
    samples: dict[str, SampleHome], tmp_path: Path, wanted: str
) -> None:
    found = survey_home(samples["tables"], tmp_path, 1, wanted)
    assert found.silent == []
    assert total(found.outcomes, "refused") == sum(found.outcomes.values()) > 4 * 15


def test_a_journal_is_healed_or_refused_or_loses_what_no_block_vouched_for(
    samples: dict[str, SampleHome], tmp_path: Path
) -> None:
    found = survey_home(samples["log"], tmp_path, 101, "data/journal")
    assert found.silent == []
    assert total(found.outcomes, "flip_low unread") > 100  # of two copies one is enough
    assert total(found.outcomes, "cut refused") > 50
    assert total(found.outcomes, "cut torn") > 10


def test_the_survey_sees_what_passes_in_silence(samples: dict[str, SampleHome], tmp_path: Path) -> None:
    # A store that lost its blocks together with the journal that signed them: nothing here can tell.
    sample, empty = samples["log"], build_home(tmp_path / "empty", blocks=0)
    assert try_home(sample, empty.path).startswith("silent")
    assert try_home(sample, shutil.copytree(sample.path, tmp_path / "whole")) == "unread"


def split_log(data: bytes, count: int) -> tuple[bytes, bytes]:
    """Return the first ``count`` records of a log, and the others."""
    place = 0
    for _ in range(count):
        place += LOG_HEAD.size + LOG_HEAD.unpack_from(data, place)[1]
    return data[:place], data[place:]


@pytest.mark.parametrize("kind", SPOILS)
def test_a_gap_between_two_logs_is_refused(samples: dict[str, SampleHome], tmp_path: Path, kind: str) -> None:
    """What a crash leaves while LevelDB turns a full log into a table: an older and a newer log, read in order."""
    sample = samples["log"]
    files = sample.read_files()
    (name,) = (name for name in files if name.endswith(".log"))
    older, newer = split_log(files.pop(name), 6)
    logs = {name: older, name.replace("000003", "000005"): newer}
    assert try_home(sample, write_home(tmp_path / "whole", {**files, **logs})) == "unread"
    outcomes: Counter[str] = Counter()
    for place in range(0, len(older), 7):
        if SPOILS[kind](older, place) == older:
            continue  # zeros in the place of zeros
        spoiled = {**files, **logs, name: SPOILS[kind](older, place)}
        outcomes[try_home(sample, write_home(tmp_path / str(place), spoiled))] += 1
        shutil.rmtree(tmp_path / str(place))
    assert set(outcomes) == {"refused"}


def wait_for_table(file: Path, size: int) -> None:
    """Wait until the list of tables has grown and the log that became a table is gone."""
    deadline_s = time.monotonic() + DEADLINE_S
    while file.stat().st_size <= size or len(list(file.parent.glob("*.log"))) > 1:
        assert time.monotonic() < deadline_s, "LevelDB did not make a table of a full log"
        time.sleep(0.01)


def test_a_list_of_tables_cut_at_any_byte_is_refused_or_lacks_only_the_newest_blocks(tmp_path: Path) -> None:
    """The list grows while the store is open; what is read of a shorter one is an older store, perhaps with a gap."""
    source, copy = build_home(tmp_path / "source"), tmp_path / "copy"
    constitution = load_constitution(source.path)
    with open_leveldb(source.path / "data/leveldb", WRITE_BUFFER_BYTES) as store:
        (manifest,) = (source.path / "data/leveldb").glob("MANIFEST-*")
        for _ in range(FLUSHES):
            size = manifest.stat().st_size
            for _ in range(4):
                assert ChainStore(store).put_evidence(bytes(FLUSH_BYTES))
            wait_for_table(manifest, size)
        shutil.copytree(source.path, copy)
    data = (copy / "data/leveldb" / manifest.name).read_bytes()
    outcomes: Counter[str] = Counter()
    for place in range(0, len(data) + 1, 3):
        scratch = shutil.copytree(copy, tmp_path / str(place))
        (scratch / "data/leveldb" / manifest.name).write_bytes(data[:place])
        try:
            with open_storage(scratch, constitution) as storage:
                outcomes[f"height {storage.chain.get_height()} of {storage.signed_height}"] += 1
        except HomeError:
            outcomes["refused"] += 1
        shutil.rmtree(scratch)
    assert set(outcomes) <= {"refused", f"height {BLOCKS} of {BLOCKS}", f"height 0 of {BLOCKS}"}
    assert outcomes["refused"] > 10


def test_the_command_names_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--step", "997", "--json"]) == 0
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert '"silent": []' in said
