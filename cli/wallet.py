"""`gridbft wallet`: key files of this home; a secret never leaves its file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import print_json, print_line, talk
from cli.failure import CliError, ExitCode, build_usage_error
from cli.options import HomeOption, JsonOption, PassphraseFileOption, find_home

if TYPE_CHECKING:
    from meter.keystore import KeyLabel

app = typer.Typer(no_args_is_help=True, help="Keys of this home.")

CREATED_KINDS = ("meter", "wallet")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What to call it; a meter is called as its account.")],
    kind: Annotated[str, typer.Option(metavar="|".join(CREATED_KINDS), help="What it will sign.")] = "wallet",
    home: HomeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and seal it under a passphrase in HOME/wallets/NAME.key."""
    from cli.client_settings import open_client_home
    from cli.passphrase import read_passphrase
    from meter.keystore import KEY_SUFFIX, KeyKind, KeystoreError, create_key
    from vm.genesis import is_name_sound

    if not is_name_sound(name):
        raise build_usage_error(f"{name!r} is no name: 1 to 32 letters, digits, dots, dashes, underscores")
    if kind not in CREATED_KINDS:
        raise build_usage_error(f"--kind {kind}: {' or '.join(CREATED_KINDS)}")
    path = open_client_home(find_home(home)).wallets / f"{name}{KEY_SUFFIX}"
    passphrase = read_passphrase(passphrase_file, of_what=f"the new key {name}", is_new=True)
    try:
        label = create_key(path, passphrase, KeyKind(kind), name)
    except KeystoreError as error:
        raise CliError(str(error)) from None
    _print_label(path, label, as_json=as_json)
    talk("Back the file up: without it or its passphrase nobody can sign for this account again.")


@app.command()
def show(
    name: Annotated[
        str | None, typer.Argument(help="One key; without it, all of this home.", show_default=False)
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what everybody may know of a key: its kind, public key and account."""
    from cli.client_settings import open_client_home
    from meter.keystore import KEY_SUFFIX, KeyNotFoundError, KeystoreError, list_keys, read_key_label

    wallets = open_client_home(find_home(home)).wallets
    try:
        if name is not None:
            path = wallets / f"{name}{KEY_SUFFIX}"
            _print_label(path, read_key_label(path), as_json=as_json)
            return
        listed = list_keys(wallets)
    except KeyNotFoundError as error:
        raise CliError(str(error), ExitCode.NOT_FOUND) from None
    except KeystoreError as error:
        raise CliError(str(error)) from None
    if as_json:
        print_json([_describe(key.path, key.label) for key in listed if key.label is not None])
    for key in listed:
        if key.label is None:
            talk(f"gridbft: {key.problem}")
        elif not as_json:
            print_line(f"{key.label.name}  {key.label.kind}  {key.label.account.hex()}")
    if not listed:
        talk(f"{wallets} holds no keys; `gridbft wallet create NAME` makes one")


def _print_label(path: Path, label: "KeyLabel", *, as_json: bool) -> None:
    described = _describe(path, label)
    if as_json:
        print_json(described)
        return
    for key, value in described.items():
        print_line(f"{key.replace('_', ' '):<12}{value}")


def _describe(path: Path, label: "KeyLabel") -> dict[str, str]:
    return {
        "name": label.name,
        "kind": str(label.kind),
        "account": label.account.hex(),
        "public_key": label.public_key.hex(),
        "file": str(path),
    }
