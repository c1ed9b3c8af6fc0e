"""Whatever is asked wrongly gets one line with what to do and the documented exit code, before anything is sent."""

import subprocess
import sys
from pathlib import Path

import pytest

from cli.failure import ExitCode
from tests.cli.conftest import Command
from tests.cli.processes import build_environment

TIME = "2026-01-01T00:00:00Z"
REGISTERS = ["--import-wh", "1", "--export-wh", "0"]


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["tx", "show", "abc"], "'abc' is no transaction id"),
        (["tx", "wait", "zz" * 32], "is no transaction id"),
        (["tx", "proof", "00" * 31], "is no transaction id"),
        (["tx", "proof", "00" * 32, "--from", "nonsuch"], "nonsuch: No such file"),
        (["tariff", "set", "tomorrow", "--retail", "2", "--feed-in", "1"], "'tomorrow' is no time"),
        (["tariff", "set", "2026-01-01T00:00:00", "--retail", "2", "--feed-in", "1"], "add the offset"),
        (["tariff", "set", "2026-01-01T00:01:00Z", "--retail", "2", "--feed-in", "1"], "is not a boundary"),
        (["tariff", "set", TIME, "--retail", "1", "--feed-in", "2"], "--feed-in 2: must not be above"),
        (["tariff", "set", TIME, "--retail", "-1", "--feed-in", "2"], "--retail"),
        (
            ["tariff", "set", TIME, "--retail", "2", "--feed-in", "1", "--slots", "101"],
            "--slots 101: at most",
        ),
        (["meter", "register", "a b"], "'a b' is no name"),
        (["meter", "register", "CL01", "--public-key", "abc"], "--public-key: 'abc' is no key"),
        (["meter", "register", "CL01", "--opening", "now"], "'now' is no time"),
        (["meter", "register", "CL01", "--import-wh", "-1"], "--import-wh"),
        (["submit"], "name a file with --file"),
        (["submit", "--file", "nonsuch.csv"], "nonsuch.csv"),
        (["submit", "--file", "a.csv", "reading", "CL01", "--time", TIME, *REGISTERS], "not both"),
        (["submit", "reading", "CL01", "--time", TIME], "Missing option"),
        (["submit", "reading", "CL01", "--time", "noon", *REGISTERS], "'noon' is no time"),
        (["submit", "reading", "CL01", "--time", TIME, *REGISTERS, "--status", "?"], "--status '?'"),
        (["balance"], "has 0 keys: name the account"),
        (["balance", "a b"], "'a b' is no name"),
        (["bill", "CL01"], "Missing option '--day'"),
        (["bill", "--day", "0"], "has 0 keys of meters: name the meter"),
        (["bill", "a b", "--day", "0"], "'a b' is no name"),
        (["config", "show"], "no such file"),
        (["start"], "no such file"),
        (["status", "--node", "ftp://x"], "--node: 'ftp://x' is no address"),
    ],
)
def test_a_wrong_command_is_a_usage_error_of_one_line(
    network: Path, gridbft: Command, arguments: list[str], answer: str
) -> None:
    ended = gridbft("--home", network, *arguments)
    assert ended.code == ExitCode.USAGE, ended.err
    assert answer in ended.line
    assert ended.out == ""


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["meter", "register", "CL01"], "gridbft wallet create CL01 --kind meter"),
        (["submit", "reading", "CL01", "--time", TIME, *REGISTERS], "no such key file"),
    ],
)
def test_a_missing_key_is_not_found(
    network: Path, gridbft: Command, arguments: list[str], answer: str
) -> None:
    ended = gridbft("--home", network, *arguments)
    assert ended.code == ExitCode.NOT_FOUND
    assert answer in ended.line


def test_a_wallets_key_signs_no_readings(network: Path, gridbft: Command) -> None:
    gridbft("--home", network, "wallet", "create", "alice")
    ended = gridbft("--home", network, "submit", "reading", "alice", "--time", TIME, *REGISTERS)
    assert ended.code == ExitCode.NOT_ALLOWED
    assert "a wallet key, where a meter key is needed" in ended.line


def test_the_utilitys_commands_need_the_utilitys_home(network: Path, gridbft: Command) -> None:
    settings = network / "client.toml"
    text = settings.read_text(encoding="utf-8")
    settings.write_text(text.replace('utility_key = "utility/utility.key"', ""), encoding="utf-8")
    ended = gridbft("--home", network, "tariff", "set", TIME, "--retail", "2", "--feed-in", "1")
    assert ended.code == ExitCode.NOT_ALLOWED
    assert "names no utility_key" in ended.line


