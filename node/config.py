"""A node's settings: HOME/config.toml under the environment, over the defaults that stand here.

Precedence: ``GRIDBFT_<SECTION>_<KEY>`` in the environment, then the file, then the default. Nothing is guessed: an
unknown key, a wrong type or a number out of range is refused with the place and what to do.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from node.errors import NodeError
from node.packing import Packing
from primitives.encoding import DecodeError
from primitives.limits import VALIDATORS_MAX
from primitives.text import decode_toml, to_line
from vm.genesis import is_name_sound

CONFIG_NAME = "config.toml"
CONFIG_BYTES_MAX = 1024 * 1024
"""80 peers take 10 kB; a longer file was named by mistake."""
ENVIRONMENT_PREFIX = "GRIDBFT_"

Role = Literal["validator", "observer"]
Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
ApiPort = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
Host = Annotated[str, msgspec.Meta(min_length=1, max_length=253)]  # RFC 1035, section 2.3.4


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every table of the file."""


class P2pConfig(_Section, frozen=True):
    """Where the other validators reach this one."""

    host: Host = "127.0.0.1"
    port: Port = 7100


class ObserversConfig(_Section, frozen=True):
    """Where a validator serves observers, and what they get together; port 0 serves none."""

    host: Host = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 0
    bytes_per_s: Annotated[int, msgspec.Meta(ge=65_536, le=1024**3)] = 1024 * 1024


class PeerConfig(_Section, frozen=True):
    """Where this node reaches a validator; keys and certificates come from the genesis, by name."""

    name: str
    host: Host
    port: Port


class ApiConfig(_Section, frozen=True):
    """The HTTP API: where it listens and what it takes at most."""

    host: Host = "127.0.0.1"
    port: ApiPort = 8100
    allowed_hosts: Annotated[tuple[Host, ...], msgspec.Meta(max_length=64)] = ()
    connections_max: Annotated[int, msgspec.Meta(ge=1, le=16_384)] = 512
    connections_per_address_max: Annotated[int, msgspec.Meta(ge=1, le=16_384)] = 256
    requests_per_second_max: Annotated[float, msgspec.Meta(gt=0, le=1_000_000)] = 100.0
    private_reads: Literal["loopback", "token", "open"] = "loopback"
    streams_max: Annotated[int, msgspec.Meta(ge=1, le=512)] = 128
    body_bytes_max: Annotated[int, msgspec.Meta(ge=8_192, le=8 * 1024 * 1024)] = 1024 * 1024


class ClockConfig(_Section, frozen=True):
    """Which clock dates the batches this node proposes; ``scale`` and ``origin_ms`` are of the stepped one."""

    mode: Literal["system", "stepped"] = "system"
    scale: Annotated[float, msgspec.Meta(gt=0, le=1_000_000)] = 1.0
    origin_ms: Annotated[int, msgspec.Meta(ge=0, le=2**53)] = 0


class MempoolConfig(_Section, frozen=True):
    """How many transactions wait at most, and which of them the next block takes."""

    transactions_max: Annotated[int, msgspec.Meta(ge=100, le=1_000_000)] = 20_000
    bytes_max: Annotated[int, msgspec.Meta(ge=65_536, le=1024**3)] = 16 * 1024 * 1024
    account_transactions_max: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 4_000
    packing: Packing = Packing.ROUND_ROBIN


KEEP_BLOCKS_MIN = 4096
"""Whoever installs a snapshot goes on by blocks: those made since it was held, at most 1,024 blocks before it was asked
for, and while it was downloaded, must still be there."""


class StorageConfig(_Section, frozen=True):
    """How many blocks are kept, the last certified one included; 0 keeps all."""

    keep_blocks: Annotated[int, msgspec.Meta(ge=0, le=2**53)] = 0


