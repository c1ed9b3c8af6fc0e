"""`gridbft collect`: a home's meter is read all day, and each slot gets its signed reading."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.failure import CliError, build_usage_error
from cli.options import HomeOption, JsonOption, NodeOption, PassphraseFileOption

if TYPE_CHECKING:
    from meter.sources.devices import Device, Opener

WINDOW_DEFAULT_S = 60
EXTRA_MISSING = "install gridbft[collect]"

app = typer.Typer(
    no_args_is_help=True, help="Read a home's meter all day; each slot gets its signed reading."
)

MeterOption = Annotated[
    str | None,
    typer.Option(
        "--meter",
        metavar="METER",
        help="Whose meter. (default: the only meter's key here)",
        show_default=False,
    ),
]
WindowOption = Annotated[
    int, typer.Option("--window-s", metavar="S", help="How long after a slot's end registers count for it.")
]


@app.command()
def p1(
    *,
    device: Annotated[
        str,
        typer.Option(
            "--device", metavar="DEVICE", help="A serial device, tcp://HOST:PORT, a pipe or a recorded file."
        ),
    ],
    line: Annotated[
        str, typer.Option("--line", metavar="LINE", help="Speed and parity; 9600-7E1 for most D0.")
    ] = "115200-8N1",
    clock: Annotated[
        str | None,
        typer.Option(
            "--clock",
            metavar="host|meter",
            help="Whose time counts. (default: this machine's; of a recorded file the meter's)",
            show_default=False,
        ),
    ] = None,
    meter: MeterOption = None,
    window_s: WindowOption = WINDOW_DEFAULT_S,
    home: HomeOption = None,
    node: NodeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read telegrams of the customer port P1 (DSMR) or D0."""
    from cli.collecting import Wish, collect
    from meter.collect.collector import read_clock
    from meter.sources.devices import DeviceError, DeviceKind, find_device
    from meter.sources.p1_port import read_p1

    if clock not in {None, "host", "meter"}:
        raise build_usage_error(f"--clock {clock!r}: host or meter")
    try:
        found = find_device(device)
    except DeviceError as error:
        raise build_usage_error(f"--device {error}") from None
    open_port = _find_opener(found, line)
    is_of_meter = clock == "meter" or (clock is None and found.kind is DeviceKind.FILE)
    wish = Wish(home, node, meter, passphrase_file, window_s, as_json)
    collect(
        wish, f"p1 {device}", lambda: read_p1(found, open_port, (lambda: None) if is_of_meter else read_clock)
    )


def _find_opener(device: "Device", line: str) -> "Opener":
    """Return what opens a serial device; whatever else is opened does not need it."""
    from contextlib import nullcontext

    from meter.sources.devices import DeviceKind

    if device.kind is not DeviceKind.SERIAL:
        return lambda: nullcontext(-1)
    try:
        from meter.sources.serial_port import LineError, open_serial, parse_line
    except ModuleNotFoundError:
        raise build_missing("pyserial") from None
    try:
        settings = parse_line(line)
    except LineError as error:
        raise build_usage_error(f"--line {error}") from None
    return lambda: open_serial(device.path, settings)


def build_missing(library: str) -> CliError:
    """Return the end of a command whose extra is not installed."""
    return CliError(f"{library} is missing: {EXTRA_MISSING}")
