"""The specification of a network: one TOML file that a person writes, checked key by key."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from cli.failure import CliError, build_usage_error
from primitives.encoding import DecodeError
from primitives.limits import VALIDATORS_MAX, VALIDATORS_MIN
from primitives.text import decode_toml, to_line
from vm.genesis import (
    CURRENCY_BYTES_MAX,
    PRICE_MAX,
    SLOT_SECONDS_ALLOWED,
    ConsensusParameters,
    EnergyParameters,
    is_name_sound,
)

SPEC_BYTES_MAX = 1024 * 1024
"""80 validators take 16 kB; a longer file was named by mistake."""
PORT_MAX = 65535
HOST_LENGTH_MAX = 253
"""RFC 1035, section 2.3.4."""

EXAMPLE_HEAD = """\
# One file, one network. `gridbft network new spec.toml -o DIR` makes keys, certificates, the genesis
# and a home directory for each validator.
name = "sunny-street"
currency = "EUR"

# Who registers meters, sets tariffs and suspends: its wallet is made in DIR/utility.
[utility]
name = "utility"

# Times are seconds, prices are micro-currency per kWh (220000 is 0.22).
[energy]
slot_s = 900            # 900 or 3600
grace_s = 300           # how long a slot waits for silent meters after its end
correction_s = 604800   # how long late and corrected readings are taken
future_s = 60           # how far a meter's clock may run ahead
feed_in_price = 80000
retail_price = 220000   # where no tariff was set

# Agreement waits; the defaults suit a home network. See the table in docs/operating.
[consensus]
heartbeat_ms = 30000
"""

HOSTS_DEFAULT = ("127.0.0.1",) * 4


def render_example(hosts: Sequence[str] = HOSTS_DEFAULT, p2p_port: int = 7100, api_port: int = 8100) -> str:
    """Return a specification to start from, with a validator at each of these hosts.

    Each host uses the same two ports; where several validators are on one, the later ones use the ports above.
    """
    lines = [EXAMPLE_HEAD]
    for index, host in enumerate(hosts):
        above = hosts[:index].count(host)
        lines.append(
            f'\n[[validators]]\nname = "node{index}"\nhost = "{host}"\n'
            f"p2p_port = {p2p_port + above}\napi_port = {api_port + above}\n"
        )
    return "".join(lines)


EXAMPLE = render_example()


FEW_VALIDATORS = 8
"""So many agree in much less than the default waiting times, also on lines of 1 Mbit/s."""

VIEW_MS_PER_VALIDATOR, VIEW_MS_MAX = 500, 8000
RESEND_MS_PER_VALIDATOR, RESEND_MS_MAX = 125, 2000
DEADLINE_MS_PER_VALIDATOR = 200
"""Waiting times of more, unless the specification names others: enough where 16 and 72 share lines of 1 Mbit/s."""


class ValidatorSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One validator: where its peers reach it, and on which port its members ask it."""

    name: str
    host: str
    p2p_port: int
    api_port: int


class UtilitySpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The authority that registers meters."""

    name: str = "utility"


class EnergySpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Slots, waiting times (seconds) and prices (micro-currency per kWh) until a tariff is set."""

    slot_s: int = 900
    grace_s: int = 300
    correction_s: int = 7 * 86400
    future_s: int = 60
    feed_in_price: int = 80_000
    retail_price: int = 220_000


class ConsensusSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Agreement's parameters, milliseconds; what is not named keeps its default."""

    depth: int | None = None
    view_timeout_ms: int | None = None
    view_timeout_max_ms: int | None = None
    request_deadline_ms: int | None = None
    resend_ms: int | None = None
    heartbeat_ms: int | None = None
    drift_ms: int | None = None


class NetworkSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A network before it has keys. ``time`` is the genesis time (TOML date-time with offset), default: now."""

    name: str
    currency: str
    validators: list[ValidatorSpec]
    time: datetime | None = None
    utility: UtilitySpec = UtilitySpec()
    energy: EnergySpec = EnergySpec()
    consensus: ConsensusSpec = ConsensusSpec()


def read_spec(path: Path) -> NetworkSpec:
    """Return the specification in a file.

    Raises:
        CliError: usage; the line names the file, the key and what to do.

    """
    try:
        with path.open("rb") as file:
            content = file.read(SPEC_BYTES_MAX + 1)
    except FileNotFoundError:
        raise build_usage_error(
            f"{path}: no such file; `gridbft network example` prints one to start from"
        ) from None
    except OSError as error:
        raise build_usage_error(f"{path}: {error.strerror}") from None
    if len(content) > SPEC_BYTES_MAX:
        raise build_usage_error(f"{path}: longer than {SPEC_BYTES_MAX} bytes, so no network specification")
    try:
        return parse_spec(content)
    except CliError as error:
        raise build_usage_error(f"{path}: {error}") from None


def parse_spec(content: bytes) -> NetworkSpec:
    """Return the specification of these bytes.

    Raises:
        CliError: usage; the line names the key and what to do.

    """
    try:
        table = decode_toml(content)
    except DecodeError as error:
        raise build_usage_error(str(error)) from None
    try:
        spec = msgspec.convert(table, NetworkSpec)
    except msgspec.ValidationError as error:
        raise build_usage_error(to_line(_explain_validation(str(error)))) from None
    problem = find_spec_problem(spec)
    if problem is not None:
        raise build_usage_error(problem)
    return spec


def find_spec_problem(spec: NetworkSpec) -> str | None:
    """Return the first reason why no network can be made of this, with its key and what to do, or None."""
    if not is_name_sound(spec.name):
        return f"name: {spec.name!r} must be 1 to 32 letters, digits, dots, dashes or underscores"
    if not spec.currency.isascii() or not spec.currency.isalpha() or len(spec.currency) > CURRENCY_BYTES_MAX:
        return f"currency: {spec.currency!r} must be 1 to {CURRENCY_BYTES_MAX} letters, as EUR"
    if not is_name_sound(spec.utility.name):
        return f"utility.name: {spec.utility.name!r} must be 1 to 32 letters, digits, dots, dashes or underscores"
    return (
        _find_time_problem(spec.time)
        or _find_validators_problem(spec)
        or _find_energy_problem(spec.energy)
        or _find_consensus_problem(build_consensus_parameters(spec.consensus, len(spec.validators)))
    )


def build_energy_parameters(energy: EnergySpec) -> EnergyParameters:
    """Return the genesis record of the energy section."""
    return EnergyParameters(**msgspec.structs.asdict(energy))


def build_consensus_parameters(consensus: ConsensusSpec, validators: int) -> ConsensusParameters:
    """Return the genesis record of the consensus section, defaults filled in: above FEW_VALIDATORS they wait longer.

    Every vote goes to everybody, so on a slow line the more validators there are, the longer a round lasts: 2 s with 72
    on 1 Mbit/s. What is said again before that lies behind itself.
    """
    named = {}
    if validators > FEW_VALIDATORS:
        view_ms = min(VIEW_MS_PER_VALIDATOR * validators, VIEW_MS_MAX)
        named = {
            "view_timeout_ms": view_ms,
            "request_deadline_ms": max(view_ms, DEADLINE_MS_PER_VALIDATOR * validators),
            "resend_ms": min(RESEND_MS_PER_VALIDATOR * validators, RESEND_MS_MAX),
        }
    named |= {key: value for key, value in msgspec.structs.asdict(consensus).items() if value is not None}
    return ConsensusParameters(**named)


def _find_time_problem(time: datetime | None) -> str | None:
    if time is None:
        return None
    if time.tzinfo is None:
        return "time: add the offset, as 2026-01-01T00:00:00Z"
    if time < datetime(1970, 1, 1, tzinfo=UTC):
        return "time: before 1970; name the moment from which blocks may be made"
    return None


def _find_validators_problem(spec: NetworkSpec) -> str | None:
    count = len(spec.validators)
    if not VALIDATORS_MIN <= count <= VALIDATORS_MAX:
        return f"validators: {count} of them; name between {VALIDATORS_MIN} and {VALIDATORS_MAX}"
    names: dict[str, int] = {spec.utility.name: -1}
    ends: dict[tuple[str, int], str] = {}
    for index, validator in enumerate(spec.validators):
        key = f"validators[{index}]"
        if not is_name_sound(validator.name) or validator.name.startswith("."):
            return (
                f"{key}.name: {validator.name!r} must be 1 to 32 letters, digits, dots, dashes or underscores"
            )
        if validator.name in names:
            return (
                f"{key}.name: {validator.name!r} is taken; give each validator and the utility its own name"
            )
        names[validator.name] = index
        if not is_host(validator.host):
            return f"{key}.host: {validator.host!r} is no address; name an IP address or a host name"
        for field, port in (("p2p_port", validator.p2p_port), ("api_port", validator.api_port)):
            if not 1 <= port <= PORT_MAX:
                return f"{key}.{field}: {port} is no port; use 1 to {PORT_MAX}"
            taken_by = ends.setdefault((validator.host, port), f"{key}.{field}")
            if taken_by != f"{key}.{field}":
                return f"{key}.{field}: {port} on {validator.host} is {taken_by} already; use another port"
    return None


def _find_energy_problem(energy: EnergySpec) -> str | None:
    if energy.slot_s not in SLOT_SECONDS_ALLOWED:
        return f"energy.slot_s: {energy.slot_s}; use {' or '.join(map(str, SLOT_SECONDS_ALLOWED))}"
    if energy.grace_s < 0:
        return f"energy.grace_s: {energy.grace_s} is negative"
    if not energy.grace_s <= energy.correction_s <= 31 * 86400:
        return f"energy.correction_s: {energy.correction_s} must be between grace_s and 31 days (2678400)"
    if not 0 <= energy.future_s <= energy.slot_s:
        return f"energy.future_s: {energy.future_s} must be between 0 and one slot"
    if not 0 <= energy.feed_in_price <= energy.retail_price:
        return f"energy.feed_in_price: {energy.feed_in_price} must be between 0 and retail_price"
    if energy.retail_price > PRICE_MAX:
        return f"energy.retail_price: {energy.retail_price} is above {PRICE_MAX} (1000 per kWh)"
    return None


def _find_consensus_problem(consensus: ConsensusParameters) -> str | None:
    bounds = {
        "depth": (1, 4),
        "view_timeout_ms": (50, consensus.view_timeout_max_ms),
        "view_timeout_max_ms": (50, 16_000),
        "request_deadline_ms": (50, 60_000),
        "resend_ms": (50, 16_000),
        "heartbeat_ms": (1000, 86_400_000),
        "drift_ms": (0, 3_600_000),
    }
    for key, (least, most) in bounds.items():
        value = getattr(consensus, key)
        if not least <= value <= most:
            return f"consensus.{key}: {value} must be between {least} and {most}"
    return None


def is_host(host: str) -> bool:
    """Tell whether this can be the address or the name of a machine."""
    return 0 < len(host) <= HOST_LENGTH_MAX and re.fullmatch(r"[A-Za-z0-9.:_-]+", host) is not None


_KINDS = {
    "int": "a whole number",
    "str": "text in quotes",
    "float": "a number with a point",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "datetime": "a date with time",
}


def _explain_validation(message: str) -> str:
    """Turn msgspec's words into `key: what to do`."""
    what, _, place = message.partition(" - at `$")
    key = place.rstrip("`").lstrip(".") or ""
    missing = re.match(r"Object missing required field `(.+)`", what)
    if missing:
        return f"{_join(key, missing[1])}: missing; add it"
    unknown = re.match(r"Object contains unknown field `(.+)`", what)
    if unknown:
        return f"{_join(key, unknown[1])}: unknown key; remove it or correct its spelling"
    mismatch = re.match(r"Expected `(.+?)`, got `(.+?)`", what)
    if mismatch:
        wanted = _KINDS.get(mismatch[1].split(" | ")[0], mismatch[1])
        return f"{key or 'file'}: must be {wanted}, not {_KINDS.get(mismatch[2], mismatch[2])}"
    return f"{key or 'file'}: {what[:1].lower()}{what[1:]}"


def _join(key: str, field: str) -> str:
    return f"{key}.{field}" if key else field
