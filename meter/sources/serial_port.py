"""A serial port with the speed and parity of a meter's port."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import serial

BAUD_RATES = frozenset({300, 600, 1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200})


class LineError(ValueError):
    """Not the settings of a serial line; the message says what they look like."""


@dataclass(frozen=True, slots=True)
class Line:
    """How bits are sent; the default is P1 of DSMR 4 and 5."""

    baud: int = 115_200
    bits: int = 8
    parity: str = "N"
    stop_bits: int = 1


def parse_line(text: str) -> Line:
    """Return the settings from BAUD-BITS PARITY STOP, as ``115200-8N1``.

    Raises:
        LineError: they are none.

    """
    found = re.fullmatch(r"(\d{3,6})-([78])([NEO])([12])", text.upper())
    if found is None or int(found[1]) not in BAUD_RATES:
        raise LineError(f"{text!r}: write it as 115200-8N1 (P1) or 9600-7E1 (D0)")
    return Line(int(found[1]), int(found[2]), found[3], int(found[4]))


@contextmanager
def open_serial(path: Path, line: Line) -> Iterator[int]:
    """Open a port for this process alone and yield its descriptor.

    Raises:
        OSError: it cannot be opened, or another process has it.

    """
    with serial.Serial(
        str(path),
        baudrate=line.baud,
        bytesize=line.bits,
        parity=line.parity,
        stopbits=line.stop_bits,
        timeout=0,
        exclusive=True,
    ) as port:
        yield port.fileno()
