"""`gridbft network`: one declarative file becomes a genesis, keys and a home directory for each validator."""

import time
from pathlib import Path
from typing import Annotated

import typer

from cli.console import print_json, print_line, talk
from cli.failure import CliError, ExitCode, build_usage_error
from cli.options import HomeOption, JsonOption, PassphraseFileOption, check_role, find_home

P2P_PORT_DEFAULT, API_PORT_DEFAULT = 7100, 8100
PORT_MAX = 65535

app = typer.Typer(no_args_is_help=True, help="Make a network, and check the genesis of one.")

RoleOption = Annotated[
    str, typer.Option(metavar="ROLE", help="validator, or observer: a node without a vote.")
]
HostOption = Annotated[
    str | None,
    typer.Option(metavar="HOST", help="Where the others will reach a validator.", show_default=False),
]
P2pPortOption = Annotated[
    int | None,
    typer.Option("--p2p-port", metavar="PORT", help="A validator's port for the others.", show_default=False),
]
PeersOption = Annotated[
    list[str] | None,
    typer.Option(
        "--peer",
        metavar="NAME=HOST:PORT",
        help="Where a validator is whom no other one locates, or where one serves observers; may be given again.",
        show_default=False,
    ),
]


@app.command()
def example(
    hosts: Annotated[
        list[str] | None,
        typer.Option(
            "--host",
            metavar="HOST",
            help="Where a validator runs; once for each. (default: four on this machine)",
            show_default=False,
        ),
    ] = None,
    p2p_port: Annotated[
        int, typer.Option("--p2p-port", metavar="PORT", min=1, max=PORT_MAX, help="For validators.")
    ] = P2P_PORT_DEFAULT,
    api_port: Annotated[
        int, typer.Option("--api-port", metavar="PORT", min=1, max=PORT_MAX, help="For members.")
    ] = API_PORT_DEFAULT,
) -> None:
    """Print a specification to start from; several validators on one host use the ports above the first one's."""
    from cli.network_spec import HOSTS_DEFAULT, is_host, render_example

    for host in hosts or []:
        if not is_host(host):
            raise build_usage_error(f"--host: {host!r} is no address; name an IP address or a host name")
    print_line(render_example(tuple(hosts or HOSTS_DEFAULT), p2p_port, api_port).rstrip("\n"))


@app.command()
def new(
    spec: Annotated[Path, typer.Argument(metavar="SPEC.toml", show_default=False)],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="A directory that does not exist yet.")
    ],
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make keys, certificates, the genesis and a home directory per validator from SPEC.toml."""
    from cli.network_spec import read_spec
    from cli.node_settings import render_node_config
    from cli.passphrase import read_passphrase
    from cli.provision import create_network

    specification = read_spec(spec)
    passphrase = read_passphrase(passphrase_file, of_what="the new keys", is_new=True)
    genesis_time = specification.time
    time_ms = int(time.time() * 1000) if genesis_time is None else int(genesis_time.timestamp() * 1000)
    network = create_network(output, specification, time_ms, passphrase, render_node_config)
    if as_json:
        print_json(
            {
                "directory": str(network.directory),
                "name": specification.name,
                "genesis_hash": network.genesis_hash.hex(),
                "homes": [str(home) for home in network.homes],
                "utility_key": str(network.utility_key),
            }
        )
        return
    print_line(network.genesis_hash.hex())
    talk(f"Network {specification.name} is in {network.directory}. Its genesis hash is the line above.")
    talk(f"Copy each of {', '.join(home.name for home in network.homes)} to its machine and start it there:")
    for home in network.homes:
        talk(f"  gridbft start --home {home}")
    talk(f"Or all of them as containers: {network.directory / 'compose.yaml'}")
    talk(f"Members need client.toml, genesis.bin and api.token; keep {network.utility_key} to yourself.")


@app.command()
def join(
    name: Annotated[str, typer.Option(metavar="NAME", help="What the node is to be called.")],
    api_port: Annotated[int, typer.Option("--api-port", metavar="PORT", help="Its port for members.")],
    source: Annotated[
        Path, typer.Option("--from", metavar="DIR", help="A member's home: genesis.bin and client.toml.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="A directory that does not exist yet.")
    ],
    role: RoleOption = "validator",
    host: HostOption = None,
    p2p_port: P2pPortOption = None,
    peers: PeersOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a home for a new node of a running network, and the bundle that the validators add."""
    from cli.client_settings import open_client_home
    from cli.joining import BUNDLE_NAME, Place, check_place, create_joining_home, explore, parse_peers
    from cli.member_token import copy_members_token
    from cli.passphrase import read_passphrase

    if check_role(role) == "observer":
        _join_as_observer(name, api_port, source, output, peers or [], passphrase_file, as_json=as_json)
        return
    if host is None or p2p_port is None:
        raise build_usage_error(
            f"{'--host' if host is None else '--p2p-port'}: a validator needs it; the others dial it"
        )
    place = Place(name, host, p2p_port, api_port)
    check_place(place)
    addresses = parse_peers(peers or [])
    client_home = open_client_home(source)
    genesis = client_home.read_genesis()
    around = explore(client_home)
    passphrase = read_passphrase(passphrase_file, of_what="the new keys", is_new=True)
    bundle = create_joining_home(output, genesis, place, around, addresses, passphrase)
    copy_members_token(client_home, output)
    path = output / BUNDLE_NAME
    if as_json:
        key = bundle.validator.public_key.hex()
        print_json({"home": str(output), "name": name, "public_key": key, "bundle": str(path)})
        return
    print_line(bundle.validator.public_key.hex())
    talk(f"The home of {name} is in {output}. Its key is the line above: tell it to the others.")
    talk(f"Send them {path}; nothing in it is secret. {around.quorum} of them run, each with its own home:")
    talk(f"  gridbft validators add {path} --home ITS_HOME")
    talk("Start it at any time; it has a vote when it is let in:")
    talk(f"  gridbft start --home {output}")