def test_a_wrong_passphrase_is_not_allowed(
    network: Path, gridbft: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRIDBFT_PASSPHRASE", "another")
    ended = gridbft("--home", network, "tariff", "set", TIME, "--retail", "2", "--feed-in", "1")
    assert ended.code == ExitCode.NOT_ALLOWED
    assert "the passphrase is wrong" in ended.line


def test_a_key_file_that_others_may_read_is_refused(network: Path, gridbft: Command) -> None:
    key = network / "node0" / "keys" / "node.key"
    key.chmod(0o644)
    ended = gridbft("start", "--home", network / "node0")
    assert ended.code == ExitCode.NOT_ALLOWED
    assert f"chmod 600 {key}" in ended.line


def test_a_wrong_setting_of_a_node_is_named(network: Path, gridbft: Command) -> None:
    config = network / "node0" / "config.toml"
    config.write_text(
        config.read_text(encoding="utf-8").replace("# port = 7100", "port = 0"), encoding="utf-8"
    )
    ended = gridbft("start", "--home", network / "node0")
    assert ended.code == ExitCode.USAGE
    assert f"{config}: p2p.port" in ended.line


def test_validators_that_are_down_are_named(network: Path, gridbft: Command) -> None:
    ended = gridbft("status", "--home", network, "--check")
    assert ended.code == ExitCode.UNHEALTHY
    assert "0 of 4 validators answer" in ended.out
    for port in range(8100, 8104):
        assert f"http://127.0.0.1:{port} does not answer" in ended.err


def test_peers_names_who_does_not_answer(network: Path, gridbft: Command) -> None:
    ended = gridbft("peers", "--home", network)
    assert (ended.code, ended.out) == (ExitCode.OK, "0 of 4 validators answer\n")
    assert [line.partition(" does not answer: ")[0] for line in ended.err.splitlines()] == [
        f"node{index} at http://127.0.0.1:{8100 + index}" for index in range(4)
    ]


def test_reading_without_any_validator_is_an_error_that_names_them(network: Path, gridbft: Command) -> None:
    ended = gridbft("balance", "utility", "--home", network)
    assert ended.code == ExitCode.ERROR
    assert "no validator answered" in ended.line


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("genesis = 1", "Expected `str`, got `int`"),
        ("colour = 1", "unknown field `colour`"),
        ("[validators", "Expected ']'"),
        ('[[validators]]\nname = "a"\nurl = "b"', "validators[0].url: 'b' is no address"),
    ],
)
def test_wrong_settings_of_a_members_home_are_named(
    tmp_path: Path, gridbft: Command, text: str, answer: str
) -> None:
    (tmp_path / "client.toml").write_text(text, encoding="utf-8")
    ended = gridbft("status", "--home", tmp_path)
    assert ended.code == ExitCode.USAGE
    assert "client.toml" in ended.line
    assert answer in ended.line


def test_a_home_without_a_genesis_says_what_to_copy(tmp_path: Path, gridbft: Command) -> None:
    ended = gridbft("status", "--home", tmp_path, "--node", "http://127.0.0.1:8100")
    assert ended.code == ExitCode.USAGE
    assert "copy genesis.bin" in ended.line


def test_settings_are_shown_with_where_they_come_from(
    network: Path, gridbft: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRIDBFT_API_PORT", "9000")
    ended = gridbft("config", "show", "--source", "--home", network / "node1")
    assert ended.code == ExitCode.OK
    assert "api.port = 9000  # environment GRIDBFT_API_PORT" in ended.out
    assert "p2p.port = 7101  # file config.toml" in ended.out
    assert 'clock.mode = "system"  # default' in ended.out


def test_words_for_a_closed_stream_go_nowhere_else() -> None:
    """`2>&-` closes it: what is said there must not stand among the data, nor end in a traceback."""
    for redirection in (">&-", "2>&-", ">&- 2>&-"):
        ended = subprocess.run(
            ["/bin/sh", "-c", f'"$0" -m cli tx show abc {redirection}', sys.executable],
            env=build_environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (ended.returncode, ended.stdout) == (ExitCode.USAGE, "")
        assert ("is no transaction id" in ended.stderr) == ("2>&-" not in redirection)
