"""What every `gridbft collect` does: open the meter's key and spool, run source and delivery, and end well."""

import asyncio
import logging
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cli.client_settings import ClientHome, open_client_home
from cli.collector_status import COLLECT_DIRECTORY
from cli.console import print_json, print_line, talk
from cli.failure import CliError, ExitCode, build_usage_error, find_expected
from cli.keys import open_wallet_key
from cli.money import count
from cli.options import find_home
from meter.collect.collector import Collector
from meter.collect.delivery import Delivering, OtherKeyError, Patience, fetch_facts
from meter.collect.observation import Observed
from meter.collect.state import CollectorState, Facts, read_state
from meter.keystore import KeyKind, KeystoreError, OpenedKey, list_keys
from meter.proofs import build_trust_anchor
from meter.reading import Reading
from meter.signer import Signer
from meter.sources.table import format_time
from meter.spool import Spool, open_spool
from meter.spool_file import SpoolError
from meter.validators import ClientError, ClientSettings, NotFoundError
from primitives.ids import Nonce
from primitives.text import to_line
from vm.genesis import Genesis, is_name_sound

if TYPE_CHECKING:
    from meter.client import Client

PATIENCE = ClientSettings(request_timeout_s=5.0, rounds=2, resend_after_s=5.0)
LIBRARIES = ("pymodbus.logging", "mqtt", "aiomqtt")
LAST_ATTEMPTS = 3
"""After the end of a file: three attempts of half a minute each, then the next run takes up what waits."""


@dataclass(frozen=True)
class Wish:
    """What was asked for on the command line, alike for every kind of source."""

    home: Path | None
    node: str | None
    meter: str | None
    passphrase_file: Path | None
    window_s: int
    as_json: bool


def collect(wish: Wish, source: str, observe: Callable[[str], AsyncGenerator[Observed, None]]) -> None:
    """Collect from a source until it ends, or until SIGTERM or Ctrl-C; ``observe`` gets the meter's name.

    Raises:
        CliError: the key, the spool or the meter is refused; or readings still wait at the end of a file.

    """
    home = open_client_home(find_home(wish.home), wish.node)
    genesis = home.read_genesis()
    name = _find_meter(home, wish.meter)
    if not 0 <= wish.window_s < genesis.energy.slot_s:
        raise build_usage_error(f"--window-s: from 0 to less than a slot of {genesis.energy.slot_s} s")
    key = open_wallet_key(home, name, wish.passphrase_file, KeyKind.METER)
    path = home.directory / COLLECT_DIRECTORY / f"{name}.json"
    for library in LIBRARIES:  # what they would say stands in the link's state
        logging.getLogger(library).setLevel(logging.CRITICAL + 1)
    try:
        if not path.with_suffix(".db").exists():  # whoever has a spool is not fed by hand any more
            asyncio.run(_check_registered(home, genesis, key, name))
        with open_spool(path.with_suffix(".db"), genesis.compute_hash()) as spool:
            state = read_state(path, name)
            state.source = source
            run = _Run(home, genesis, key, spool, state, path, wish)
            asyncio.run(run.run(observe))
    except (SpoolError, ClientError) as error:
        raise CliError(str(error)) from None
    except BaseExceptionGroup as group:
        expected = find_expected(group, (SpoolError, ClientError, OSError))
        if expected is None:
            raise
        raise CliError(str(expected)) from None


async def _check_registered(home: ClientHome, genesis: Genesis, key: OpenedKey, name: str) -> None:
    """Refuse a first start that could not begin, before it leaves anything behind.

    Raises:
        CliError: no validator answers, or the meter is none of this key.

    """
    async with _open_client(home, genesis) as client:
        try:
            await _fetch_facts(
                client, name, Signer(key.key, key.label.account, genesis.compute_hash()), genesis
            )
        except ClientError as error:
            raise _build_first_start(error, name) from None


async def _fetch_facts(client: "Client", name: str, signer: Signer, genesis: Genesis) -> tuple[Facts, Nonce]:
    """Return what the ledger knows of a meter, and the nonce that it has not used.

    Raises:
        CliError: it is not registered, or has another key.
        ClientError: no validator answers.

    """
    try:
        return await fetch_facts(client, signer.account, signer.key.public, genesis.energy.slot_s)
    except NotFoundError:
        raise CliError(
            f"{name} is not registered; the utility does it: gridbft meter register {name}",
            ExitCode.NOT_FOUND,
        ) from None
    except OtherKeyError as error:
        raise CliError(f"{name}: {error}", ExitCode.NOT_ALLOWED) from None


def _build_first_start(error: ClientError, name: str) -> CliError:
    return CliError(f"{error}; the first start needs a validator, to learn from when on {name} is read")


