"""`gridbft keys`: the keys of a home as a whole: put away, compared, put back, and where each kind is changed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import print_json, print_line, talk
from cli.failure import CliError, build_usage_error
from cli.inputs import check_input
from cli.money import count
from cli.options import HomeOption, JsonOption, NodeOption, PassphraseFileOption, find_home

if TYPE_CHECKING:
    from meter.key_backup import HeldKey

app = typer.Typer(no_args_is_help=True, help="The keys of this home as a whole.")

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")]

JOURNAL_WARNING = """\
It holds a validator's key and not what the key has signed: data/journal is in no backup, because an older journal is
worse than none. Whoever restores this key elsewhere runs `gridbft recover` before `gridbft start`: the validator then
votes for nothing until the network has passed all that the key may have signed."""


@app.command()
def backup(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="A new file for the backup.")
    ],
    *,
    home: HomeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Seal all key files of this home into one new file, under a passphrase of its own."""
    from cli.client_settings import open_client_home
    from cli.keys import build_key_error
    from cli.passphrase import read_passphrase
    from meter.key_backup import collect_keys, write_backup
    from meter.keystore import KeystoreError

    directory = find_home(home)
    try:
        keys = collect_keys(directory)
        passphrase = read_passphrase(passphrase_file, of_what="the backup", is_new=True)
        write_backup(output, passphrase, keys)
    except KeystoreError as error:
        raise build_key_error(error) from None
    if as_json:
        print_json({"file": str(output), "keys": [_describe(each) for each in keys]})
    else:
        for each in keys:
            print_line(f"{each.path}  {each.label.kind}  {each.label.public_key.hex()}")
    talk(f"{count(len(keys), 'key')} in {output}; each stays sealed under its own passphrase as well")
    utility_key = open_client_home(directory).settings.utility_key
    if utility_key is not None and utility_key not in {each.path for each in keys}:
        talk(f"the utility's key {utility_key} lies elsewhere and is not in it")
    _warn_of_journal(keys)


@app.command("verify-backup")
def verify_backup(
    file: FileArgument,
    *,
    home: HomeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Open a backup and compare it with the keys of this home; nothing is written."""
    from cli.keys import build_key_error
    from meter.key_backup import Standing, collect_keys, compare_keys
    from meter.keystore import KeyNotFoundError, KeystoreError

    directory = find_home(home)
    kept = _open(file, passphrase_file)
    try:
        held = collect_keys(directory)
    except KeyNotFoundError:
        held = []
    except KeystoreError as error:
        raise build_key_error(error) from None
    compared = compare_keys(kept, held)
    if as_json:
        print_json([{"path": each.path, "standing": str(each.standing)} for each in compared])
    else:
        for each in compared:
            print_line(f"{each.path}  {each.label.kind}  {each.standing}")
    stale = [each for each in compared if each.standing in {Standing.DIFFERS, Standing.NOT_IN_BACKUP}]
    if stale:
        raise CliError(
            f"{file} does not hold {count(len(stale), 'key')} of {directory} as it is now; make a new backup"
        )
    talk(
        f"{file} opens, and holds every key of {directory}"
        if held
        else f"{file} opens; {directory} has no keys"
    )


@app.command()
def restore(
    file: FileArgument,
    *,
    home: HomeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put the keys of a backup into this home where they are missing; a file that is there is never replaced."""
    from cli.keys import build_key_error
    from meter.key_backup import restore_keys
    from meter.keystore import KeystoreError

    directory = find_home(home)
    kept = _open(file, passphrase_file)
    try:
        written = restore_keys(directory, kept)
    except KeystoreError as error:
        raise build_key_error(error) from None
    if as_json:
        print_json({"written": [_describe(each) for each in written], "kept": len(kept) - len(written)})
    else:
        for each in written:
            print_line(f"{each.path}  {each.label.kind}  {each.label.public_key.hex()}")
    left = len(kept) - len(written)
    talk(f"{count(len(written), 'key')} written to {directory}, {left} were there as they are in the backup")
    _warn_of_journal(written)


@app.command()
def rotate(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A meter; without it, the validator of this home changes its key.", show_default=False
        ),
    ] = None,
    *,
    new_key: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="NEW",
            help="Of a meter: the new key, a name in HOME/wallets or hex.",
            show_default=False,
        ),
    ] = None,
    home: HomeOption = None,
    node: NodeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change a key where it counts: a validator's by `network rotate`, a meter's by `meter rotate-key`."""
    from cli import meters, network
    from cli.node_keys import NODE_KEY_PATH

    directory = find_home(home)
    if name is None:
        if new_key is not None:
            raise build_usage_error(
                "--to is for a meter: name it, as in `gridbft keys rotate METER --to NEW`"
            )
        if not (directory / NODE_KEY_PATH).exists():
            raise build_usage_error(
                f"{directory} is no validator's home; of a meter: `gridbft keys rotate METER --to NEW`"
            )
        network.rotate(None, directory, passphrase_file, as_json)
        return
    if new_key is None:
        raise build_usage_error(
            f"--to names the new key of {name}; `gridbft wallet create NEW --kind meter` makes one"
        )
    meters.rotate_key(
        name, new_key, home=directory, node=node, passphrase_file=passphrase_file, as_json=as_json
    )


def _open(file: Path, passphrase_file: Path | None) -> "list[HeldKey]":
    """Return the keys of a backup.

    Raises:
        CliError: there is none, or it does not open.

    """
    from cli.keys import build_key_error
    from cli.passphrase import read_passphrase
    from meter.key_backup import check_backup, open_backup
    from meter.keystore import KeystoreError

    try:
        data = check_backup(check_input(file))  # a missing file is told before a passphrase is asked for
        return open_backup(file, data, read_passphrase(passphrase_file, of_what="the backup"))
    except KeystoreError as error:
        raise build_key_error(error) from None


def _warn_of_journal(keys: "list[HeldKey]") -> None:
    from meter.keystore import KeyKind

    if any(each.label.kind in {KeyKind.NODE, KeyKind.VALIDATOR} for each in keys):
        talk(JOURNAL_WARNING)


def _describe(key: "HeldKey") -> dict[str, str]:
    return {
        "path": key.path,
        "kind": str(key.label.kind),
        "name": key.label.name,
        "public_key": key.label.public_key.hex(),
        "account": key.label.account.hex(),
    }
