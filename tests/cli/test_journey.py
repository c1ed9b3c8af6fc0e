"""A network from its specification to a verified bill, with four validators and every command a person uses."""

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cli.demo.processes import find_free_ports
from cli.failure import ExitCode
from cli.network_spec import EXAMPLE, parse_spec
from cli.node_settings import render_node_config
from cli.provision import create_network
from tests.cli.conftest import PASSPHRASE, Command
from tests.cli.processes import END_TIMEOUT_S, launch, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

SLOT_S = 900
READINGS = 1000
NODES = ("node0", "node1", "node2", "node3")


class Street:
    """A running network in a directory; the home of its members and of its utility."""

    def __init__(self, directory: Path) -> None:
        ports = find_free_ports(8)
        text = EXAMPLE.replace("correction_s = 604800 ", "correction_s = 2678400 ")
        for index in range(4):
            text = text.replace(f"p2p_port = 710{index}", f"p2p_port = {ports[2 * index]}")
            text = text.replace(f"api_port = 810{index}", f"api_port = {ports[2 * index + 1]}")
        self.directory = directory
        self.urls = [f"http://127.0.0.1:{ports[2 * index + 1]}" for index in range(4)]
        self.p2p_ports = [ports[2 * index] for index in range(4)]
        now_ms = int(time.time() * 1000)
        create_network(directory, parse_spec(text.encode()), now_ms, PASSPHRASE.encode(), render_node_config)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.opening_s = int(time.time()) // SLOT_S * SLOT_S - READINGS * SLOT_S

    def start(self, *names: str) -> None:
        for name in names:
            home = self.directory / name
            self.processes[name] = launch("start", "--home", home, "--stop-with-stdin", log=home / "test.log")

    def kill(self, *names: str) -> None:
        for name in names:
            self.processes[name].kill()
            self.processes[name].wait(timeout=END_TIMEOUT_S)

    def stop(self) -> list[int]:
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        return [process.wait(timeout=END_TIMEOUT_S) for process in self.processes.values()]

    def moment(self, slot: int) -> str:
        """The boundary after so many slots since the meters' opening."""
        return datetime.fromtimestamp(self.opening_s + slot * SLOT_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def write_readings(self, path: Path) -> Path:
        lines = ["time_utc,import_wh,export_wh"]
        lines += [f"{self.moment(slot)},{5000 + 120 * slot},0" for slot in range(1, READINGS + 1)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    street = Street(tmp_path_factory.mktemp("street") / "net")
    try:
        street.start(*NODES)
        yield street
        assert street.stop() == [0, 0, 0, 0]
    finally:
        for process in street.processes.values():
            process.kill()


@pytest.fixture
def ask(street: Street, gridbft: Command) -> Command:
    """A command in the home of this street."""
    wait_until(
        lambda: gridbft("--home", street.directory, "status", "--check").code == ExitCode.OK,
        "all is well",
        60,
    )

    def execute(*arguments: object) -> object:
        return gridbft("--home", street.directory, *arguments)

    return execute  # type: ignore[return-value]


@pytest.fixture
def registered(street: Street, ask: Command) -> str:
    """A meter with its key in this home, registered once. It only draws: no pool, whenever its slots settle."""
    if not (street.directory / "wallets" / "H1.key").exists():
        assert ask("wallet", "create", "H1", "--kind", "meter").code == ExitCode.OK
        arguments = ("--opening", street.moment(0), "--import-wh", 5000)
        ended = ask("meter", "register", "H1", *arguments)
        assert ended.code == ExitCode.OK, ended.err
        assert "H1 is registered from" in ended.err
    return "H1"


@pytest.fixture
def submitted(street: Street, ask: Command, registered: str, tmp_path: Path) -> list[str]:
    """A thousand readings submitted through one validator; their ids as they were printed."""
    file = street.write_readings(tmp_path / "readings.csv")
    ended = ask("submit", "--file", file, "--meter", registered, "--node", street.urls[1])
    assert ended.code == ExitCode.OK, ended.err[-500:]
    return ended.out.split()


def test_status_says_that_all_is_well(ask: Command) -> None:
    ended = ask("status", "--check", "--json")
    told = json.loads(ended.out)
    assert (ended.code, told["healthy"], len(told["validators"])) == (ExitCode.OK, True, 4)


def test_the_home_of_a_validator_asks_that_validator(street: Street, ask: Command, gridbft: Command) -> None:
    told = json.loads(gridbft("status", "--home", street.directory / "node2", "--json").out)
    assert [entry["name"] for entry in told["validators"]] == ["node2"]
    assert told["validators"][0]["url"] == street.urls[2]


def test_a_thousand_readings_through_one_validator_are_committed_once_with_verified_receipts(
    street: Street, ask: Command, submitted: list[str], tmp_path: Path
) -> None:
    assert len(set(submitted)) == READINGS
    again = ask("submit", "--file", street.write_readings(tmp_path / "r.csv"), "--meter", "H1", "--json")
    assert json.loads(again.out) == {
        "submitted": READINGS,
        "committed": READINGS,
        "refused": [],
        "unknown": 0,
    }
    meter = json.loads(ask("meter", "status", "H1", "--json").out)
    assert meter["latest"]["import_wh"] == 5000 + 120 * READINGS
    assert meter["latest"]["pagination"] == READINGS


def test_a_transaction_is_shown_waited_for_and_proven_offline(
    street: Street, ask: Command, submitted: list[str], tmp_path: Path
) -> None:
    name = submitted[500]
    shown = json.loads(ask("tx", "show", name, "--json").out)
    assert (shown["status"], shown["certified"], shown["rejection"]) == ("committed", True, None)
    assert json.loads(ask("tx", "wait", name, "--json").out)["verified"] is True
    kept = tmp_path / "proof"
    proven = ask("tx", "proof", name, "--verify", "-o", kept)
    assert proven.code == ExitCode.OK
    assert "verified offline" in proven.err
    read = ask("tx", "proof", name, "--verify", "--from", kept, "--node", "http://127.0.0.1:1")
    assert (read.code, read.out) == (ExitCode.OK, proven.out)
    told = json.loads(ask("verify", kept, "--json", "--genesis", street.directory / "genesis.bin").out)
    assert (told["kind"], told["receipt"]["transaction_id"]) == ("receipt", name)
    assert told["call"]["import_wh"] == 5000 + 120 * 501
    wrong = ask("tx", "proof", submitted[501], "--from", kept)
    assert wrong.code == ExitCode.ERROR
    assert "the receipt is of another transaction" in wrong.line
    assert ask("tx", "proof", name, "-o", kept).code == ExitCode.USAGE


def test_a_bill_is_explained_line_by_line_and_verified(
    ask: Command, submitted: list[str], tmp_path: Path
) -> None:
    kept = tmp_path / "bill.proof"
    ended = ask("bill", "H1", "--day", 2, "--explain", "--save", kept)
    assert ended.code == ExitCode.OK, ended.err
    lines = [line for line in ended.out.splitlines() if "you drew" in line]
    assert len(lines) == 96
    assert "you drew 0.120 kWh: 0.120 from the grid at 0.22" in lines[0]
    assert "verified offline: 96 lines" in ended.err
    told = json.loads(ask("bill", "--day", 2, "--verify", "--json").out)
    assert told["verified"] is True
    assert told["totals"]["import_wh"] == 96 * 120
    assert told["totals"]["net_nano"] == 96 * 120 * 220_000
    again = json.loads(ask("verify", kept, "--json").out)
    assert (again["home"], again["slots_absent"], len(again["lines"])) == ("H1", 0, 96)
    assert again["totals"] == told["totals"]
    expected = -READINGS * 120 * 220_000
    wait_until(  # another validator answers, which may be a block behind the one that took the readings
        lambda: json.loads(ask("balance", "H1", "--json").out)["settlement_nano"] == expected, "it is booked"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "answer"),
    [
        (["tx", "show", "00" * 32], ExitCode.NOT_FOUND, "does not know the transaction"),
        (["tx", "wait", "00" * 32, "--timeout", "0"], ExitCode.NOT_FOUND, "does not know the transaction"),
        (["meter", "status", "nobody"], ExitCode.NOT_FOUND, "no meter 'nobody'"),
        (["meter", "suspend", "nobody"], ExitCode.NOT_FOUND, "no account 'nobody'"),
        (["balance", "nobody"], ExitCode.NOT_FOUND, "no account 'nobody'"),
        (["bill", "nobody", "--day", "0"], ExitCode.NOT_FOUND, "no meter 'nobody'"),
        (["bill", "H1", "--day", "tomorrow"], ExitCode.USAGE, "a number from 0, or a date"),
        (
            ["tariff", "set", "2020-01-01T00:00:00Z", "--retail", "2", "--feed-in", "1"],
            ExitCode.ERROR,
            "SLOT_STARTED: ",
        ),
        (
            ["tariff", "set", "2099-01-01T00:00:00Z", "--retail", "2", "--feed-in", "1"],
            ExitCode.ERROR,
            "TARIFF_TOO_FAR: ",
        ),
    ],
)
def test_what_cannot_be_is_named(
    ask: Command, submitted: list[str], arguments: list[str], code: ExitCode, answer: str
) -> None:
    ended = ask(*arguments)
    assert ended.code == code, ended.err
    assert answer in ended.err


@pytest.mark.parametrize(
    ("slot", "registers", "rejection"),
    [
        (READINGS, ("0", "0"), "READING_EXISTS"),
        (READINGS + 2000, ("999999", "999999"), "READING_OF_FUTURE"),
        (-1, ("5000", "0"), "READING_BEFORE_OPENING"),
    ],
)
def test_a_reading_that_cannot_be_is_refused_by_name_with_what_to_do(
    street: Street, ask: Command, submitted: list[str], slot: int, registers: tuple[str, str], rejection: str
) -> None:
    arguments = ("--time", street.moment(slot), "--import-wh", registers[0], "--export-wh", registers[1])
    ended = ask("submit", "reading", "H1", *arguments)
    assert ended.code == ExitCode.ERROR
    assert f"gridbft: {rejection}: " in ended.err
    assert len(ended.out.split()) == 1


def test_a_meter_is_registered_once(street: Street, ask: Command, submitted: list[str]) -> None:
    ended = ask("meter", "register", "H1", "--opening", street.moment(READINGS + 96))
    assert ended.code == ExitCode.ERROR
    assert "EXISTS: " in ended.err


def test_a_new_key_takes_over_and_the_old_one_is_refused(street: Street, ask: Command) -> None:
    """A lost key: the account stays, its old key signs nothing any more."""
    assert ask("wallet", "create", "H2", "--kind", "meter").code == ExitCode.OK
    assert ask("meter", "register", "H2", "--opening", street.moment(READINGS + 96)).code == ExitCode.OK
    assert ask("wallet", "create", "H2.new", "--kind", "meter").code == ExitCode.OK
    assert ask("keys", "rotate", "H2", "--to", "H2.new").code == ExitCode.OK  # it is `meter rotate-key` there
    reading = ("--time", street.moment(READINGS + 97), "--import-wh", 1, "--export-wh", 0)
    ended = ask("submit", "reading", "H2", *reading)
    assert ended.code == ExitCode.NOT_ALLOWED
    assert "has another key now" in ended.line


def test_a_suspended_meter_may_not_report(street: Street, ask: Command) -> None:
    assert ask("wallet", "create", "H3", "--kind", "meter").code == ExitCode.OK
    assert ask("meter", "register", "H3", "--opening", street.moment(READINGS + 96)).code == ExitCode.OK
    assert ask("meter", "suspend", "H3").code == ExitCode.OK
    assert json.loads(ask("meter", "status", "H3", "--json").out)["status"] == "suspended"
    reading = ("--time", street.moment(READINGS + 97), "--import-wh", 1, "--export-wh", 0)
    ended = ask("submit", "reading", "H3", *reading)
    assert ended.code == ExitCode.NOT_ALLOWED
    assert "SUSPENDED: " in ended.err


def test_only_the_utility_registers_meters(
    street: Street, ask: Command, tmp_path: Path, gridbft: Command
) -> None:
    """Whoever holds a copy of client.toml with a key of their own is refused by the network."""
    home = tmp_path / "stranger"
    home.mkdir()
    for name in ("client.toml", "genesis.bin"):
        shutil.copy(street.directory / name, home / name)
    assert gridbft("--home", home, "wallet", "create", "utility").code == ExitCode.OK
    (home / "utility").symlink_to(home / "wallets")
    ended = gridbft("--home", home, "meter", "register", "H9", "--public-key", "11" * 32)
    assert ended.code == ExitCode.NOT_FOUND
    assert "no account" in ended.line


def test_a_published_tariff_is_confirmed(street: Street, ask: Command) -> None:
    ended = ask(
        "tariff", "set", street.moment(READINGS + 200), "--retail", 300_000, "--feed-in", 70_000, "--json"
    )
    assert ended.code == ExitCode.OK
    told = json.loads(ended.out)
    assert told["verified"] is True
    assert told["id"] in ended.err  # before it was sent


def test_a_second_process_on_the_same_home_is_refused_by_name(street: Street, ask: Command) -> None:
    log = street.directory / "second.log"
    process = launch("start", "--home", street.directory / "node0", log=log)
    assert process.wait(timeout=END_TIMEOUT_S) == ExitCode.ERROR
    last = log.read_text(encoding="utf-8").splitlines()[-1]
    assert "gridbft: node0: " in last
    assert "another process" in last


def test_a_busy_port_is_refused_by_name(street: Street, ask: Command, tmp_path: Path) -> None:
    home = tmp_path / "copy"
    shutil.copytree(
        street.directory / "node0", home, ignore=shutil.ignore_patterns("data", "*.sock", "*.log")
    )
    log = tmp_path / "log"
    process = launch("start", "--home", home, log=log)
    assert process.wait(timeout=END_TIMEOUT_S) == ExitCode.ERROR
    last = log.read_text(encoding="utf-8").splitlines()[-1]
    assert "gridbft: node0: " in last
    assert str(street.p2p_ports[0]) in last or street.urls[0].rpartition(":")[2] in last


def test_with_two_validators_down_nothing_commits_and_status_says_why_and_nothing_is_lost(
    street: Street, ask: Command, gridbft: Command, submitted: list[str]
) -> None:
    street.kill("node2", "node3")
    home = ("--home", street.directory)
    try:
        wait_until(
            lambda: "not committing: only 2 of 4" in gridbft(*home, "status", "--check").err,
            "it says why",
            60,
        )
        assert gridbft(*home, "status", "--check").code == ExitCode.UNHEALTHY
    finally:
        street.start("node2", "node3")
    wait_until(lambda: gridbft(*home, "status", "--check").code == ExitCode.OK, "all is well again", 60)


def test_all_validators_killed_at_once_come_back_without_a_human_and_with_everything(
    street: Street, ask: Command, gridbft: Command, submitted: list[str]
) -> None:
    home = ("--home", street.directory)
    before = json.loads(ask("balance", "H1", "--json").out)
    street.kill(*NODES)
    street.start(*NODES)
    wait_until(lambda: gridbft(*home, "status", "--check").code == ExitCode.OK, "all is well again", 60)
    wait_until(
        lambda: gridbft(*home, "balance", "H1").code == ExitCode.OK, "the state is certified again", 60
    )
    after = json.loads(ask("balance", "H1", "--json").out)
    assert after["settlement_nano"] == before["settlement_nano"]
    proven = json.loads(ask("tx", "proof", submitted[-1], "--json").out)
    assert proven["verified"] is True
