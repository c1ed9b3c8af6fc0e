"""`gridbft collect`: a home's meter is read all day, and each slot gets its signed reading."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.failure import CliError, build_usage_error
from cli.inputs import find_problem
from cli.options import HomeOption, JsonOption, NodeOption, PassphraseFileOption

if TYPE_CHECKING:
    from meter.sources.devices import Device, Opener

WINDOW_DEFAULT_S = 60
BROKER_PASSWORD_VARIABLE = "GRIDBFT_MQTT_PASSWORD"  # noqa: S105  # the name of a variable is no secret
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

FileOption = Annotated[Path, typer.Option("--file", metavar="FILE", help="What is read.")]
FollowOption = Annotated[
    bool, typer.Option("--follow", help="Go on with what is appended, across rotation and truncation.")
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
        wish,
        f"p1 {device}",
        lambda _: read_p1(found, open_port, (lambda: None) if is_of_meter else read_clock),
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


BrokerOption = Annotated[str, typer.Option("--broker", metavar="URL", help="mqtt[s]://[USER@]HOST[:PORT]")]
MapOption = Annotated[
    str,
    typer.Option(
        "--map",
        metavar="MAP",
        help="homeassistant, homeassistant-json, shelly-em, shelly-pm, shelly-switch, tasmota, or a file .toml.",
    ),
]
TopicOption = Annotated[
    str,
    typer.Option("--topic", metavar="NAME", help="The device, or how the topics begin, of a built-in map."),
]
BrokerPasswordOption = Annotated[
    Path | None,
    typer.Option(
        "--broker-password-file",
        metavar="FILE",
        help=f"The broker's password. (environment: {BROKER_PASSWORD_VARIABLE})",
        show_default=False,
    ),
]
BrokerCaOption = Annotated[
    Path | None,
    typer.Option(
        "--broker-ca",
        metavar="FILE",
        help="Certificates to trust. (default: the system's)",
        show_default=False,
    ),
]


@app.command()
def mqtt(
    *,
    broker: BrokerOption,
    map_name: MapOption,
    topic: TopicOption = "",
    broker_password_file: BrokerPasswordOption = None,
    broker_ca: BrokerCaOption = None,
    meter: MeterOption = None,
    window_s: WindowOption = WINDOW_DEFAULT_S,
    home: HomeOption = None,
    node: NodeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read what a gadget publishes: Home Assistant, Shelly, Tasmota, or a map of your own."""
    from cli.collecting import Wish, collect
    from meter.sources.mqtt_maps import MapError, MessageReader, build_map, read_map

    try:
        from meter.sources.mqtt import BrokerError, parse_broker, read_mqtt
    except ModuleNotFoundError:
        raise build_missing("aiomqtt") from None
    password = _read_broker_password(broker_password_file)
    try:
        found = read_map(Path(map_name)) if map_name.endswith(".toml") else build_map(map_name, topic)
        place = parse_broker(broker, password, None if broker_ca is None else str(broker_ca))
    except MapError as error:
        raise build_usage_error(f"--map {error}") from None
    except BrokerError as error:
        raise build_usage_error(f"--broker: {error}") from None
    wish = Wish(home, node, meter, passphrase_file, window_s, as_json)
    collect(
        wish, f"mqtt {place.host}:{place.port} {map_name}", lambda _: read_mqtt(place, MessageReader(found))
    )


@app.command()
def modbus(
    *,
    device: Annotated[
        str, typer.Option("--device", metavar="DEVICE", help="tcp://HOST[:PORT]; port 502 by itself.")
    ],
    unit: Annotated[
        int, typer.Option("--unit", min=0, max=255, metavar="N", help="The device's unit number.")
    ] = 1,
    every_s: Annotated[
        int, typer.Option("--every-s", min=1, max=60, metavar="S", help="Seconds between two questions.")
    ] = 10,
    meter: MeterOption = None,
    window_s: WindowOption = WINDOW_DEFAULT_S,
    home: HomeOption = None,
    node: NodeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a SunSpec meter over Modbus TCP: models 201 to 204."""
    from cli.collecting import Wish, collect
    from meter.sources.devices import DeviceError, parse_tcp

    try:
        from meter.sources.modbus import PORT_DEFAULT, read_modbus
    except ModuleNotFoundError:
        raise build_missing("pymodbus") from None
    try:
        found = parse_tcp(device, PORT_DEFAULT)
    except DeviceError as error:
        raise build_usage_error(f"--device {error}") from None
    wish = Wish(home, node, meter, passphrase_file, window_s, as_json)
    collect(wish, f"modbus {device}", lambda _: read_modbus(found, unit, every_s))


@app.command()
def csv(
    *,
    file: FileOption,
    follow: FollowOption = False,
    meter: MeterOption = None,
    window_s: WindowOption = WINDOW_DEFAULT_S,
    home: HomeOption = None,
    node: NodeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read a table that another program writes: time_utc, import_wh, export_wh[, meter, status]."""
    from cli.collecting import Wish, collect
    from meter.sources.csv_follow import read_csv

    _check_file(file, is_followed=follow)
    wish = Wish(home, node, meter, passphrase_file, window_s, as_json)
    collect(wish, f"csv {file}", lambda name: read_csv(file, name, is_followed=follow))


@app.command()
def ocmf(
    *,
    file: FileOption,
    public_key: Annotated[
        str,
        typer.Option(
            "--public-key", metavar="KEY", help="The charger's: its DER in hex, or a file (PEM, DER)."
        ),
    ],
    follow: FollowOption = False,
    meter: MeterOption = None,
    window_s: WindowOption = WINDOW_DEFAULT_S,
    home: HomeOption = None,
    node: NodeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read signed readings of a charger, a record in each line; what its key did not sign is refused."""
    from cli.collecting import Wish, collect
    from meter.sources.ocmf import OcmfKeyError, read_ocmf, read_public_key

    _check_file(file, is_followed=follow)
    try:
        key = read_public_key(public_key)
    except OcmfKeyError as error:
        raise build_usage_error(f"--public-key: {error}") from None
    wish = Wish(home, node, meter, passphrase_file, window_s, as_json)
    collect(wish, f"ocmf {file}", lambda _: read_ocmf(file, key, is_followed=follow))


def _check_file(path: Path, *, is_followed: bool) -> None:
    """Refuse a file that is not there; one that is followed may still come."""
    problem = find_problem(path)
    if problem and not is_followed:
        raise build_usage_error(f"--file {path}: {problem}; with --follow it may come later")


def _read_broker_password(path: Path | None) -> str | None:
    """Return the broker's password from its file, else from the environment, else none."""
    import os

    from cli.passphrase import PASSPHRASE_BYTES_MAX

    if path is None:
        return os.environ.get(BROKER_PASSWORD_VARIABLE)
    try:
        with path.open("rb") as file:
            return file.read(PASSPHRASE_BYTES_MAX).rstrip(b"\r\n").decode()
    except OSError as error:
        raise build_usage_error(f"--broker-password-file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise build_usage_error(f"--broker-password-file {path}: not UTF-8 text") from None
