"""`gridbft doctor`: look a validator's machine and home over, and pack what was found for somebody who helps."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import print_json, print_line, talk
from cli.failure import CliError, ExitCode, build_usage_error
from cli.inputs import check_input
from cli.options import HomeOption, JsonOption, NodeOption, find_home

if TYPE_CHECKING:
    from node.config import NodeConfig
    from node.doctor.clock import Moment
    from node.doctor.disk import Mount
    from node.doctor.findings import Finding
    from node.doctor.network import Answered
    from node.home import Constitution

ROOT = Path("/")
LOGS_MAX = 8


@dataclass(frozen=True)
class Patient:
    """What the checks look at, gathered once; what could not be gathered is None, with the reason."""

    home: Path
    config: "NodeConfig | None"
    config_problem: str
    constitution: "Constitution | None"
    genesis_problem: str
    status: Mapping[str, object] | None
    is_running: bool
    answers: "Sequence[Answered]"
    began: "Moment"


def doctor(
    *,
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle", metavar="FILE", help="Also pack what was found in a tar.gz; no secret is in it."
        ),
    ] = None,
    log: Annotated[
        list[Path] | None,
        typer.Option(
            "--log", metavar="FILE", help="With --bundle: pack the end of this log too; may be repeated."
        ),
    ] = None,
    home: HomeOption = None,
    node: NodeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check clock, disk, permissions, keys, genesis, certificates, ports, settings, journal and machine of a validator.

    Works while the node runs and while it does not. Nothing is changed, but a small file is written to HOME and deleted
    again to time the disk. The exit code is 4 when something is a problem.
    """
    from node.doctor.findings import Level, find_worst, tabulate

    directory = find_home(home)
    if not directory.is_dir():
        raise build_usage_error(f"{directory}: no such directory; name the home of a validator with --home")
    if bundle is not None and bundle.exists():
        raise build_usage_error(f"{bundle}: there is a file of this name; name another one")
    logs = _check_logs(log or [], is_packing=bundle is not None)
    patient = examine(directory, node)
    findings = list(list_findings(patient))
    worst = find_worst(findings)
    if as_json:
        print_json({"level": worst.value, "findings": tabulate(findings)})
    else:
        _print_findings(findings)
    if bundle is not None:
        _pack(bundle, patient, findings, logs)
    if worst is Level.PROBLEM:
        problems = sum(each.level is Level.PROBLEM for each in findings)
        raise CliError(f"{problems} of {len(findings)} checks found a problem", ExitCode.UNHEALTHY)


def _check_logs(logs: list[Path], *, is_packing: bool) -> list[Path]:
    """Return the logs to pack; whoever names one wants it in the bundle, and hears before anything is looked at.

    Raises:
        CliError: usage; one cannot be read, there are too many, or there is no bundle for them.

    """
    if logs and not is_packing:
        raise build_usage_error("--log: there is no bundle to pack it in; add --bundle FILE")
    if len(logs) > LOGS_MAX:
        raise build_usage_error(f"--log: at most {LOGS_MAX} are packed; join them, or leave some out")
    return [check_input(each, "--log") for each in logs]


def examine(home: Path, node: str | None) -> Patient:
    """Gather what the checks look at; every step may fail and is named."""
    from cli.admin import ask_admin
    from cli.probing import ask_statuses
    from node.config import ConfigError, load_config
    from node.errors import NodeError
    from node.home import load_constitution

    began = _get_moment()
    config, config_problem = None, ""
    try:
        config = load_config(home, os.environ)
    except ConfigError as error:
        config_problem = str(error)
    constitution, genesis_problem = None, ""
    try:
        constitution = load_constitution(home)
    except NodeError as error:
        genesis_problem = str(error)
    status = None
    with suppress(CliError):  # it does not run, which is a finding
        status = ask_admin(home, "GET", "/status")
    is_running = status is not None or _is_locked(home)
    answers = ask_statuses(find_urls(home, node, config))
    return Patient(
        *(home, config, config_problem, constitution, genesis_problem, status),
        is_running=is_running,
        answers=answers,
        began=began,
    )


def find_urls(home: Path, node: str | None, config: "NodeConfig | None") -> list[str]:
    """Return the APIs of other validators to ask: the one named, else those of client.toml here or one above.

    Raises:
        CliError: usage; client.toml or --node say something wrong.

    """
    from cli.client_settings import CLIENT_NAME, check_url, open_client_home

    if node is not None:
        return [check_url(node, "--node")]
    for directory in (home, home.parent):
        if (directory / CLIENT_NAME).is_file():
            ends = open_client_home(directory).settings.validators
            own = None if config is None else config.name
            return [check_url(end.url, CLIENT_NAME) for end in ends if end.name != own]
    return []


def list_findings(patient: Patient) -> "Iterator[Finding]":
    """Yield what each check says, in a fixed order; what the system does not let a check see is a warning."""
    from node.doctor.clock import check_jump

    for name, check in _list_checks(patient):
        yield _perform(name, check)
    yield check_jump(patient.began, _get_moment())


Check = Callable[[], "Finding"]


