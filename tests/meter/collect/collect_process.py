"""A process that collects recorded telegrams until it is killed: `python -m tests.meter.collect.collect_process DIR`.

It says a line for each reading that is on disk, and one when the recording has ended; no network is there.
"""

import asyncio
import sys
from contextlib import nullcontext
from pathlib import Path

from meter.reading import Reading
from meter.sources.devices import find_device
from meter.sources.p1_port import read_p1
from meter.spool import open_spool
from tests.meter.collect.homes import Home
from tests.meter.networks import ANCHOR


def tell(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def tell_reading(reading: Reading) -> None:
    tell("stored", reading.time_s, reading.import_wh, reading.export_wh)


async def collect(home: Home, recording: Path) -> None:
    with open_spool(home.spool_path, ANCHOR.genesis_hash) as spool:
        collector = home.start(spool)
        collector.listeners.append(tell_reading)
        async for observed in read_p1(find_device(str(recording)), lambda: nullcontext(-1), lambda: None):
            collector.take(observed)
    tell("ended")


if __name__ == "__main__":
    directory = Path(sys.argv[1])
    asyncio.run(collect(Home(directory), directory / "recording.txt"))
