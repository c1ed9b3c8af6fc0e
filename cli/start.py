"""`gridbft start`: one validator in this process, until it is asked to stop."""

import os
from pathlib import Path
from typing import Annotated

import typer

from cli.console import talk
from cli.failure import CliError, ExitCode, build_usage_error
from cli.options import HomeOption, PassphraseFileOption, check_role, find_home
from node.ownership import ROOT, is_root

ROLE_VARIABLE = "GRIDBFT_NODE_ROLE"


def start(
    home: HomeOption = None,
    passphrase_file: PassphraseFileOption = None,
    role: Annotated[
        str | None,
        typer.Option(
            metavar="ROLE",
            help="validator, or observer: follow without a vote. (default: config.toml)",
            show_default=False,
        ),
    ] = None,
    stop_with_stdin: Annotated[
        bool, typer.Option("--stop-with-stdin", hidden=True, help="Stop when standard input ends.")
    ] = False,
) -> None:
    """Run the node of HOME until SIGTERM or Ctrl-C; restarting it after a crash needs nothing else."""
    from cli.keys import build_key_error
    from cli.node_keys import NODE_KEY_PATH
    from cli.passphrase import read_passphrase
    from cli.serve import become_node
    from meter.keystore import KeystoreError, read_key_label
    from node.config import ConfigError, load_config

    directory = find_home(home)
    if role is not None:
        os.environ[ROLE_VARIABLE] = check_role(role)  # flag over environment over file; the node inherits it
    try:
        config = load_config(directory, os.environ)
        read_key_label(directory / NODE_KEY_PATH)  # a missing file is told before a passphrase is asked for
    except ConfigError as error:
        raise build_usage_error(str(error)) from None
    except KeystoreError as error:
        raise build_key_error(error) from None
    _check_user(directory)
    passphrase = read_passphrase(passphrase_file, of_what=f"the keys of {config.name}")
    talk(f"{config.name}: starting; Ctrl-C or SIGTERM stops it")
    become_node(directory, passphrase, stop_with_stdin=stop_with_stdin)


def _check_user(home: Path) -> None:
    """Refuse to run as root in another user's home: a power cut would leave files there that its owner cannot use.

    Raises:
        CliError: not allowed.

    """
    owner = home.stat().st_uid
    if is_root() and owner != ROOT:
        command = f"sudo -u '#{owner}' gridbft start --home {home}"
        raise CliError(f"{home}: the node runs as its owner, not as root: {command}", ExitCode.NOT_ALLOWED)
