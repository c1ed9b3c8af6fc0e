"""`gridbft observers`: whom a validator serves who has no vote. Each operator decides for its own validator."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import build_console, print_json, print_line, talk
from cli.failure import CliError, ExitCode, build_usage_error
from cli.money import count
from cli.options import HomeOption, JsonOption, find_home

if TYPE_CHECKING:
    from node.observer.bundles import Observer
    from primitives.ids import Digest

app = typer.Typer(no_args_is_help=True, help="The observers that a validator serves.")

KEY_DIGITS_SHOWN = 16


@app.command()
def add(
    bundle: Annotated[
        Path, typer.Argument(metavar="BUNDLE", help="What `network join --role observer` wrote.")
    ],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let the validator of HOME serve the observer of BUNDLE; a running one does within seconds."""
    from node.observer.bundles import (
        DIRECTORY_NAME,
        OBSERVERS_MAX,
        SUFFIX,
        BundleError,
        read_admitted,
        read_bundle,
    )

    directory = find_home(home)
    genesis_hash, port = _read_validator(directory)
    try:
        observer = read_bundle(bundle, genesis_hash)
    except BundleError as error:
        raise build_usage_error(f"{bundle}: {error}") from None
    path = directory / DIRECTORY_NAME / f"{observer.name}{SUFFIX}"
    known = read_admitted(directory, genesis_hash).observers
    if observer not in known:
        if path.exists() or any(each.name == observer.name for each in known):
            raise build_usage_error(
                f"{observer.name}: there is an observer of this name; `gridbft observers remove {observer.name}` first"
            )
        if len(known) >= OBSERVERS_MAX:
            raise CliError(
                f"{directory} serves {OBSERVERS_MAX} observers, which is the most; remove one first"
            )
        _copy(bundle, path)
    if as_json:
        print_json(_describe(observer))
        return
    print_line(observer.public_key.hex())
    talk(f"{observer.name} may follow this validator; compare the key above with what its operator tells")
    if port == 0:
        talk(
            f"its port for observers is shut: set observers.host and observers.port in {directory}/config.toml"
        )
        talk("and start it again")


@app.command("list")
def list_observers(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show whom the validator of HOME serves."""
    from node.observer.bundles import read_admitted

    directory = find_home(home)
    genesis_hash, port = _read_validator(directory)
    admitted = read_admitted(directory, genesis_hash)
    if as_json:
        refused = [{"bundle": name, "reason": reason} for name, reason in admitted.refused]
        observers = [_describe(each) for each in admitted.observers]
        print_json({"port": port, "observers": observers, "refused": refused})
        return
    _print(admitted.observers)
    for name, reason in admitted.refused:
        talk(f"{name} lets nobody in: {reason}")


@app.command()
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `observers list` shows it.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Serve the observer NAME no more; a running validator ends its link within seconds."""
    from node.observer.bundles import SUFFIX, BundleError, list_bundles, read_bundle

    directory = find_home(home)
    genesis_hash, _ = _read_validator(directory)
    removed = False
    for path in list_bundles(directory):
        try:
            found = read_bundle(path, genesis_hash).name
        except BundleError:
            found = path.name.removesuffix(SUFFIX)  # what lets nobody in goes by its file's name
        if found == name:
            path.unlink()
            removed = True
    if not removed:
        raise CliError(
            f"{name!r} is no observer of this validator; see `gridbft observers list`", ExitCode.NOT_FOUND
        )
    if as_json:
        print_json({"removed": name})
        return
    talk(f"{name} is served no more")


def _read_validator(home: Path) -> "tuple[Digest, int]":
    """Return the genesis' hash of a validator's home, and its port for observers.

    Raises:
        CliError: usage; it is no validator's home.

    """
    import os

    from cli.client_settings import open_client_home
    from node.config import ConfigError, load_config

    try:
        config = load_config(home, os.environ)
    except ConfigError as error:
        raise build_usage_error(str(error)) from None
    if config.role != "validator":
        raise build_usage_error(
            f"{home}: the home of an observer, which serves no others; name a validator's"
        )
    return open_client_home(home).read_genesis().compute_hash(), config.observers.port


def _copy(bundle: Path, path: Path) -> None:
    """Lay a bundle where the validator looks: whole or not at all."""
    import os
    import tempfile

    from node.observer.bundles import BUNDLE_BYTES_MAX
    from node.ownership import give_to_owner

    with bundle.open("rb") as source:
        content = source.read(BUNDLE_BYTES_MAX)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(prefix=".", dir=path.parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    for made in (path.parent, Path(draft)):  # before the node, which runs, looks at it
        give_to_owner(made, path.parent.parent)
    Path(draft).rename(path)


def _describe(observer: "Observer") -> dict[str, str]:
    return {"name": observer.name, "public_key": observer.public_key.hex()}


def _print(observers: "tuple[Observer, ...]") -> None:
    from rich.markup import escape
    from rich.table import Table

    print_line(f"{count(len(observers), 'observer')} may follow this validator")
    if not observers:
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("observer")
    table.add_column("key")
    for each in observers:
        table.add_row(escape(each.name), each.public_key[: KEY_DIGITS_SHOWN // 2].hex())
    build_console().print(table)
