"""`gridbft systemd`: a validator or an observer as a service of the system, supervised and locked in."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import print_line, talk
from cli.failure import CliError, ExitCode, build_usage_error
from cli.inputs import check_input, find_problem
from cli.options import HomeOption, find_home

if TYPE_CHECKING:
    from pwd import struct_passwd

app = typer.Typer(no_args_is_help=True, help="A node as a service of the system.")

UNITS = Path("/etc/systemd/system")
USER_DEFAULT = "gridbft"
HIDDEN = (Path("/home"), Path("/root"), Path("/run/user"))
"""What ProtectHome= hides: a home or a program in there is let in by name."""

TEMPLATE = """\
# Written by `gridbft systemd install`; run it again after the home or the program moved.
[Unit]
Description=gridbft {role} {name}
Documentation=https://www.freedesktop.org/software/systemd/man/latest/systemd.service.html
Wants=network-online.target
After=network-online.target time-sync.target
StartLimitIntervalSec=600
StartLimitBurst=10

[Service]
# Ready when it has recovered and listens; `systemctl status` shows where it stands and why it is not committing.
Type=notify
NotifyAccess=main
User={user}
LoadCredential=passphrase:{passphrase_file}
ExecStart={program} start --home {home} --passphrase-file "%d/passphrase"
# Reading a large state takes minutes on a Pi.
TimeoutStartSec=15min
TimeoutStopSec=60
# Signs of life come while the event loop turns and the disk writes.
WatchdogSec=60
Restart=on-failure
RestartSec=5
# 2: a setting is wrong, 4: it must be looked at, 5: the passphrase is wrong. None gets better by trying again.
RestartPreventExitStatus=2 4 5

# It writes its home and nothing else.
ProtectSystem=strict
{protect_home}
ReadWritePaths={home}
PrivateTmp=yes
PrivateDevices=yes
DevicePolicy=closed
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
UMask=0077

# It needs no privilege, and can get none.
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
PrivateUsers=yes
RestrictNamespaces=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
KeyringMode=private
RemoveIPC=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM

# Beyond these it is a bug, which should end the node and not the machine.
MemoryMax=768M
TasksMax=64
LimitNOFILE=4096

[Install]
WantedBy=multi-user.target
"""


@app.command()
def install(
    passphrase_file: Annotated[
        Path,
        typer.Option(
            "--passphrase-file",
            metavar="FILE",
            help="Holds the passphrase of the keys; systemd hands it over.",
        ),
    ],
    user: Annotated[
        str, typer.Option("--user", metavar="NAME", help="Whom the node runs as: the owner of HOME.")
    ] = USER_DEFAULT,
    only_print: Annotated[bool, typer.Option("--print", help="Print the unit and change nothing.")] = False,
    directory: Annotated[Path, typer.Option("--directory", metavar="DIR", help="Where units are.")] = UNITS,
    home: HomeOption = None,
) -> None:
    """Write the unit of the node of HOME; it starts when you say so, and can be written again at any time."""
    from node.config import ConfigError, load_config

    place = find_home(home).resolve()
    try:
        config = load_config(place, os.environ)
    except ConfigError as error:
        raise build_usage_error(str(error)) from None
    unit = render_unit(config.role, config.name, place, user, passphrase_file.resolve())
    problem = find_problem(passphrase_file)
    if only_print:
        if problem:  # it may be made later, or be on another machine
            talk(
                f"{passphrase_file}: {problem}; it must hold the passphrase of the keys before the unit starts"
            )
        print_line(unit.rstrip("\n"))
        return
    _check_owner(place, user)
    check_input(passphrase_file, "--passphrase-file")
    path = directory / f"gridbft-{config.name}.service"
    _write(path, unit)
    talk(f"{path} is written. It starts now and at every boot after:")
    talk(f"  systemctl daemon-reload && systemctl enable --now {path.stem}")
    talk(f"What it says: systemctl status {path.stem}; journalctl -u {path.stem}")


def render_unit(role: str, name: str, home: Path, user: str, passphrase_file: Path) -> str:
    """Return the text of the unit of a validator or an observer.

    Raises:
        CliError: usage; a path cannot stand in a unit, or ``user`` is none.

    """
    if not user.replace("-", "").replace("_", "").isalnum() or not user.isascii():
        raise build_usage_error(f"--user: {user!r} is no name of a user")
    program = Path(sys.executable).with_name("gridbft")
    seen = [place for place in (home, Path(sys.prefix).resolve()) if _is_hidden(place)]
    protect = ["ProtectHome=yes"]
    if seen:
        protect = ["ProtectHome=tmpfs"]
        protect += [f"{_kind(place, home)}={_quote(place)}" for place in seen]
    return TEMPLATE.format(
        role=role,
        name=name,
        user=user,
        home=_quote(home),
        program=_quote(program),
        passphrase_file=_escape(passphrase_file),
        protect_home="\n".join(protect),
    )


def _is_hidden(place: Path) -> bool:
    return any(place.is_relative_to(hidden) for hidden in HIDDEN)


def _kind(place: Path, home: Path) -> str:
    return "BindPaths" if place == home else "BindReadOnlyPaths"


def _escape(path: Path) -> str:
    """Return a path as a unit has it: % begins a specifier, and a line must stay one.

    Raises:
        CliError: usage; it has a character that units cannot hold.

    """
    text = str(path)
    if not text.isprintable() or any(character in text for character in "\"'\\$:"):
        raise build_usage_error(f"{text!r}: a unit cannot name this path; move it to one of plain characters")
    return text.replace("%", "%%")


def _quote(path: Path) -> str:
    """Return a path as one word of a unit."""
    return f'"{_escape(path)}"'


def _check_owner(home: Path, user: str) -> None:
    """Refuse a user that is none, is root, or could not open the home's keys.

    Raises:
        CliError: usage or not allowed, with the command that helps.

    """
    found = _find_user(user)
    if found is None:
        raise build_usage_error(f"--user: there is no user {user}: useradd --system --home-dir {home} {user}")
    if found.pw_uid == 0:
        raise build_usage_error("--user: a validator needs nothing of root; name a user of its own")
    if home.stat().st_uid != found.pw_uid:
        raise CliError(
            f"{home}: belongs to another user than {user}: chown -R {user}: {home}", ExitCode.NOT_ALLOWED
        )


def _find_user(user: str) -> "struct_passwd | None":
    import pwd

    try:
        return pwd.getpwnam(user)
    except KeyError:
        return None


def _write(path: Path, unit: str) -> None:
    try:
        path.write_text(unit, encoding="utf-8")
    except OSError as error:
        raise CliError(f"{path}: {error.strerror}; run it as root, or print it with --print") from None
