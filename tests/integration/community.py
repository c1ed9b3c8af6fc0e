"""A community of real validator processes on free ports of this machine, and what its members do with it.

Nothing here sleeps to give others time: every wait is for a condition, with a deadline that fails by name.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count, permutations
from pathlib import Path
from time import monotonic
from typing import Any, Literal

from msgspec import structs

from cli.demo.processes import choose_commands
from cli.failure import ExitCode
from cli.network_spec import ConsensusSpec, EnergySpec, NetworkSpec, ValidatorSpec
from cli.node_settings import build_node_config
from cli.passphrase import PASSPHRASE_VARIABLE
from cli.provision import Network, create_network
from meter.client import Client, open_client
from meter.keystore import KeyKind, OpenedKey, open_key
from meter.outcomes import Committed, Outcome
from meter.proofs import TrustAnchor, build_trust_anchor, check_receipt
from meter.signer import Signer
from meter.validators import ClientSettings
from node.config import ClockConfig
from node.config_text import render_config
from primitives.encoding import Struct, encode
from primitives.hashing import compute_account_id
from primitives.ids import AccountId, Height, Nonce
from primitives.signing import SecretKey
from tests.integration.links import Links, open_proxy
from tests.integration.namespaces import can_delay, can_route, get_address, get_namespace, open_namespaces
from tests.integration.ports import find_free_ports
from tests.integration.validator import DEADLINE_S, PASSPHRASE, POLL_S, REPOSITORY, Validator
from vm.contracts.ledger import Asset, Grant
from vm.transaction import Call, SealedTransaction

GENESIS_S = 1_497_253_800
"""12 June 2017, 07:50 UTC: ten minutes before the first slot of the CityLearn file."""
SLOT_S = 3600
FIRST_SLOT_S = GENESIS_S + 600
PATIENCE = ClientSettings(
    request_timeout_s=5.0, rounds=8, pause_first_s=0.05, pause_max_s=0.5, resend_after_s=1.0
)


@dataclass
class Community:
    """The network, its processes, and who signs. ``acknowledged`` are the transactions with verified receipts.

    ``detours`` are the ports, by (source, target), under which validators look for each other when their links are
    to be made faulty; without ``open_links`` nobody listens there.
    """

    network: Network
    anchor: TrustAnchor
    validators: tuple[Validator, ...]
    utility_key: OpenedKey
    acknowledged: dict[bytes, Committed] = field(default_factory=dict)
    nonces: "count[int]" = field(default_factory=lambda: count(1))
    height: Height = Height(0)
    detours: Mapping[tuple[str, str], int] = field(default_factory=dict)

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(validator.url for validator in self.validators)

    @property
    def utility(self) -> Signer:
        return self.build_signer(self.utility_key.key)

    @property
    def running(self) -> list[Validator]:
        return [validator for validator in self.validators if validator.is_running]

    def get(self, name: str) -> Validator:
        return next(validator for validator in self.validators if validator.name == name)

    def build_signer(self, key: SecretKey) -> Signer:
        account = (
            self.utility_key.label.account
            if key.public == self.utility_key.label.public_key
            else AccountId(compute_account_id(key.public))
        )
        return Signer(key, account, self.network.genesis_hash)

    @asynccontextmanager
    async def open_client(self, *preferred: Validator, alone: bool = False) -> AsyncIterator[Client]:
        """Open a client of all validators, the preferred ones first, or of those ``alone``."""
        first = [validator.url for validator in preferred]
        urls = first if alone else [*first, *(url for url in self.urls if url not in first)]
        async with open_client(urls, self.anchor, PATIENCE) as client:
            yield client

    @asynccontextmanager
    async def open_links(self, seed: int = 0) -> AsyncIterator[Links]:
        """Lead the links of all validators through what can spoil each of them: the proxy, or a router."""
        ports = {validator.name: validator.p2p_port for validator in self.validators}
        if self.validators[0].namespace is not None:
            async with open_namespaces(list(ports)) as links:
                yield links
        else:
            async with open_proxy(list(ports), self.detours, ports, seed) as proxied:
                yield proxied

    def start(self, validators: Iterable[Validator] | None = None) -> None:
        for validator in self.validators if validators is None else validators:
            validator.start()

    async def wait_linked(self, deadline_s: float = DEADLINE_S) -> None:
        """Wait until all running validators are linked to each other and follow."""
        others = len(self.running) - 1

        def is_linked(status: Mapping[str, Any]) -> bool:
            linked = sum(bool(peer["connected"]) for peer in status["peers"])
            return linked >= others and status["phase"] == "normal"

        await self.wait_statuses(
            lambda statuses: all(map(is_linked, statuses)), "all are linked and follow", deadline_s
        )

    async def read_statuses(self, validators: Sequence[Validator]) -> list[Mapping[str, Any]] | None:
        """Return the status of each, or None while one of them does not answer."""
        statuses = [await asyncio.to_thread(validator.read_status) for validator in validators]
        known = [status for status in statuses if status is not None]
        return known if len(known) == len(validators) else None

    async def wait_statuses(
        self,
        condition: Callable[[list[Mapping[str, Any]]], bool],
        what: str,
        deadline_s: float = DEADLINE_S,
        among: Sequence[Validator] | None = None,
    ) -> list[Mapping[str, Any]]:
        """Wait until the running validators all answer and what they say together fits."""
        validators = self.running if among is None else list(among)
        end_s = monotonic() + deadline_s
        while True:
            for validator in validators:
                assert validator.is_running, f"{validator.name} ended by itself: {validator.log[-3000:]}"
            statuses = await self.read_statuses(validators)
            if statuses is not None and condition(statuses):
                return statuses
            shown = [
                {**{name: status[name] for name in SHOWN}, **_show_peers(status)} for status in statuses or []
            ]
            assert monotonic() < end_s, f"not within {deadline_s:.0f} s: {what}; {shown}"
            await asyncio.sleep(POLL_S)

    async def wait_agreed(
        self, deadline_s: float = DEADLINE_S, among: Sequence[Validator] | None = None
    ) -> Mapping[str, Any]:
        """Wait until the running validators show the same certified height; their state roots must be equal there."""
        statuses = await self.wait_statuses(
            lambda found: (
                len({s["certified_height"] for s in found}) == 1
                and all(s["mempool"] == 0 and s["height"] == s["certified_height"] for s in found)
            ),
            "all have the same certified height",
            deadline_s,
            among,
        )
        assert len({status["state_root"] for status in statuses}) == 1, statuses
        return statuses[0]

    async def start_cli(self, *arguments: object) -> asyncio.subprocess.Process:
        """Start a command of a member whose home is the network's directory, in a process of its own."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("GRIDBFT_")}
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli", "--home", str(self.network.directory), *map(str, arguments)),
            cwd=REPOSITORY,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=kept | {PASSPHRASE_VARIABLE: PASSPHRASE},
        )

    async def run_cli(self, *arguments: object, code: ExitCode = ExitCode.OK) -> str:
        """Run a command to its end; return its data. It must end with ``code`` and without a traceback."""
        process = await self.start_cli(*arguments)
        out, talk = await process.communicate()
        assert b"Traceback" not in talk, talk.decode()
        assert process.returncode == code, f"{arguments}: {process.returncode}: {talk.decode()}"
        return out.decode()

    async def step_clocks(self, time_s: int, hold_s: int | None = None) -> None:
        """Move the clocks of all running validators; they stand still at ``time_s``, or later at ``hold_s``."""
        body = {"time_ms": time_s * 1000, "hold_ms": (time_s if hold_s is None else hold_s) * 1000}
        moves = (asyncio.to_thread(each.ask_admin, "POST", "/clock", body) for each in self.running)
        await asyncio.gather(*moves)

    def sign_utility(self, contract: str, method: str, arguments: Struct) -> SealedTransaction:
        """Return the utility's next transaction, valid for a thousand blocks from the last one that it knows."""
        call = Call(contract, method, encode(arguments))
        return self.utility.sign(call, Nonce(next(self.nonces)), self.height)

    def sign_grant(self) -> SealedTransaction:
        """Return a transaction that leaves a trace each time it is applied: one coin more for the utility."""
        return self.sign_utility("ledger", "grant", Grant(self.utility.account, Asset.COIN, 1))

    def keep(self, outcome: Outcome) -> Committed:
        """Keep what was acknowledged: a receipt that is verified here once more, from its bytes and the genesis."""
        assert isinstance(outcome, Committed), outcome
        assert check_receipt(self.anchor, outcome.transaction_id, outcome.proof) is None
        known = self.acknowledged.setdefault(outcome.transaction_id, outcome)
        self.height = max(self.height, outcome.height)
        assert known.height == outcome.height, f"{outcome.transaction_id.hex()} stands in two blocks"
        return outcome

    async def deliver(
        self, transactions: Sequence[SealedTransaction], *preferred: Validator
    ) -> list[Committed]:
        """Deliver transactions, all of which must be committed, and keep them as acknowledged."""
        async with self.open_client(*preferred) as client:
            outcomes = await client.deliver_many(transactions, DEADLINE_S)
            self.anchor = client.anchor  # followed to the epoch of what was proven
        return [self.keep(outcome) for outcome in outcomes]

    async def check_acknowledged(self) -> None:
        """Every acknowledged transaction stands in every validator at the same height and place, applied."""
        places: dict[bytes, set[tuple[int | None, int | None]]] = {}
        for validator in self.running:
            async with self.open_client(validator, alone=True) as client:
                for name, outcome in self.acknowledged.items():
                    answer = await client.get_transaction(outcome.transaction_id)
                    assert answer.status == "committed", f"{validator.name}: {answer}"
                    assert answer.rejection is None, f"{validator.name}: {answer}"
                    assert answer.certified, f"{validator.name}: {answer}"
                    assert answer.height == outcome.height, f"{validator.name}: {answer}"
                    places.setdefault(name, set()).add((answer.height, answer.index))
        assert all(len(found) == 1 for found in places.values()), places

    async def read_coins(self, validator: Validator) -> int:
        """Return how many coins the utility has, as one validator's certified state says."""
        async with self.open_client(validator, alone=True) as client:
            return (await client.get_account(self.utility.account.hex())).balances.coins

    async def read_blocks(self, validator: Validator) -> Sequence[Mapping[str, Any]]:
        """Return all blocks above genesis as one validator shows them."""
        async with self.open_client(validator, alone=True) as client:
            height = (await client.get_status()).certified_height
            return [
                await client.ask(f"/v1/blocks/{number}", dict[str, Any]) for number in range(1, height + 1)
            ]


