"""`gridbft network`: one declarative file becomes a genesis, keys and a home directory for each validator."""

import time
from pathlib import Path
from typing import Annotated

import typer

from cli.console import print_json, print_line, talk
from cli.failure import CliError, ExitCode, build_usage_error
from cli.options import JsonOption, PassphraseFileOption

app = typer.Typer(no_args_is_help=True, help="Make a network, and check the genesis of one.")


@app.command()
def example() -> None:
    """Print a specification to start from."""
    from cli.network_spec import EXAMPLE

    print_line(EXAMPLE.rstrip("\n"))


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
    talk(f"Members need client.toml and genesis.bin; keep {network.utility_key} to yourself.")


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
