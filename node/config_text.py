"""The text of a node's config.toml: every setting with what it is for, defaults commented out."""

import msgspec

from node.config import NodeConfig

_HEAD = """\
# Settings of one gridbft node. A line that is commented out shows the default.
# The environment wins over this file: GRIDBFT_API_PORT=8101 stands for port in [api].
"""

_COMMENTS = {
    "p2p": "Where the other validators reach this one. The only port that must be open beyond this machine.",
    "p2p.host": "address to listen on; 0.0.0.0 for every IPv4 address of the machine",
    "p2p.port": "",
    "observers": "Where this validator serves observers: those whose bundles are in observers/ beside this file.",
    "observers.host": "address to listen on; 0.0.0.0 for every IPv4 address of the machine",
    "observers.port": "0: it serves none",
    "observers.bytes_per_s": "what all of them together get",
    "api": "The HTTP API for meters, wallets and operators. Keep it on this machine, or behind a proxy.",
    "api.host": "address to listen on",
    "api.port": "0 takes any free port and logs it",
    "api.allowed_hosts": "names under which clients may ask, besides localhost and the address above",
    "api.connections_max": "open connections in all; beyond, a client is told to come back",
    "api.connections_per_address_max": "open connections from one address",
    "api.requests_per_second_max": "from one address",
    "api.private_reads": "of one home: loopback, token, open",
    "api.streams_max": "open at once",
    "api.body_bytes_max": "largest request; 1,000 readings take 250 kB",
    "clock": "What dates the batches that this node proposes. Contracts see block time only.",
    "clock.mode": '"system", or "stepped": moved over the admin socket, for demonstrations',
    "clock.scale": "stepped only: clock time per real time between two steps",
    "clock.origin_ms": "stepped only: where it stands until the first step, UTC milliseconds",
    "mempool": "Transactions that wait to be ordered. Beyond, clients are told to come back.",
    "mempool.transactions_max": "",
    "mempool.bytes_max": "",
    "mempool.account_transactions_max": "of one account",
    "mempool.packing": "which a block takes when not all fit: round-robin, fifo, heuristic or optimal",
    "storage": "What the disk keeps. State, handovers and the newest blocks always stay.",
    "storage.keep_blocks": "0: all blocks. Else so many, at least 4096; older receipts cannot be proven here",
    "log": "What the node says about itself.",
    "log.level": "debug, info, warning or error",
    "log.format": "json or console",
    "log.file": "empty: standard error. A file is rotated at 10 MB, three are kept",
    "peers": "Where the other validators listen, by their names in the genesis.",
}


def render_config(config: NodeConfig) -> str:
    """Return the text of a file that gives exactly ``config``; parsing it is the inverse."""
    is_validator = config.role == "validator"
    lines = [
        _HEAD,
        f"name = {_render(config.name)}"
        + ("  # this validator's name in the genesis" if is_validator else ""),
        f"{'# ' if is_validator else ''}role = {_render(config.role)}  # an observer has no vote",
    ]
    for section in msgspec.structs.fields(NodeConfig):
        if section.name in {"name", "role", "peers"}:
            continue
        lines += ["", f"# {_COMMENTS[section.name]}", f"[{section.name}]"]
        values = getattr(config, section.name)
        for key in msgspec.structs.fields(section.type):
            value = getattr(values, key.name)
            mark = "# " if value == key.default else ""
            comment = _COMMENTS[f"{section.name}.{key.name}"]
            lines.append(f"{mark}{key.name} = {_render(value)}" + (f"  # {comment}" if comment else ""))
    lines += ["", f"# {_COMMENTS['peers']}"]
    for peer in config.peers:
        lines += [
            "[[peers]]",
            f"name = {_render(peer.name)}",
            f"host = {_render(peer.host)}",
            f"port = {peer.port}",
            "",
        ]
    return "\n".join(lines).rstrip("\n") + "\n"


def _render(value: object) -> str:
    """Return a value as TOML; a basic string of TOML escapes as JSON does (TOML 1.0, "String")."""
    if isinstance(value, str):
        return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")
    if isinstance(value, tuple):
        return "[" + ", ".join(_render(item) for item in value) + "]"
    return repr(value)
