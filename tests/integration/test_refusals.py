"""A validator that cannot run says why in one line, with what to do, under a documented exit code; no traceback."""

import asyncio
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from cli.failure import ExitCode
from primitives.encoding import encode
from tests.integration.community import Community, found_community, running
from tests.integration.validator import CALM, PASSPHRASE, Validator, until

JOURNAL = Path("data/journal")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Community:
    """A network whose validators are started alone: each test spoils the home of a copy."""
    return found_community(tmp_path_factory.mktemp("made") / "net")


@pytest.fixture
def validator(made: Community, tmp_path: Path) -> Iterator[Validator]:
    """A validator that was never started; whatever runs at the end is killed."""
    home = Path(shutil.copytree(made.validators[0].home, tmp_path / "node0"))
    validator = Validator("node0", home, made.validators[0].p2p_port, made.validators[0].api_port)
    yield validator
    if validator.is_running:
        validator.kill()


def refuse_to_run(validator: Validator, code: ExitCode, *, passphrase: str = PASSPHRASE) -> str:
    """Start a validator that must end by itself; return its one line about why."""
    validator.log_path.unlink(missing_ok=True)
    validator.start(passphrase=passphrase)
    assert asyncio.run(validator.wait_exit()) == code, validator.log
    return read_refusal(validator)


def read_refusal(validator: Validator) -> str:
    """Return the one line that the command ended with."""
    assert "Traceback" not in validator.log, validator.log
    lines = [line for line in validator.log.splitlines() if line.startswith("gridbft: ")]
    assert len(lines) == 1, validator.log
    return lines[0]


def run_until_it_answers(validator: Validator) -> None:
    """Start a validator alone and wait until it has opened everything."""
    validator.start()

    def answers() -> bool:
        assert validator.is_running, validator.log
        return validator.read_status() is not None

    asyncio.run(until(answers, "the validator answers"))


def spoil(path: Path, change: Callable[[bytearray], None]) -> None:
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)


def test_a_second_process_on_the_same_home_is_refused_and_the_first_goes_on(validator: Validator) -> None:
    run_until_it_answers(validator)
    second = Validator(validator.name, validator.home, validator.p2p_port, validator.api_port)
    second.start()
    assert asyncio.run(second.wait_exit()) == ExitCode.ERROR
    assert "another process" in read_refusal(validator)
    assert validator.read_status() is not None  # its socket is still its own
    asyncio.run(validator.stop())


@pytest.mark.parametrize("port", ["api", "p2p"])
def test_a_busy_port_is_named_with_the_setting_that_changes_it(validator: Validator, port: str) -> None:
    number = validator.api_port if port == "api" else validator.p2p_port
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", number))
        other.listen()
        line = refuse_to_run(validator, ExitCode.ERROR)
    assert str(number) in line
    assert f"{port}.port" in line


def test_a_missing_genesis_is_asked_for(validator: Validator) -> None:
    (validator.home / "genesis.bin").unlink()
    assert "genesis.bin: No such file or directory; copy the network's genesis" in refuse_to_run(
        validator, ExitCode.ERROR
    )


def test_a_damaged_genesis_is_refused(validator: Validator) -> None:
    spoil(validator.home / "genesis.bin", cut_tail)
    assert "genesis.bin is not a genesis of this version" in refuse_to_run(validator, ExitCode.ERROR)


def test_the_genesis_of_another_network_does_not_know_the_key(validator: Validator, tmp_path: Path) -> None:
    other = found_community(tmp_path / "other")
    shutil.copy(other.validators[0].home / "genesis.bin", validator.home / "genesis.bin")
    assert "is not the key that the genesis names for node0" in refuse_to_run(validator, ExitCode.ERROR)


def test_data_of_another_genesis_are_not_touched(validator: Validator, tmp_path: Path) -> None:
    run_until_it_answers(validator)
    asyncio.run(validator.stop())
    other = found_community(tmp_path / "other").validators[0]
    shutil.rmtree(validator.home / "keys")
    shutil.copytree(other.home / "keys", validator.home / "keys")
    shutil.copy(other.home / "genesis.bin", validator.home / "genesis.bin")
    before = (validator.home / JOURNAL).read_bytes()
    assert "belongs to the network with genesis" in refuse_to_run(validator, ExitCode.ERROR)
    assert (validator.home / JOURNAL).read_bytes() == before


def test_the_key_of_another_validator_is_refused(validator: Validator, made: Community) -> None:
    shutil.copy(made.validators[1].home / "keys/node.key", validator.home / "keys/node.key")
    told = refuse_to_run(validator, ExitCode.ERROR)
    assert "is the key of node1, and config.toml says 'node0'" in told