SHOWN = ("name", "height", "certified_height", "view", "active", "phase", "mempool", "waiting")


def _show_peers(status: Mapping[str, Any]) -> Mapping[str, object]:
    return {"lost": {p["name"]: p["last_error"] for p in status["peers"] if not p["connected"]}}


def found_community(
    directory: Path,
    *,
    validators: int = 4,
    stepped: bool = True,
    energy: EnergySpec | None = None,
    consensus: ConsensusSpec | None = None,
    over: Literal["loopback", "proxy", "namespaces"] = "loopback",
) -> Community:
    """Make a network in ``directory``; nothing runs yet. Other than over loopback they meet within ``open_links``."""
    ports = find_free_ports(2 * validators)
    routed = over == "namespaces"
    hosts = [get_address(i) if routed else "127.0.0.1" for i in range(validators)]
    spec = NetworkSpec(
        name="street",
        currency="EUR",
        validators=[
            ValidatorSpec(f"node{i}", hosts[i], ports[2 * i], ports[2 * i + 1]) for i in range(validators)
        ],
        energy=energy or EnergySpec(slot_s=SLOT_S, grace_s=300),
        consensus=consensus or ConsensusSpec(heartbeat_ms=2000, drift_ms=3_600_000),
    )
    clock = ClockConfig(mode="stepped", origin_ms=GENESIS_S * 1000) if stepped else ClockConfig()
    pairs = list(permutations([each.name for each in spec.validators], 2)) if over == "proxy" else []
    detours = dict(zip(pairs, find_free_ports(len(pairs)), strict=True))

    def render(made: NetworkSpec, index: int) -> str:
        config = build_node_config(made, index, clock)
        peers = (
            structs.replace(peer, port=detours.get((config.name, peer.name), peer.port))
            for peer in config.peers
        )
        return render_config(structs.replace(config, peers=tuple(peers)))

    network = create_network(directory, spec, GENESIS_S * 1000, PASSPHRASE.encode(), render)
    return Community(
        network=network,
        anchor=build_trust_anchor(network.genesis),
        validators=tuple(
            Validator(
                *(home.name, home, ports[2 * i], ports[2 * i + 1], hosts[i]),
                namespace=get_namespace(i) if routed else None,
                environment={"GRIDBFT_API_HOST": hosts[i], "GRIDBFT_API_PRIVATE_READS": "open"}
                if routed
                else {},
                command=command,
            )
            for i, (home, command) in enumerate(
                zip(network.homes, choose_commands(os.environ, validators), strict=True)
            )
        ),
        utility_key=open_key(network.utility_key, PASSPHRASE.encode(), KeyKind.WALLET),
        detours=detours,
    )


async def choose_fabric() -> Literal["proxy", "namespaces"]:
    """Return what can make links late on this machine: the kernel if it has all that is needed, else the proxy."""
    return "namespaces" if await can_route() and await can_delay() else "proxy"


@asynccontextmanager
async def running(community: Community) -> AsyncIterator[Community]:
    """Start all, wait until they are linked, and end whatever runs when the block is left in any way."""
    try:
        community.start()
        await community.wait_linked()
        yield community
    finally:
        for validator in community.running:
            validator.kill()


Play = Callable[[Community], Awaitable[None]]


def play(community: Community, act: Play) -> None:
    """Run an act of a test with all validators up."""

    async def run() -> None:
        async with running(community):
            await act(community)

    asyncio.run(run())
