"""What `gridbft collect` refuses, and what `gridbft meter status` tells of a home without asking anybody."""

import json
import os
import sys
from pathlib import Path

import pytest

from cli.failure import ExitCode
from meter.collect.state import CollectorState, Gap, Proven, Reached, Seen, write_state
from tests.cli.conftest import Command

BROKER = "mqtt://localhost"


@pytest.fixture
def home(network: Path, gridbft: Command) -> Path:
    """A home with the key of one meter; no validator runs."""
    assert gridbft("wallet", "create", "alder", "--kind", "meter", "--home", network).code == ExitCode.OK
    return network


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("p1", "--device", "/no/such/device"), "/no/such/device"),
        (("p1", "--device", "tcp://nowhere"), "tcp://HOST:PORT"),
        (("p1", "--device", "/dev/null", "--line", "1-2-3"), "115200-8N1"),
        (("p1", "--device", "/dev/null", "--clock", "sun"), "host or meter"),
        (("p1", "--device", "/dev/null", "--window-s", "900"), "--window-s"),
        (("p1", "--device", "/dev/null", "--meter", "no name"), "no name"),
        (("mqtt", "--broker", "http://h", "--map", "tasmota", "--topic", "m"), "mqtt[s]://"),
        (("mqtt", "--broker", BROKER, "--map", "gadget", "--topic", "m"), "tasmota"),
        (("mqtt", "--broker", BROKER, "--map", "tasmota", "--topic", "#"), "wildcards"),
        (("mqtt", "--broker", BROKER, "--map", "absent.toml"), "absent.toml"),
        (
            ("mqtt", "--broker", BROKER, "--map", "tasmota", "--topic", "m", "--broker-password-file", "/no"),
            "/no",
        ),
        (("mqtt", "--broker", "mqtts://h", "--map", "tasmota", "--topic", "m", "--broker-ca", "/no"), "/no"),
        (("csv", "--file", "absent.csv"), "absent.csv"),
        (("ocmf", "--file", "absent.ocmf", "--public-key", "00"), "absent.ocmf"),
        (("ocmf", "--file", "later.ocmf", "--follow", "--public-key", "00"), "--public-key"),
        (("modbus", "--device", "/dev/ttyUSB0"), "tcp://HOST:PORT"),
        (("modbus", "--device", "tcp://h", "--unit", "256"), "--unit"),
    ],
)
def test_what_was_typed_wrong_is_told_in_one_line(
    gridbft: Command, home: Path, arguments: tuple[str, ...], word: str
) -> None:
    ended = gridbft("collect", *arguments, "--home", home)
    assert ended.code == ExitCode.USAGE
    assert word in ended.line


def test_a_home_with_no_or_several_meters_asks_which_one(gridbft: Command, network: Path) -> None:
    command = ("collect", "p1", "--device", "/dev/null", "--home", network)
    ended = gridbft(*command)
    assert (ended.code, "has 0 keys of meters; name one with --meter" in ended.line) == (ExitCode.USAGE, True)
    for name in ("alder", "birch"):
        gridbft("wallet", "create", name, "--kind", "meter", "--home", network)
    ended = gridbft(*command)
    assert (ended.code, "has 2 keys of meters; name one with --meter" in ended.line) == (ExitCode.USAGE, True)
    assert gridbft(*command, "--meter", "cedar").code == ExitCode.NOT_FOUND


def test_the_first_start_needs_a_validator_and_says_so(gridbft: Command, home: Path) -> None:
    ended = gridbft("collect", "p1", "--device", "/dev/null", "--home", home, "--node", "http://127.0.0.1:9")
    assert ended.code == ExitCode.ERROR
    assert "the first start needs a validator" in ended.line


def test_a_first_start_that_could_not_begin_leaves_a_meter_that_can_be_fed_by_hand(
    gridbft: Command, home: Path
) -> None:
    nowhere = ("--home", home, "--node", "http://127.0.0.1:9")
    assert gridbft("collect", "p1", "--device", "/dev/null", *nowhere).code == ExitCode.ERROR
    assert not (home / "collect").exists()
    (home / "collect").mkdir()
    (home / "collect" / "alder.db").touch()  # as where the disk was full
    reading = ("--time", "2026-01-01T00:15:00Z", "--import-wh", 1, "--export-wh", 1)
    ended = gridbft("submit", "reading", "alder", *reading, *nowhere)
    assert (ended.code, "is collected here" in ended.line) == (ExitCode.ERROR, False)