def _join_as_observer(
    name: str,
    api_port: int,
    source: Path,
    output: Path,
    peers: list[str],
    passphrase_file: Path | None,
    *,
    as_json: bool,
) -> None:
    """Make the home of an observer, which follows the validators that ``peers`` name."""
    from cli.client_settings import open_client_home
    from cli.joining import explore, parse_peers
    from cli.observing import BUNDLE_NAME, check_following, create_observer_home
    from cli.passphrase import read_passphrase

    addresses = parse_peers(peers)
    check_following(name, api_port, addresses)
    client_home = open_client_home(source)
    genesis = client_home.read_genesis()
    around = explore(client_home)
    passphrase = read_passphrase(passphrase_file, of_what="the new key", is_new=True)
    observer = create_observer_home(output, genesis, name, api_port, around, addresses, passphrase)
    path = output / BUNDLE_NAME
    if as_json:
        key = observer.public_key.hex()
        print_json({"home": str(output), "name": name, "public_key": key, "bundle": str(path)})
        return
    print_line(observer.public_key.hex())
    talk(
        f"The home of {name} is in {output}. Its key is the line above: tell it to the validators' operators."
    )
    talk(
        f"Send them {path}; nothing in it is secret. Each of {', '.join(addresses)} that is to serve it runs:"
    )
    talk(f"  gridbft observers add {path} --home ITS_HOME")
    talk("Start it at any time; it follows as soon as one of them serves it:")
    talk(f"  gridbft start --home {output}")


@app.command()
def rotate(
    host: Annotated[
        str | None,
        typer.Option(
            metavar="HOST", help="Where the others reach it, if p2p.host does not say.", show_default=False
        ),
    ] = None,
    home: HomeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a second key for the validator of HOME, and the bundle with which the others replace the first."""
    from cli.client_settings import open_client_home
    from cli.joining import NEXT_BUNDLE_NAME, create_next_key
    from cli.passphrase import read_passphrase
    from node.config import ConfigError

    directory = find_home(home)
    genesis = open_client_home(directory).read_genesis()
    passphrase = read_passphrase(passphrase_file, of_what="the keys of this home")
    try:
        bundle = create_next_key(directory, genesis, host, passphrase)
    except ConfigError as error:
        raise build_usage_error(str(error)) from None
    path, name = directory / NEXT_BUNDLE_NAME, bundle.validator.name
    if as_json:
        print_json({"name": name, "public_key": bundle.validator.public_key.hex(), "bundle": str(path)})
        return
    print_line(bundle.validator.public_key.hex())
    talk(f"The second key of {name} is made. Restart its node once, so that it has both, and send the others")
    talk(f"{path}. They run, each with its own home:")
    talk(f"  gridbft validators replace {name} {path} --home ITS_HOME")
    talk("When a quorum has, the node goes over to the new key by itself.")


@app.command("verify-genesis")
def verify_genesis(
    path: Annotated[
        Path, typer.Argument(metavar="GENESIS", help="genesis.bin, or a directory that holds it.")
    ],
    expected: Annotated[
        str | None,
        typer.Option("--hash", metavar="HEX", help="The hash that you were told.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check a genesis file and print its hash; with --hash, refuse any other."""
    from cli.client_settings import read_genesis

    genesis = read_genesis(path / "genesis.bin" if path.is_dir() else path)
    genesis_hash = genesis.compute_hash().hex()
    if expected is not None and not _is_hash(expected):
        raise build_usage_error(f"--hash: {expected!r} is no hash; it has 64 hexadecimal digits")
    if expected is not None and expected.lower() != genesis_hash:
        raise CliError(
            f"{path}: this genesis has the hash {genesis_hash}, not the one you were told; "
            "get the right file before you start anything",
            ExitCode.ERROR,
        )
    if as_json:
        print_json(
            {
                "genesis_hash": genesis_hash,
                "name": genesis.name,
                "currency": genesis.currency,
                "time_ms": genesis.time_ms,
                "validators": [v.name for v in genesis.validators],
                "utilities": [a.name for a in genesis.accounts if a.role == "utility"],
            }
        )
        return
    print_line(genesis_hash)
    talk(
        f"{genesis.name}: {len(genesis.validators)} validators, slots of {genesis.energy.slot_s // 60} minutes, "
        f"{genesis.currency}"
    )


def _is_hash(text: str) -> bool:
    return len(text) == 64 and all(character in "0123456789abcdefABCDEF" for character in text)  # noqa: PLR2004
