"""What a stopped validator holds is written out for other programs: whole, in order, and never over another file."""

import csv
import io
import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from cli.failure import ExitCode
from consensus.certificates import check_certificate
from consensus.membership import Membership
from meter.proofs import read_certificate
from meter.sources.table import format_time
from node.export import Period, iterate_line_rows
from node.home import load_constitution, open_storage
from node.home_lock import hold_home
from node.storage import keys
from primitives.encoding import encode
from primitives.hashing import compute_transaction_id
from primitives.ids import Epoch
from tests.architecture.source_tree import ROOT
from tests.cli.conftest import Command
from tests.node.community import SLOT_S, START_S, make_meter_account
from tests.node.storage.homes import BLOCKS, build_home
from vm.contracts.energy.records import Line, get_line_key


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stopped home with two homes' meters and their first slot, settled."""
    return build_home(tmp_path_factory.mktemp("export") / "node0").path


def read_lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def read_table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_every_block_is_a_line_with_a_certificate_that_holds_and_transactions_that_are_named(
    gridbft: Command, kept: Path
) -> None:
    ended = gridbft("export", "blocks", "--home", kept)
    assert ended.code == ExitCode.OK, ended.err
    assert ended.line == f"{BLOCKS} blocks, as of block {BLOCKS}; certified up to block {BLOCKS}"
    constitution = load_constitution(kept)
    membership = Membership(Epoch(0), constitution.genesis.validators)
    blocks = read_lines(ended.out)
    assert [block["height"] for block in blocks] == list(range(1, BLOCKS + 1))
    for block in blocks:
        certificate = read_certificate(bytes.fromhex(str(block["certificate"])))
        assert check_certificate(membership, constitution.genesis_hash, certificate) is None
        assert certificate.header.compute_digest().hex() == block["digest"]
        for entry in block["transactions"]:  # type: ignore[attr-defined]
            assert compute_transaction_id(bytes.fromhex(entry["raw"])).hex() == entry["id"]
            assert entry["rejection"] is None


def test_blocks_are_given_from_here_to_there_and_those_that_are_not_here_are_refused(
    gridbft: Command, kept: Path
) -> None:
    ended = gridbft("export", "blocks", "--home", kept, "--from", 2, "--to", 3)
    assert [block["height"] for block in read_lines(ended.out)] == [2, 3]
    beyond = gridbft("export", "blocks", "--home", kept, "--to", BLOCKS + 1)
    assert (beyond.code, beyond.out) == (ExitCode.NOT_FOUND, "")
    assert f"this home keeps 1 to {BLOCKS}" in beyond.line
    turned = gridbft("export", "blocks", "--home", kept, "--from", 3, "--to", 2)
    assert (turned.code, turned.line) == (ExitCode.USAGE, "gridbft: --to 2 is before --from 3")


def test_the_ledger_is_a_line_for_each_record_under_what_it_is_of(gridbft: Command, kept: Path) -> None:
    whole = read_lines(gridbft("export", "ledger", "--home", kept).out)
    assert (whole[0]["kind"], whole[0]["height"]) == ("state", BLOCKS)
    kinds = {str(record["kind"]) for record in whole}
    assert {"accounts", "balances", "meters", "registers", "readings", "slots", "lines", "Owner"} <= kinds
    some = read_lines(gridbft("export", "ledger", "--home", kept, "--kind", "lines", "--kind", "meters").out)
    wanted = [record for record in whole[1:] if record["kind"] in {"lines", "meters"}]
    assert some[1:] == sorted(wanted, key=lambda record: str(record["prefix"]))
    line = next(record for record in some if record["kind"] == "lines")
    assert line["slot_s"] == START_S
    assert line["meter"] in {make_meter_account(number).hex() for number in range(2)}
    later = gridbft("export", "ledger", "--home", kept, "--kind", "lines", "--from", "2024-01-01")
    assert len(read_lines(later.out)) == 1
    unknown = gridbft("export", "ledger", "--home", kept, "--kind", "cats")
    assert unknown.code == ExitCode.USAGE
    assert "one of accounts, " in unknown.line