@pytest.mark.parametrize(
    ("library", "module", "arguments"),
    [
        ("serial", "meter.sources.serial_port", ("p1", "--device", "/dev/null")),
        ("aiomqtt", "meter.sources.mqtt", ("mqtt", "--broker", BROKER, "--map", "tasmota", "--topic", "m")),
        ("pymodbus", "meter.sources.modbus", ("modbus", "--device", "tcp://h")),
    ],
)
def test_without_the_extra_the_command_says_what_to_install(
    gridbft: Command,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    library: str,
    module: str,
    arguments: tuple[str, ...],
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == library]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, module, raising=False)
    ended = gridbft("collect", *arguments, "--home", home)
    assert ended.code == ExitCode.ERROR
    assert "install gridbft[collect]" in ended.line


def test_a_collected_meter_is_not_fed_by_hand_beside(gridbft: Command, home: Path) -> None:
    (home / "collect").mkdir()
    (home / "collect" / "alder.db").write_bytes(b"a spool")
    reading = ("--time", "2026-01-01T00:15:00Z", "--import-wh", 1, "--export-wh", 1)
    ended = gridbft("submit", "reading", "alder", *reading, "--home", home)
    assert ended.code == ExitCode.USAGE
    assert "alder is collected here" in ended.line


def test_a_home_without_collectors_says_so(gridbft: Command, home: Path) -> None:
    ended = gridbft("meter", "status", "--home", home)
    assert (ended.code, ended.out) == (ExitCode.OK, "")
    assert "gridbft collect" in ended.line
    assert json.loads(gridbft("meter", "status", "--home", home, "--json").out) == []


def test_collectors_that_cannot_be_looked_at_are_not_said_to_be_none(gridbft: Command, home: Path) -> None:
    (home / "collect").write_bytes(b"")
    ended = gridbft("meter", "status", "--home", home)
    assert (ended.code, "Not a directory" in ended.line) == (ExitCode.ERROR, True)


def test_the_status_answers_every_question_about_a_collector(gridbft: Command, home: Path) -> None:
    (home / "collect").mkdir()
    state = CollectorState(
        meter="alder",
        source="p1 /dev/ttyUSB0",
        link_problem="Connection refused",
        reconnects=3,
        last_seen=Seen(1_800_000_010, 1_200_450, 310_600),
        last_reading=Seen(1_799_999_100, 1_200_400, 310_500),
        gaps=1,
        last_gap=Gap(1_799_997_300, 1_799_999_100),
        dropped={"CRC_WRONG": 2, "METER_CHANGED": 1},
        last_dropped="METER_CHANGED",
        waiting=4,
        oldest_waiting_s=1_799_996_400,
        refused={"READING_TOO_LATE": 1},
        early=2,
        reached=Reached("node2", 1_799_999_000),
        network_problem="no validator answered",
        last_proof=Proven("ab" * 32, 77, 1_799_995_500),
        committed=9,
    )
    write_state(home / "collect" / "alder.json", state)
    shown = gridbft("meter", "status", "--home", home).out
    for word in (
        "alder  from p1 /dev/ttyUSB0",
        "Connection refused; broke 3 times",
        "1200.450 kWh import, 310.600 kWh export",
        "CRC_WRONG 2, METER_CHANGED 1",
        "4 wait; the oldest of 2027-01-15 07:00",
        "READING_TOO_LATE 1",
        "early      2 times: the validators' clocks, or this machine's, are wrong",
        "node2, 2027-01-15 07:43; no validator answered",
        "block 77, the reading of 2027-01-15 06:45; 9 committed",
        "gaps       1; the last from 2027-01-15 07:15 to 2027-01-15 07:45",
    ):
        assert word in shown, (word, shown)
    (told,) = json.loads(gridbft("meter", "status", "--home", home, "--json").out)
    assert told["dropped"] == {"CRC_WRONG": 2, "METER_CHANGED": 1}
    assert told["oldest_waiting_s"] == 1_799_996_400


def test_the_password_of_a_broker_comes_from_the_environment_or_a_file_and_is_never_told(
    gridbft: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "GRIDBFT_MQTT_PASSWORD", "hush")
    ended = gridbft(
        *("collect", "mqtt", "--broker", BROKER, "--map", "tasmota", "--topic", "m"),
        *("--home", home, "--node", "http://127.0.0.1:9"),
    )
    assert ended.code == ExitCode.ERROR
    assert "hush" not in ended.out + ended.err
