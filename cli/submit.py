"""`gridbft submit`: readings go to disk, then to the validators, and count when their receipts are verified."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import build_talk, print_json, print_line, talk
from cli.failure import CliError, ExitCode, build_usage_error
from cli.options import HomeOption, JsonOption, NodeOption, PassphraseFileOption, find_home

if TYPE_CHECKING:
    from cli.client_settings import ClientHome
    from meter.client import Client
    from meter.courier import Delivery
    from meter.keystore import OpenedKey
    from meter.reading import Reading
    from meter.signer import MeterClock, Signer
    from meter.spool import Spool, SpoolEntry
    from primitives.ids import AccountId
    from vm.genesis import Genesis

SPOOL_NAME = "spool.db"
DELIVERY_TIMEOUT_S = 60.0
ROUNDS_MAX = 200
"""A hundred thousand readings, a thousand at a time, with as many pauses for blocks in between."""
SHOWN_REFUSALS_MAX = 10

app = typer.Typer(
    invoke_without_command=True,
    help="Submit readings of meters; what was taken to disk is sent again until it is proven.",
)

MeterOption = Annotated[
    str | None,
    typer.Option(
        "--meter", metavar="METER", help="Whose readings, where the file does not say.", show_default=False
    ),
]


@dataclass(frozen=True)
class Count:
    """What became of the readings of one command; ``refusals`` names each refused one with its reason."""

    submitted: int
    committed: int
    refusals: tuple[tuple[str, str], ...]
    unknown: int


@app.callback()
def submit(
    context: typer.Context,
    *,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", metavar="FILE", help="Readings (CSV: time_utc, import_wh, export_wh[, meter, status])."
        ),
    ] = None,
    meter: MeterOption = None,
    home: HomeOption = None,
    node: NodeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Submit all readings of a file, or one reading with `submit reading`."""
    if context.invoked_subcommand is not None:
        if file is not None:
            raise build_usage_error("--file: either a file, or one reading; not both")
        return
    if file is None:
        raise build_usage_error("name a file with --file, or one reading: gridbft submit reading METER …")
    from cli.client_settings import open_client_home

    client_home = open_client_home(find_home(home), node)
    readings = _read_file(client_home, file, meter)
    _submit(client_home, readings, passphrase_file, as_json=as_json)