def _list_checks(patient: Patient) -> Iterator[tuple[str, Check]]:
    from node.doctor import clock, disk, machine, network, settings
    from node.doctor.home import check_genesis

    data = patient.home / "data"
    place = data if data.is_dir() else patient.home  # the data may be on a disk of their own
    yield "node", partial(network.check_node, patient.status)
    yield "config", partial(settings.check_config, patient.config, patient.config_problem)
    yield "genesis", partial(check_genesis, patient.constitution, patient.genesis_problem)
    yield "clock", partial(clock.check_year, _get_moment())
    mount = _find_mount(place)
    yield "disk_mount", partial(disk.check_mount, mount)
    yield "disk_space", lambda: disk.check_space(disk.read_space(place))
    yield "disk_inodes", lambda: disk.check_inodes(disk.read_space(place))
    yield "disk_sync", partial(disk.check_sync, place)
    yield "disk_written", partial(disk.check_written, ROOT, mount)
    yield "disk_wear", partial(disk.check_wear, ROOT, mount)
    yield "python", machine.check_python
    yield "packages", lambda: machine.check_packages(machine.read_versions())
    yield "descriptors", partial(machine.check_descriptors, patient.config)
    yield "memory", partial(machine.check_memory, ROOT)
    yield from _list_home_checks(patient)
    yield from _list_network_checks(patient)


def _list_home_checks(patient: Patient) -> Iterator[tuple[str, Check]]:
    from node.doctor import home, settings, stores

    yield "permissions", partial(home.check_permissions, patient.home)
    yield "owner", partial(home.check_owner, patient.home)
    yield "key", partial(home.check_key_file, patient.home)
    if patient.config is not None:
        yield "settings", partial(settings.check_safety, patient.config)
        yield "ports", partial(settings.check_ports, patient.config, is_running=patient.is_running)
    if patient.constitution is not None:
        validators = patient.constitution.genesis.validators
        yield "certificates", partial(home.check_certificates, validators, datetime.now(UTC))
        arguments = (patient.home, patient.constitution)
        yield "journal", partial(stores.check_journal, *arguments, is_running=patient.is_running)
        yield "store", partial(stores.check_store, *arguments, is_running=patient.is_running)


def _list_network_checks(patient: Patient) -> Iterator[tuple[str, Check]]:
    from node.doctor import clock, network

    answers = patient.answers
    yield "peers_api", partial(network.check_answers, answers)
    if patient.config is not None:
        yield "peers_p2p", partial(network.check_reachable, patient.config.peers)
    if patient.constitution is None:
        return
    own = patient.constitution.genesis_hash.hex()
    yield "same_genesis", partial(network.check_same_genesis, own, answers, patient.status)
    is_stepped = patient.config is not None and patient.config.clock.mode != "system"
    drift_ms = patient.constitution.genesis.consensus.drift_ms
    offsets_ms = {} if is_stepped else network.compute_offsets_ms(answers)
    times_ms = [found for each in answers if (found := each.get_number("block_time_ms")) is not None]
    yield "clock_offset", partial(clock.check_offset, offsets_ms, drift_ms)
    yield (
        "block_time",
        lambda: clock.check_block_time([] if is_stepped else times_ms, _get_moment(), drift_ms),
    )


def _perform(name: str, check: Check) -> "Finding":
    from node.doctor.findings import Finding, Level

    try:
        return check()
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return Finding(
            name,
            Level.WARNING,
            f"could not be looked at: {place}{error.strerror or error}",
            "run the checks as the node's user, or as root",
        )


def _find_mount(home: Path) -> "Mount | None":
    from node.doctor.disk import find_mount

    try:
        return find_mount(ROOT, home)
    except OSError:
        return None


def _is_locked(home: Path) -> bool:
    from node.errors import HomeError, NodeError
    from node.home_lock import hold_home

    try:
        if not (home / "data" / "journal.lock").exists():
            return False
        with hold_home(home / "data"):
            return False
    except HomeError:
        return True
    except (NodeError, OSError):
        return False  # the checks of what is there say that it could not be looked at


def _get_moment() -> "Moment":
    from node.doctor.clock import Moment

    return Moment(time.time_ns() // 1_000_000, time.monotonic_ns() // 1_000_000)


def _print_findings(findings: "Sequence[Finding]") -> None:
    for each in findings:
        print_line(f"{each.level:8} {each.check:13} {each.said}")
        if each.advice:
            print_line(f"{'':22} what to do: {each.advice}")


def _pack(path: Path, patient: Patient, findings: "list[Finding]", logs: list[Path]) -> None:
    import msgspec

    from cli.admin import ask_admin
    from cli.probing import NoAnswerError, fetch
    from node.doctor.bundle import collect_parts, write_bundle
    from node.doctor.machine import read_versions

    told: dict[str, object] = {"status": patient.status, "versions": read_versions()}
    metrics, config = "", patient.config
    told["settings"] = patient.config_problem if config is None else msgspec.to_builtins(config)
    if patient.status is not None:
        try:
            told["consensus"] = ask_admin(patient.home, "GET", "/consensus")
        except CliError as error:
            told["consensus"] = str(error)
    if config is not None and patient.is_running and config.api.port:
        try:
            metrics = fetch(f"http://{config.api.host}:{config.api.port}", "/metrics").decode(
                errors="replace"
            )
        except NoAnswerError as error:
            metrics = f"# no answer: {error}\n"
    paths = [*([patient.home / config.log.file] if config is not None and config.log.file else []), *logs]
    parts = collect_parts(patient.home, findings, told, metrics, paths, os.environ)
    try:
        write_bundle(path, parts)
    except OSError as error:
        raise CliError(f"{path}: {error.strerror}; no bundle was written") from None
    if not paths:
        talk(
            "no log is in it: log.file of config.toml is empty; --log FILE adds one (`journalctl -u UNIT > FILE`)"
        )
    talk(f"{path}: {', '.join(sorted(parts))}; keys, passphrases and tokens are not in it")
