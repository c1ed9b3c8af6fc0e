"""What a stored chain holds, one record after the other, to be taken elsewhere: in memory is a block, or the homes.

What is given is what the store holds; whether that is whole and signed, `gridbft inspect integrity` checks.
"""

from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TypeVar

from node.described import describe
from node.inspected_chain import NotStoredError, StoredChain
from node.state_records import PREFIX_BYTES, describe_entry
from node.storage.chain import ChainStore
from node.storage.store import StoreCorrupt
from primitives.encoding import DecodeError, Struct, decode, encode
from primitives.ids import ACCOUNT_BYTES, Height
from primitives.limits import BATCH_TRANSACTIONS_MAX
from vm.contracts.energy import records as energy
from vm.contracts.energy.queries import iterate_meters
from vm.contracts.energy.records import Flag, Line, Slot
from vm.contracts.ledger import BALANCE_PREFIX
from vm.contracts.permissions import ACCOUNT_PREFIX
from vm.genesis import Genesis

T = TypeVar("T")

TIME_S_MAX = 2**63
"""Beyond every slot."""

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Kind:
    """Records of one kind: the prefix of their keys, and the parts of a key behind it with their sizes."""

    prefix: bytes
    parts: tuple[tuple[str, int], ...]


METER, ACCOUNT, SLOT, TIME = (
    ("meter", ACCOUNT_BYTES),
    ("account", ACCOUNT_BYTES),
    ("slot_s", energy.TIME_BYTES),
    ("time_s", energy.TIME_BYTES),
)

KINDS: dict[str, Kind] = {
    "accounts": Kind(ACCOUNT_PREFIX, (ACCOUNT,)),
    "balances": Kind(BALANCE_PREFIX, (("asset", 1), ACCOUNT)),
    "meters": Kind(energy.METER_PREFIX, (METER,)),
    "registers": Kind(energy.LATEST_PREFIX, (METER,)),
    "readings": Kind(energy.READING_PREFIX, (TIME, METER)),
    "superseded": Kind(energy.HISTORY_PREFIX, (TIME, METER, ("version", 2))),
    "tariffs": Kind(energy.TARIFF_PREFIX, (SLOT,)),
    "slots": Kind(energy.SLOT_PREFIX, (SLOT,)),
    "lines": Kind(energy.LINE_PREFIX, (SLOT, METER)),
}
"""The records that have a name of their own here; of the rest of the state the key is given as it is."""


@dataclass(frozen=True, slots=True)
class Period:
    """UTC seconds from ``first_s`` to before ``end_s``."""

    first_s: int = 0
    end_s: int = TIME_S_MAX

    def holds(self, time_s: int) -> bool:
        """Tell whether a time lies in it."""
        return self.first_s <= time_s < self.end_s


@dataclass(frozen=True, slots=True)
class Heights:
    """Blocks from ``first`` to ``last``, both included."""

    first: Height
    last: Height


def find_heights(chain: ChainStore, first: int | None, last: int | None) -> Heights:
    """Return which of the wanted blocks are kept: all of them, or it is refused; None is the end of what is kept.

    Raises:
        NotStoredError: one of the ends is not here.

    """
    lowest, height = chain.get_pruned_height() + 1, chain.get_height()
    begin, end = lowest if first is None else first, height if last is None else last
    if begin < lowest or end > height:
        raise NotStoredError(
            f"blocks {begin} to {end} are not all here: this home keeps {lowest} to {height}"
        )
    return Heights(Height(begin), Height(end))


def iterate_blocks(chain: ChainStore, genesis: Genesis, heights: Heights) -> Iterator[Row]:
    """Yield blocks in order: header, certificate, and each transaction with its bytes and what became of it.

    Raises:
        StoreCorrupt: a block is not whole.

    """
    stored = StoredChain(chain, genesis)
    for height in map(Height, range(heights.first, heights.last + 1)):
        shown = stored.find_block(height, 0, BATCH_TRANSACTIONS_MAX)
        block, certificate = chain.get_block(height), chain.get_certificate(height)
        if block is None or shown.problem is not None:
            raise StoreCorrupt(f"block {height}: {shown.problem or 'it is missing'}; see inspect integrity")
        yield {
            "height": height,
            "digest": shown.digest,
            "header": shown.header,
            "proposer": shown.proposer,
            "batch_time_ms": block.batch.header.time_ms,
            "signers": shown.signers,
            "certificate": None if certificate is None else encode(certificate).hex(),
            "transactions": [
                {**asdict(entry), "raw": raw.hex()}
                for entry, raw in zip(shown.page, block.batch.transactions, strict=True)
            ],
        }


