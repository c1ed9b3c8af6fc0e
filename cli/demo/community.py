"""The network of a demonstration: validators on free ports of this machine, a meter's key for each home."""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cli.client_settings import WALLETS_DIRECTORY
from cli.demo.day import LEAD_S, DayPlan
from cli.demo.options import HOMES_MAX, DemoOptions
from cli.demo.processes import ValidatorProcess, build_environment, choose_commands, find_free_ports
from cli.failure import CliError, build_usage_error
from cli.network_spec import ConsensusSpec, EnergySpec, NetworkSpec, UtilitySpec, ValidatorSpec
from cli.node_settings import build_node_config
from cli.passphrase import PASSPHRASE_VARIABLE
from cli.provision import Network, create_network
from meter.keystore import (
    KEY_SUFFIX,
    SEED_BYTES,
    KeyKind,
    KeyLabel,
    KeystoreError,
    OpenedKey,
    create_key,
    open_key,
)
from meter.proofs import TrustAnchor, build_trust_anchor
from node.config import ClockConfig
from node.config_text import render_config
from primitives.hashing import compute_account_id
from primitives.signing import SecretKey
from vm.contracts.energy.metering import RATING_W_MAX

GRACE_S = 300
CORRECTION_S = 7 * 86_400
FUTURE_S = 60
CLOCK_SCALE = 60.0
"""Half of the grace passes in 2.5 s, then the clocks hold: waiting for a new primary never costs a slot."""
HEARTBEAT_MS = 2000
"""So that whoever comes back soon finds a block to vote for."""
DRIFT_MS = 3_600_000
"""The clocks are stepped one after the other, by a slot each time."""
RATING_W_MIN = 43_000
"""A household's connection with 63 A on three phases."""
CURRENCY_PACKAGED = "USD"
CURRENCY = "EUR"
UTILITY_NAMES = ("utility", *(f"utility-{number}" for number in range(HOMES_MAX)))
"""The first one that no home bears."""
PASSPHRASE_NAME = "passphrase"  # noqa: S105  # the name of a file is no secret
PASSPHRASE_BYTES = 16


@dataclass(frozen=True)
class Community:
    """A network that is ready to be started, with who takes part in it."""

    network: Network
    spec: NetworkSpec
    anchor: TrustAnchor
    processes: tuple[ValidatorProcess, ...]
    urls: tuple[str, ...]
    utility: OpenedKey
    rating_w: int
    passphrase: bytes
    passphrase_file: Path | None


def found_community(options: DemoOptions, plan: DayPlan, directory: Path) -> Community:
    """Make the network in ``directory``.

    Raises:
        CliError: the disk refuses, or a home draws more than any connection carries.

    """
    rating_w = compute_rating(plan)
    ports = find_free_ports(2 * options.validators)
    spec = build_spec(options, plan, ports)
    given = os.environ.get(PASSPHRASE_VARIABLE)
    passphrase = given or secrets.token_hex(PASSPHRASE_BYTES)
    clock = ClockConfig(mode="stepped", scale=CLOCK_SCALE, origin_ms=_get_genesis_ms(plan))
    network = create_network(
        directory,
        spec,
        _get_genesis_ms(plan),
        passphrase.encode(),
        lambda made, index: render_config(build_node_config(made, index, clock)),
    )
    passphrase_file = None if given or not options.keep else _write_passphrase(directory, passphrase)
    try:
        utility = open_key(network.utility_key, passphrase.encode(), KeyKind.WALLET)
    except KeystoreError as error:
        raise CliError(str(error)) from None
    environment = build_environment(dict(os.environ), passphrase)
    commands = choose_commands(os.environ, options.validators)
    return Community(
        network=network,
        spec=spec,
        anchor=build_trust_anchor(network.genesis),
        processes=tuple(
            ValidatorProcess(home.name, home, environment, command)
            for home, command in zip(network.homes, commands, strict=True)
        ),
        urls=tuple(f"http://127.0.0.1:{validator.api_port}" for validator in spec.validators),
        utility=utility,
        rating_w=rating_w,
        passphrase=passphrase.encode(),
        passphrase_file=passphrase_file,
    )


def build_spec(options: DemoOptions, plan: DayPlan, ports: list[int]) -> NetworkSpec:
    """Return the specification of the demonstration's network; ``ports`` has two for each validator."""
    retail = max(options.retail, options.feed_in)
    homes = {home.home for home in plan.homes}
    return NetworkSpec(
        utility=UtilitySpec(next(name for name in UTILITY_NAMES if name not in homes)),
        name="demo",
        currency=CURRENCY_PACKAGED if options.is_packaged else CURRENCY,
        validators=[
            ValidatorSpec(f"node{index}", "127.0.0.1", ports[2 * index], ports[2 * index + 1])
            for index in range(options.validators)
        ],
        energy=EnergySpec(
            slot_s=plan.slot_s,
            grace_s=GRACE_S,
            correction_s=CORRECTION_S,
            future_s=FUTURE_S,
            feed_in_price=options.feed_in,
            retail_price=retail,
        ),
        consensus=ConsensusSpec(heartbeat_ms=HEARTBEAT_MS, drift_ms=DRIFT_MS),
    )


def compute_rating(plan: DayPlan) -> int:
    """Return a rating, in watts, that every slot of every home fits.

    Raises:
        CliError: usage; no connection carries that much.

    """
    largest_wh = max(max(slot.import_wh, slot.export_wh) for home in plan.homes for slot in home.slots)
    needed_w = -(-largest_wh * 3600 // plan.slot_s)
    if needed_w > RATING_W_MAX:
        raise build_usage_error(
            f"--data: a home has {largest_wh} Wh in one slot, more than {RATING_W_MAX} W carry; check the unit (Wh)"
        )
    return max(RATING_W_MIN, needed_w)


def make_meter_keys(community: Community, plan: DayPlan, *, keep: bool) -> dict[str, OpenedKey]:
    """Return a new key for each home's meter; in DIR/wallets when the network is kept, else in memory only.

    Raises:
        CliError: the disk refuses.

    """
    if not keep:
        return {home.home: _make_fleeting_key(home.home) for home in plan.homes}
    wallets = community.network.directory / WALLETS_DIRECTORY
    keys = {}
    try:
        for home in plan.homes:
            path = wallets / f"{home.home}{KEY_SUFFIX}"
            create_key(path, community.passphrase, KeyKind.METER, home.home)
            keys[home.home] = open_key(path, community.passphrase, KeyKind.METER)
    except KeystoreError as error:
        raise CliError(str(error)) from None
    return keys


def _make_fleeting_key(home: str) -> OpenedKey:
    key = SecretKey(secrets.token_bytes(SEED_BYTES))
    return OpenedKey(KeyLabel(KeyKind.METER, home, key.public, compute_account_id(key.public)), key)


def _write_passphrase(directory: Path, passphrase: str) -> Path:
    path = directory / PASSPHRASE_NAME
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{passphrase}\n")
    return path


def _get_genesis_ms(plan: DayPlan) -> int:
    return (plan.start_s - LEAD_S) * 1000