def test_a_wrong_passphrase_is_not_allowed(validator: Validator) -> None:
    line = refuse_to_run(validator, ExitCode.NOT_ALLOWED, passphrase="wrong horse")
    assert "the passphrase is wrong" in line


def test_an_altered_key_file_is_not_opened(validator: Validator) -> None:
    def flip(content: bytearray) -> None:
        content[-1] ^= 1

    spoil(validator.home / "keys/node.key", flip)
    assert "altered" in refuse_to_run(validator, ExitCode.NOT_ALLOWED)


def test_a_missing_key_file_is_not_found(validator: Validator) -> None:
    (validator.home / "keys/node.key").unlink()
    assert "node.key" in refuse_to_run(validator, ExitCode.NOT_FOUND)


def test_a_home_that_cannot_be_written_is_named(validator: Validator) -> None:
    (validator.home / "data").write_bytes(b"a file where a directory belongs")
    assert "data" in refuse_to_run(validator, ExitCode.ERROR)


def test_a_missing_config_is_a_usage_error(validator: Validator) -> None:
    (validator.home / "config.toml").unlink()
    assert "config.toml" in refuse_to_run(validator, ExitCode.USAGE)


def test_the_passphrase_is_neither_in_the_environment_nor_in_the_arguments(validator: Validator) -> None:
    run_until_it_answers(validator)
    for name in ("environ", "cmdline"):
        assert PASSPHRASE.encode() not in Path(f"/proc/{validator.pid}/{name}").read_bytes()


@pytest.mark.slow
def test_a_journal_without_its_tail_is_a_power_cut_and_one_damaged_in_the_middle_is_refused(
    tmp_path: Path,
) -> None:
    community = found_community(tmp_path / "net")
    torn, damaged = community.validators[1], community.validators[2]

    async def work() -> None:
        async with running(community):
            for _ in range(5):
                await community.deliver([community.sign_grant()])
            for validator in (torn, damaged):
                validator.kill()
            spoil(torn.home / JOURNAL, cut_tail)
            spoil(damaged.home / JOURNAL, overwrite_middle)
            torn.start()
            await community.wait_linked()
            await community.deliver([community.sign_grant()])
            await community.wait_agreed()
            await community.check_acknowledged()
            damaged.start()
            assert await damaged.wait_exit() == ExitCode.ERROR

    asyncio.run(work())
    torn.check_log(allowed=CALM)
    line = read_refusal(damaged)
    assert "journal" in line
    assert "damaged" in line


def cut_tail(content: bytearray) -> None:
    del content[-7:]


def overwrite_middle(content: bytearray) -> None:
    """Destroy a quarter of the file: both copies of the votes there."""
    quarter = len(content) // 4
    content[quarter : 2 * quarter] = bytes(quarter)


@pytest.mark.slow
def test_a_full_disk_stops_the_validator_and_the_others_go_on_until_it_has_room_again(tmp_path: Path) -> None:
    community = found_community(tmp_path / "net")
    full = community.validators[3]
    full.file_bytes_max = 150_000

    async def work() -> None:
        async with running(community):
            while full.is_running:
                await community.deliver([community.sign_grant() for _ in range(40)])
            assert await full.wait_exit() == ExitCode.ERROR
            await community.deliver([community.sign_grant() for _ in range(40)])
            full.file_bytes_max = None
            full.start()
            await community.wait_linked()
            await community.wait_agreed()
            await community.check_acknowledged()

    asyncio.run(work())
    line = read_refusal(full)
    assert "full" in line or "too large" in line, line


@pytest.mark.slow
def test_a_peer_with_another_genesis_is_named_in_the_status_of_both(tmp_path: Path) -> None:
    """One validator was given the genesis of a network with the same keys and another name."""
    community = found_community(tmp_path / "net")
    stray = community.validators[3]
    genesis = structs.replace(community.network.genesis, name="another-street")
    (stray.home / "genesis.bin").write_bytes(encode(genesis))

    def finds(name: str) -> Callable[[Mapping[str, Any]], bool]:
        def found(status: Mapping[str, Any]) -> bool:
            return any(p["name"] == name and "another genesis" in p["last_error"] for p in status["peers"])

        return found

    async def work() -> None:
        try:
            community.start()
            await community.wait_statuses(
                lambda statuses: (
                    all(map(finds(stray.name), statuses[:3]))
                    and all(finds(other.name)(statuses[3]) for other in community.validators[:3])
                ),
                "the stray validator and the others name each other",
            )
            stray.kill()
            await community.wait_linked()
            await community.deliver([community.sign_grant()])
        finally:
            for validator in community.running:
                validator.kill()

    asyncio.run(work())