def iterate_ledger(
    chain: ChainStore, genesis: Genesis, kinds: Collection[str], period: Period
) -> Iterator[Row]:
    """Yield what the state is of, then its records in the order of their keys.

    ``kinds`` are names of KINDS; none of them means the whole state. Of those that belong to a time only the ones in
    ``period``.
    """
    header = chain.get_latest_header()
    yield {
        "kind": "state",
        "network": genesis.name,
        "genesis_hash": genesis.compute_hash().hex(),
        "height": header.height,
        "time_ms": header.time_ms,
        "state_root": header.state_root.hex(),
    }
    names = {kind.prefix: name for name, kind in KINDS.items()}
    prefixes = sorted(KINDS[name].prefix for name in kinds) or [b""]
    for prefix in prefixes:
        for key, value in chain.iterate(prefix):
            entry = describe_entry(key, value)
            name = names.get(key[:PREFIX_BYTES])
            parts = {} if name is None else _split_key(KINDS[name], key)
            time_s = parts.get("slot_s", parts.get("time_s"))
            if not isinstance(time_s, int) or period.holds(time_s):
                about = parts or {"key": entry.key}
                yield {"kind": name or entry.kind, "prefix": entry.prefix, **about, "record": entry.value}


def iterate_line_rows(chain: ChainStore, genesis: Genesis, period: Period) -> Iterator[Row]:
    """Yield a row for each settled slot and home, slot by slot, the homes in the order of their accounts."""
    homes = {view.account: view.meter.home for view in iterate_meters(chain)}
    for slot_s, key, value in _iterate_slots(chain, energy.LINE_PREFIX, period):
        meter = key[len(energy.LINE_PREFIX) + energy.TIME_BYTES :]
        line = _decode(key, value, Line)
        yield {
            **_describe_slot(slot_s, genesis),
            "home": homes.get(meter, ""),
            "meter": meter.hex(),
            **_name_units(line),
            "flag_names": " ".join(flag.name or "" for flag in Flag if line.flags & flag),
        }


def iterate_slot_rows(chain: ChainStore, genesis: Genesis, period: Period) -> Iterator[Row]:
    """Yield a row for each settled slot, in order."""
    for slot_s, key, value in _iterate_slots(chain, energy.SLOT_PREFIX, period):
        slot = _decode(key, value, Slot)
        if slot.settled:
            shown = _name_units(slot)
            del shown["settled"]  # all of them are
            yield {**_describe_slot(slot_s, genesis), **shown}


def _iterate_slots(chain: ChainStore, prefix: bytes, period: Period) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield the slots of a period with the keys and values of their records, for keys that begin with the slot."""
    for key, value in chain.iterate_from(prefix + period.first_s.to_bytes(energy.TIME_BYTES, "big")):
        slot_s = int.from_bytes(key[len(prefix) : len(prefix) + energy.TIME_BYTES], "big")
        if not key.startswith(prefix) or not period.holds(slot_s):
            return
        yield slot_s, key, value


def list_line_columns() -> list[str]:
    """Return the columns of a row of a home and slot."""
    names = [_name_unit(name) for name in Line.__struct_fields__]
    return [*_SLOT_COLUMNS, "home", "meter", *names, "flag_names"]


def list_slot_columns() -> list[str]:
    """Return the columns of a row of a slot."""
    return [*_SLOT_COLUMNS, *(_name_unit(name) for name in Slot.__struct_fields__ if name != "settled")]


_SLOT_COLUMNS = ("slot_start_utc", "slot_start_s", "slot_length_s", "currency")


def _describe_slot(slot_s: int, genesis: Genesis) -> Row:
    moment = datetime.fromtimestamp(slot_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return dict(zip(_SLOT_COLUMNS, (moment, slot_s, genesis.energy.slot_s, genesis.currency), strict=True))


def _decode(key: bytes, value: bytes, expected: type[T]) -> T:
    try:
        return decode(value, expected)
    except DecodeError as error:
        raise StoreCorrupt(f"state {key.hex()} cannot be read: {error}; see inspect integrity") from None


def _name_units(record: Struct) -> Row:
    return {_name_unit(name): getattr(record, name) for name in record.__struct_fields__}


def _name_unit(field: str) -> str:
    """Return the name of a column: energy and money name their unit already, prices do not."""
    return f"{field}_micro_per_kwh" if field.endswith("_price") else field


def _split_key(kind: Kind, key: bytes) -> Row:
    """Return the parts of a key by name: accounts in hex, all else as numbers."""
    parts: Row = {}
    place = len(kind.prefix)
    for name, size in kind.parts:
        part = key[place : place + size]
        parts[name] = part.hex() if size == ACCOUNT_BYTES else int.from_bytes(part, "big")
        place += size
    return {name: describe(value) for name, value in parts.items()}