def test_a_spreadsheet_gets_a_row_for_each_home_and_slot_and_the_rows_come_to_the_slot(
    gridbft: Command, kept: Path
) -> None:
    rows = read_table(gridbft("export", "csv", "--home", kept).out)
    assert {row["home"] for row in rows} == {"home-0", "home-1"}
    assert {row["slot_start_utc"] for row in rows} == {"2023-11-14T22:15:00Z"}
    assert {row["currency"] for row in rows} == {"EUR"}
    (slot,) = read_table(gridbft("export", "csv", "--home", kept, "--slots").out)
    assert sum(int(row["grid_bought_wh"]) for row in rows) == int(slot["grid_bought_wh"])
    assert sum(int(row["net_nano"]) for row in rows) == int(slot["grid_net_nano"])
    assert {row["pool_price_micro_per_kwh"] for row in rows} == {slot["pool_price_micro_per_kwh"]}
    untimed = set(rows[0]) - {"home", "meter", "currency", "slot_start_utc", "flag_names", "flags"}
    assert all(name.endswith(("_wh", "_nano", "_s", "_micro_per_kwh")) for name in untimed)


@pytest.mark.parametrize(
    ("period", "rows"),
    [
        (("--from", "2023-11-14T22:15:00Z"), 2),
        (("--from", "2023-11-14T22:15:01Z"), 0),
        (("--to", "2023-11-14T22:15:00Z"), 0),
        (("--from", "2023-11-14", "--to", "2023-11-15"), 2),
    ],
)
def test_a_period_begins_with_its_first_moment_and_ends_before_its_last(
    gridbft: Command, kept: Path, period: tuple[str, ...], rows: int
) -> None:
    ended = gridbft("export", "csv", "--home", kept, *period)
    assert len(read_table(ended.out)) == rows
    assert ended.line.startswith(f"{rows} rows")


@pytest.mark.parametrize("what", [("blocks",), ("ledger",), ("csv",), ("csv", "--slots")])
def test_a_file_has_the_same_bytes_each_time_and_none_is_written_over(
    gridbft: Command, kept: Path, tmp_path: Path, what: tuple[str, ...]
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for file in (first, second):
        ended = gridbft("export", *what, "--home", kept, "-o", file)
        assert (ended.code, ended.out) == (ExitCode.OK, "")
        assert f" in {file}, as of block {BLOCKS}" in ended.line
    assert first.read_bytes() == second.read_bytes()
    assert first.read_text(encoding="utf-8") == gridbft("export", *what, "--home", kept).out
    content = first.read_bytes()
    again = gridbft("export", *what, "--home", kept, "-o", first)
    assert again.code == ExitCode.USAGE
    assert "there is a file of this name" in again.line
    assert first.read_bytes() == content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "second"]


def test_a_validator_that_runs_is_refused_by_name_and_its_home_is_left_as_it_is(
    gridbft: Command, tmp_path: Path
) -> None:
    sample = build_home(tmp_path / "node0")
    before = sample.read_files()
    with hold_home(sample.path / "data"):
        ended = gridbft("export", "blocks", "--home", sample.path)
    assert (ended.code, ended.out) == (ExitCode.ERROR, "")
    assert "the validator runs; stop it first" in ended.line
    assert gridbft("export", "ledger", "--home", sample.path).code == ExitCode.OK
    assert sample.read_files() == before