@app.command()
def reading(
    meter: Annotated[str, typer.Argument(metavar="METER", help="Its key is HOME/wallets/METER.key.")],
    *,
    time: Annotated[
        str, typer.Option("--time", metavar="TIME", help="End of a slot in UTC, as 2026-01-01T00:15:00Z.")
    ],
    import_wh: Annotated[int, typer.Option("--import-wh", min=0, metavar="WH", help="Import register then.")],
    export_wh: Annotated[int, typer.Option("--export-wh", min=0, metavar="WH", help="Export register then.")],
    status: Annotated[str, typer.Option(metavar="LETTER", help="Meter status of OCMF; G is good.")] = "G",
    home: HomeOption = None,
    node: NodeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Submit one reading: the meter's cumulative registers at the end of a slot."""
    from cli.client_settings import open_client_home
    from cli.moments import parse_boundary
    from meter.reading import Reading, parse_status
    from primitives.ids import UnixSeconds, WattHours

    client_home = open_client_home(find_home(home), node)
    meter_status = parse_status(status)
    if meter_status is None:
        raise build_usage_error(
            f"--status {status!r}: a letter of OCMF's meter states, as G (good) or S (substitute)"
        )
    time_s = parse_boundary(time, client_home.read_genesis().energy.slot_s)
    value = Reading(UnixSeconds(time_s), WattHours(import_wh), WattHours(export_wh), meter_status)
    _submit(client_home, {meter: [value]}, passphrase_file, as_json=as_json)


def _read_file(home: "ClientHome", path: Path, meter: str | None) -> "dict[str, list[Reading]]":
    """Return the readings of a file by meter, in its order."""
    from meter.sources.csv import read_readings
    from meter.sources.table import SourceError

    try:
        rows = read_readings(path, home.read_genesis().energy.slot_s)
    except SourceError as error:
        raise build_usage_error(str(error)) from None
    readings: dict[str, list[Reading]] = {}
    for row in rows:
        name = row.meter or meter
        if name is None:
            raise build_usage_error(f"{path}: no column meter; name it with --meter")
        readings.setdefault(name, []).append(row.reading)
    return readings


def _submit(
    home: "ClientHome", readings: "dict[str, list[Reading]]", passphrase_file: Path | None, *, as_json: bool
) -> None:
    from cli.keys import open_wallet_key
    from cli.session import ask_validators
    from meter.keystore import KeyKind
    from meter.spool import open_spool
    from meter.spool_file import SpoolError

    genesis = home.read_genesis()
    _check_not_collected(home, readings)
    keys = {name: open_wallet_key(home, name, passphrase_file, KeyKind.METER) for name in readings}
    try:
        with open_spool(home.directory / SPOOL_NAME, genesis.compute_hash()) as spool:
            work = _Submission(genesis, keys, readings, spool, as_json=as_json)
            count = ask_validators(home, work.run)
    except SpoolError as error:
        raise CliError(str(error)) from None
    _report(count, as_json=as_json)


def _check_not_collected(home: "ClientHome", names: "Iterable[str]") -> None:
    """Refuse a meter that has a collector here: of two spools each would count nonces without the other."""
    from cli.collector_status import COLLECT_DIRECTORY

    for name in names:
        spool = home.directory / COLLECT_DIRECTORY / f"{name}.db"
        if spool.exists() and spool.stat().st_size:  # an empty file is what a full disk left
            raise build_usage_error(
                f"{name} is collected here ({COLLECT_DIRECTORY}/{name}.db), which submits its readings; "
                "a slot that was missed is in the next register"
            )


class _Submission:
    """One run: store what is new, announce it, deliver until everything is proven or nothing moves any more."""

    def __init__(
        self,
        genesis: "Genesis",
        keys: "dict[str, OpenedKey]",
        readings: "dict[str, list[Reading]]",
        spool: "Spool",
        *,
        as_json: bool,
    ) -> None:
        self._genesis = genesis
        self._keys = keys
        self._readings = readings
        self._spool = spool
        self._as_json = as_json

    async def run(self, client: "Client") -> Count:
        """Return what became of the readings of this run."""
        signers = {name: _build_signer(key, self._genesis) for name, key in self._keys.items()}
        entries: list[SpoolEntry] = []
        for name, values in self._readings.items():
            entries += await self._store(client, name, signers[name], values)
        for entry in entries:
            _announce(entry, as_json=self._as_json)
        return await self._deliver(client, {signer.account: signer for signer in signers.values()}, entries)

    async def _store(
        self, client: "Client", name: str, signer: "Signer", values: "Sequence[Reading]"
    ) -> "list[SpoolEntry]":
        from meter.signer import spool_readings
        from primitives.ids import Height, Nonce

        account = await client.get_account(signer.account.hex())
        if account.public_key != signer.key.public.hex():
            raise CliError(
                f"{name}: its account has another key now; use the new key file, or ask the utility",
                ExitCode.NOT_ALLOWED,
            )
        self._spool.raise_nonce(signer.account, Nonce(account.nonce_hint))
        clock = await _fetch_clock(client, signer, self._genesis)
        return spool_readings(self._spool, signer, clock, values, Height(account.height))

    async def _deliver(
        self, client: "Client", signers: "dict[AccountId, Signer]", entries: "list[SpoolEntry]"
    ) -> Count:
        from meter.courier import Courier

        courier = Courier(self._spool, client, signers)
        wanted = {entry.number for entry in entries}
        with build_talk().status(f"waiting for {len(wanted)} receipts"):
            for _ in range(ROUNDS_MAX):
                deliveries = await courier.deliver_due(DELIVERY_TIMEOUT_S)
                if not _has_progress(deliveries):
                    break
        return self._count(wanted)

    def _count(self, wanted: set[int]) -> Count:
        from meter.spool import SpoolState

        committed = unknown = 0
        refusals = []
        for number in sorted(wanted):
            entry = self._spool.get_entry(number)
            if entry.state is SpoolState.COMMITTED:
                committed += 1
            elif entry.state is SpoolState.REFUSED or _is_rejection(entry.reason):
                refusals.append((entry.transaction.id.hex(), entry.reason))
            else:
                unknown += 1
        return Count(len(wanted), committed, tuple(refusals), unknown)


def _has_progress(deliveries: "Sequence[Delivery]") -> bool:
    """Tell whether another round may find more: something became final, and more may wait behind it."""
    return any(not delivery.entry.is_open for delivery in deliveries)


def _is_rejection(reason: str) -> bool:
    from vm.receipt import Rejection

    return reason in frozenset(Rejection)


def _build_signer(key: "OpenedKey", genesis: "Genesis") -> "Signer":
    from meter.signer import Signer

    return Signer(key.key, key.label.account, genesis.compute_hash())


async def _fetch_clock(client: "Client", signer: "Signer", genesis: "Genesis") -> "MeterClock":
    """Return from when on a meter counts its readings, as a validator says; a lie only gets readings refused."""
    from meter.answers import MeterAnswer
    from meter.signer import MeterClock
    from primitives.ids import UnixSeconds

    answer = await client.ask(f"/v1/meters/{signer.account.hex()}", MeterAnswer)
    return MeterClock(UnixSeconds(answer.opening_s), genesis.energy.slot_s)


def _announce(entry: "SpoolEntry", *, as_json: bool) -> None:
    """Say the id before anything is sent."""
    name = entry.transaction.id.hex()
    if as_json:
        talk(name)
    else:
        print_line(name)


def _report(count: Count, *, as_json: bool) -> None:
    from cli.session import build_refusal

    if as_json:
        print_json(
            {
                "submitted": count.submitted,
                "committed": count.committed,
                "refused": [{"id": name, "reason": reason} for name, reason in count.refusals],
                "unknown": count.unknown,
            }
        )
    if count.committed or count.submitted > 1:
        talk(f"{count.committed} of {count.submitted} committed, each with a verified receipt")
    if count.refusals:
        if count.submitted > 1:
            for name, reason in count.refusals[:SHOWN_REFUSALS_MAX]:
                talk(f"  {name} refused: {reason}")
        raise build_refusal(count.refusals[0][1])
    if count.unknown:
        many = f"{count.unknown} readings are" if count.unknown > 1 else "1 reading is"
        raise CliError(
            f"{many} not confirmed yet; kept in {SPOOL_NAME}: run the same command again",
            ExitCode.OUTCOME_UNKNOWN,
        )