class LogConfig(_Section, frozen=True):
    """What is logged, how, and where to; an empty ``file`` is standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"
    file: str = ""


class NodeConfig(_Section, frozen=True):
    """Everything a node is told besides its genesis and its keys."""

    name: str
    role: Role = "validator"
    p2p: P2pConfig = P2pConfig()
    observers: ObserversConfig = ObserversConfig()
    api: ApiConfig = ApiConfig()
    clock: ClockConfig = ClockConfig()
    mempool: MempoolConfig = MempoolConfig()
    storage: StorageConfig = StorageConfig()
    log: LogConfig = LogConfig()
    peers: Annotated[tuple[PeerConfig, ...], msgspec.Meta(max_length=VALIDATORS_MAX)] = ()


class ConfigError(NodeError):
    """The node cannot start with these settings; one line names the place and what to do."""

    exit_code = 2


def load_config(home: Path, environment: Mapping[str, str]) -> NodeConfig:
    """Return the settings of the node in ``home``.

    Raises:
        ConfigError: the file is missing or malformed, or a setting is unknown, of a wrong type or out of range.

    """
    path = home / CONFIG_NAME
    try:
        return parse_config(_read(path), environment)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def parse_config(content: bytes, environment: Mapping[str, str]) -> NodeConfig:
    """Return the settings in the bytes of a file, with the environment's in place of the file's.

    Raises:
        ConfigError: as ``load_config``, without the file's name.

    """
    try:
        table = decode_toml(content)
    except DecodeError as error:
        raise ConfigError(str(error)) from None
    origins = _apply_environment(table, environment)
    try:
        config = msgspec.convert(table, NodeConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(to_line(_explain(str(error), origins))) from None
    problem = find_config_problem(config)
    if problem is not None:
        raise ConfigError(problem)
    return config


def find_config_problem(config: NodeConfig) -> str | None:
    """Return the first reason why no node can run with these settings, or None."""
    if not is_name_sound(config.name):
        return f"name: {config.name!r} must be 1 to 32 letters, digits, dots, dashes or underscores"
    names = [peer.name for peer in config.peers]
    if len(set(names)) != len(names):
        return "peers: two peers share a name; name each validator of the genesis once"
    if config.name in names:
        return f"peers: {config.name} is this node itself; remove it from the list"
    is_validator = config.role == "validator"
    if is_validator and config.api.port == config.p2p.port and config.api.host == config.p2p.host:
        return f"api.port: {config.api.port} is p2p.port as well; give each its own"
    problem = _find_role_problem(config)
    if problem is not None:
        return problem
    if config.api.connections_per_address_max > config.api.connections_max:
        return "api.connections_per_address_max: at most api.connections_max"
    if config.mempool.account_transactions_max > config.mempool.transactions_max:
        return "mempool.account_transactions_max: at most mempool.transactions_max"
    if 0 < config.storage.keep_blocks < KEEP_BLOCKS_MIN:
        return f"storage.keep_blocks: 0 keeps all blocks; otherwise at least {KEEP_BLOCKS_MIN}"
    return None


def _find_role_problem(config: NodeConfig) -> str | None:
    port = config.observers.port
    if port and port in {config.p2p.port, config.api.port}:
        return f"observers.port: {port} is another port of this node; give each its own"
    if config.role == "observer" and port:
        return "observers.port: an observer serves no observers; remove it"
    if config.role == "observer" and not config.peers:
        return "peers: an observer follows validators; list at least one, with its port for observers"
    return None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(CONFIG_BYTES_MAX + 1)
    except FileNotFoundError:
        raise ConfigError(
            "no such file; `gridbft network new` makes a home directory for each node"
        ) from None
    except OSError as error:
        raise ConfigError(f"{error.strerror}; the node's user must be able to read it") from None
    if len(content) > CONFIG_BYTES_MAX:
        raise ConfigError(f"longer than {CONFIG_BYTES_MAX} bytes, so no configuration of a node")
    return content


def _list_settings() -> dict[str, tuple[str, ...]]:
    """Map each name in the environment to its path in the file; peers are a table of their own, file only."""
    names: dict[str, tuple[str, ...]] = {
        f"{ENVIRONMENT_PREFIX}NODE_NAME": ("name",),
        f"{ENVIRONMENT_PREFIX}NODE_ROLE": ("role",),
    }
    for section in msgspec.structs.fields(NodeConfig):
        if isinstance(section.type, type) and issubclass(section.type, _Section):
            for key in msgspec.structs.fields(section.type):
                name = f"{ENVIRONMENT_PREFIX}{section.name}_{key.name}".upper()
                names[name] = (section.name, key.name)
    return names


ENVIRONMENT_SETTINGS: Mapping[str, tuple[str, ...]] = _list_settings()
"""Every setting that the environment may override: variable -> path in the file."""

_SECTION_PREFIXES = tuple(
    sorted(
        {f"{ENVIRONMENT_PREFIX}{path[0].upper()}_" for path in ENVIRONMENT_SETTINGS.values() if len(path) > 1}
    )
)


def _apply_environment(table: dict[str, Any], environment: Mapping[str, str]) -> dict[str, str]:
    """Put the environment's settings into the table; return path -> variable, to name it in errors."""
    origins = {}
    for variable in sorted(environment):
        if not variable.startswith(_SECTION_PREFIXES) and variable not in ENVIRONMENT_SETTINGS:
            continue
        path = ENVIRONMENT_SETTINGS.get(variable)
        if path is None:
            raise ConfigError(f"{variable} in the environment: there is no such setting; unset it")
        parent = table if len(path) == 1 else table.setdefault(path[0], {})
        if not isinstance(parent, dict):
            continue  # the conversion of the whole refuses it with its place in the file
        parent[path[-1]] = _parse_variable(variable, path, environment[variable])
        origins[".".join(path)] = variable
    return origins


def _parse_variable(variable: str, path: tuple[str, ...], text: str) -> object:
    """Return the value that the text stands for: lists are separated by commas, numbers are written plainly."""
    if len(path) == 1:
        return text
    section = next(field for field in msgspec.structs.fields(NodeConfig) if field.name == path[0])
    key = next(field for field in msgspec.structs.fields(section.type) if field.name == path[1])
    value: object = (
        [part.strip() for part in text.split(",") if part.strip()] if path[1] == "allowed_hosts" else text
    )
    try:
        return msgspec.to_builtins(msgspec.convert(value, key.type, strict=False))
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"{variable} in the environment: {_lower_first(str(error))}; correct or unset it"
        ) from None


_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)


def _explain(message: str, origins: Mapping[str, str]) -> str:
    """Turn a validation message into: place, what is wrong, what to do."""
    match = _PLACE.match(message)
    what, path = (match["what"], match["path"] or "$") if match else (message, "$")
    place = path.removeprefix("$").removeprefix(".")
    if place in origins:
        return f"{origins[place]} in the environment: {_lower_first(what)}; correct or unset it"
    unknown = re.search(r"unknown field `([^`]*)`", what)
    if unknown is not None:
        key = f"{place}.{unknown[1]}" if place else unknown[1]
        return f"{key}: there is no such setting; remove or correct it"
    missing = re.search(r"missing required field `([^`]*)`", what)
    if missing is not None:
        key = f"{place}.{missing[1]}" if place else missing[1]
        return f"{key}: is missing; add it"
    what = what.replace("`object`", "a table").replace("`array`", "a list")
    return f"{place or 'the file'}: {_lower_first(what)}; correct it, or remove it to take the default"


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