def test_a_home_without_a_chain_has_nothing_to_give(gridbft: Command, network: Path) -> None:
    ended = gridbft("export", "csv", "--home", network / "node0")
    assert ended.code != ExitCode.OK
    assert "there is no chain yet" in ended.line


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--from", "yesterday"), "--from 'yesterday': a date"),
        (("--from", "2023-11-14T22:15:00"), "a time as 2026-01-01T00:00:00Z"),
        (("--to", "1969-12-31"), "--to '1969-12-31'"),
        (("--from", "2024-01-02", "--to", "2024-01-01"), "is not after --from"),
    ],
)
def test_a_period_that_makes_no_sense_is_named(
    gridbft: Command, kept: Path, arguments: tuple[str, ...], line: str
) -> None:
    ended = gridbft("export", "csv", "--home", kept, *arguments)
    assert ended.code == ExitCode.USAGE
    assert line in ended.line


def spoil(home: Path, key: bytes, value: bytes | None) -> None:
    with open_storage(home, load_constitution(home)) as storage:
        storage.chain._store.write({key: value}, sync=True)


def test_damage_is_named_and_leaves_no_file(gridbft: Command, tmp_path: Path) -> None:
    home = build_home(tmp_path / "node0").path
    spoil(home, keys.build_number_key(keys.BATCH, 3), None)
    spoil(home, keys.STATE + get_line_key(make_meter_account(0), START_S), b"\x90")
    for arguments, named in ((("blocks",), "block 3: "), (("csv",), "cannot be read")):
        file = tmp_path / "part"
        ended = gridbft("export", *arguments, "--home", home, "-o", file)
        assert ended.code == ExitCode.ERROR
        assert named in ended.line
        assert [path.name for path in tmp_path.iterdir()] == ["node0"]


def test_who_stops_reading_is_told_so_without_a_traceback(kept: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "cli", "export", "ledger", "--home", str(kept)]
    ended = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert ended.returncode == ExitCode.ERROR
    assert ended.stderr == "gridbft: nobody reads standard output any more: what was read is a part\n"


def test_a_full_disk_behind_standard_output_is_told_as_such_and_not_as_the_homes(kept: Path) -> None:
    command = [sys.executable, "-m", "cli", "export", "ledger", "--home", str(kept)]
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == ExitCode.ERROR
    assert ended.stderr == ("gridbft: standard output: No space left on device; what was written is a part\n")


def test_rows_go_slot_by_slot_and_in_each_by_the_homes_accounts(gridbft: Command, tmp_path: Path) -> None:
    home = build_home(tmp_path / "node0").path
    value = encode(Line(*([0] * len(Line.__struct_fields__))))
    slots = [START_S + number * SLOT_S for number in range(3)]
    for account in map(make_meter_account, range(2)):
        for slot_s in slots:
            spoil(home, keys.STATE + get_line_key(account, slot_s), value)
    rows = read_table(gridbft("export", "csv", "--home", home).out)
    accounts = sorted(make_meter_account(number).hex() for number in range(2))
    shown = [(int(row["slot_start_s"]), row["meter"]) for row in rows]
    assert shown == [(slot_s, meter) for slot_s in slots for meter in accounts]
    assert {row["home"] for row in rows} == {"home-0", "home-1"}
    some = read_table(
        gridbft(
            "export", "csv", "--home", home, "--from", format_time(slots[1]), "--to", format_time(slots[2])
        ).out
    )
    assert {int(row["slot_start_s"]) for row in some} == {slots[1]}


def test_a_long_history_is_given_row_by_row(tmp_path: Path) -> None:
    home = build_home(tmp_path / "node0").path
    constitution = load_constitution(home)
    account, rows = make_meter_account(0), 4_000
    value = encode(Line(*([0] * len(Line.__struct_fields__))))
    with open_storage(home, constitution) as storage:
        slots = (START_S + number * SLOT_S for number in range(rows))
        lines: dict[bytes, bytes | None] = {
            keys.STATE + get_line_key(account, slot_s): value for slot_s in slots
        }
        storage.chain._store.write(lines, sync=False)
        del lines
        tracemalloc.start()
        try:
            given = sum(1 for _ in iterate_line_rows(storage.chain, constitution.genesis, Period()))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert given == rows + 1  # the neighbour's
    assert peak < 256 * 1024