def _open_client(home: ClientHome, genesis: Genesis) -> "AbstractAsyncContextManager[Client]":
    from meter.client import open_client

    patience = replace(PATIENCE, token=home.read_token())
    return open_client(home.get_urls(), build_trust_anchor(genesis), patience)


class _Run:
    """One collecting process."""

    def __init__(
        self,
        home: ClientHome,
        genesis: Genesis,
        key: OpenedKey,
        spool: Spool,
        state: CollectorState,
        path: Path,
        wish: Wish,
    ) -> None:
        self._home = home
        self._genesis = genesis
        self._wish = wish
        signer = Signer(key.key, key.label.account, genesis.compute_hash())
        self._collector = Collector(spool, signer, state, path, window_s=wish.window_s)
        self._collector.listeners.append(self._tell)
        self._problem: str | None = None

    async def run(self, observe: Callable[[str], AsyncGenerator[Observed, None]]) -> None:
        async with _open_client(self._home, self._genesis) as client:
            await self._learn(client)
            delivering = Delivering(self._collector, client, Patience())
            is_stopped = await self._work(delivering, observe)
            if not is_stopped:
                await delivering.drain(LAST_ATTEMPTS)
        self._end(is_stopped=is_stopped)

    async def _work(
        self, delivering: Delivering, observe: Callable[[str], AsyncGenerator[Observed, None]]
    ) -> bool:
        """Observe and deliver until the source ends or a signal comes; tell whether it was a signal."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            observing = tasks.create_task(self._observe(observe))
            carrying = tasks.create_task(delivering.run())
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, observing.cancel)
            await asyncio.wait([observing])
            carrying.cancel()
        return observing.cancelled()

    async def _learn(self, client: "Client") -> None:
        """Ask what the ledger knows of the meter; without an answer what was known last time must do."""
        collector = self._collector
        state, signer = collector.state, collector.signer
        try:
            facts, nonce = await _fetch_facts(client, state.meter, signer, self._genesis)
        except ClientError as error:
            if state.facts is None or state.facts.account != signer.account.hex():
                raise _build_first_start(error, state.meter) from None
            state.network_problem = to_line(str(error))
            talk(f"{state.meter}: no validator answers; readings wait in the spool")
            return
        collector.spool.raise_nonce(signer.account, nonce)
        collector.learn(facts)

    async def _observe(self, observe: Callable[[str], AsyncGenerator[Observed, None]]) -> None:
        collector = self._collector
        collector.write()
        talk(f"{collector.state.meter}: collecting from {collector.state.source}")
        async with aclosing(observe(collector.state.meter)) as found:
            async for observed in found:
                collector.take(observed)
                if collector.state.link_problem != self._problem:
                    self._problem = collector.state.link_problem
                    talk(f"{collector.state.meter}: {self._problem or 'the source is open'}")

    def _tell(self, reading: Reading) -> None:
        if self._wish.as_json:
            print_json(
                {"time_s": reading.time_s, "import_wh": reading.import_wh, "export_wh": reading.export_wh}
            )
        else:
            print_line(
                f"{format_time(reading.time_s)} import {reading.import_wh} Wh export {reading.export_wh} Wh"
            )

    def _end(self, *, is_stopped: bool) -> None:
        state = self._collector.state
        state.link_problem = "stopped" if is_stopped else "the file ended"
        self._collector.write()
        for reason, number in sorted(state.dropped.items()):
            talk(f"  dropped {number} in all: {reason}")
        if state.last_seen is not None and not state.readings:
            newest = format_time(self._collector.find_before().time_s)
            talk(
                f"  nothing that was seen is of the end of a slot after {newest}, where the meter's readings stand;"
                f" the last was of {format_time(state.last_seen.time_s)}"
            )
        made = count(state.readings, "reading")
        talk(f"{made} made in all, {state.committed} committed with proof, {state.waiting} wait")
        if state.waiting and not is_stopped:
            raise CliError(
                f"{count(state.waiting, 'reading')} not confirmed yet, and kept: run the same command again",
                ExitCode.OUTCOME_UNKNOWN,
            )


def _find_meter(home: ClientHome, name: str | None) -> str:
    """Return the meter that was named, else the only one with a key here."""
    if name is not None:
        if not is_name_sound(name):
            raise build_usage_error(
                f"{name!r} is no name: 1 to 32 letters, digits, dots, dashes, underscores"
            )
        return name
    try:
        keys = list_keys(home.wallets)
    except KeystoreError as error:
        raise CliError(str(error)) from None
    names = [key.label.name for key in keys if key.label is not None and key.label.kind is KeyKind.METER]
    if len(names) != 1:
        raise build_usage_error(f"{home.wallets} has {len(names)} keys of meters; name one with --meter")
    return names[0]
