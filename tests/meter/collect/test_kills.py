"""A collector that is killed at any moment and started again signs each slot once, with what was on disk first."""

import random
import subprocess
import sys
from pathlib import Path

from meter.collect.collector import read_entry
from meter.spool import open_spool
from tests.meter.collect.homes import OPENING_S, SLOT_S, Home
from tests.meter.collect.samples import build_telegram
from tests.meter.networks import ANCHOR

REPOSITORY = Path(__file__).parents[3]
SLOTS = 19
KILLS = 3


def record(directory: Path) -> None:
    """A meter that sends every ten seconds just before and after each slot's end, and whose registers always move."""
    telegrams = [
        build_telegram(OPENING_S + slot * SLOT_S + second, 1_000_000 + 100 * slot + second // 10 + 3, 400_000)
        for slot in range(SLOTS + 1)
        for second in range(-30, 60, 10)
        if slot or second >= 0
    ]
    (directory / "recording.txt").write_bytes(b"".join(telegrams))


def collect(directory: Path, kill_after: int | None) -> list[str]:
    """Run the process; kill it when it has said so many lines. Return what it said."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.meter.collect.collect_process", str(directory)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line.rstrip("\n"))
            if len(said) == kill_after:
                process.kill()
        return said


def test_each_slot_is_signed_once_though_the_process_is_killed_again_and_again(tmp_path: Path) -> None:
    record(tmp_path)
    chance = random.Random(7)
    stored: dict[str, str] = {}
    for kill_after in [*(chance.randint(1, 4) for _ in range(KILLS)), None]:
        for line in collect(tmp_path, kill_after):
            word, _, rest = line.partition(" ")
            if word == "stored":
                time, _, registers = rest.partition(" ")
                assert stored.setdefault(time, registers) == registers, "a slot was signed twice"
    home = Home(tmp_path)
    with open_spool(home.spool_path, ANCHOR.genesis_hash) as spool:
        entries = spool.get_due(1000)
        readings = [entry for entry in map(read_entry, entries) if entry is not None]
    assert [reading.time_s for reading in readings] == [
        OPENING_S + slot * SLOT_S for slot in range(1, SLOTS + 1)
    ]
    assert [entry.transaction.transaction.nonce for entry in entries] == list(range(1, SLOTS + 1))
    # What was said to be on disk is there; what a kill cut off between the disk and the word is there as well.
    assert stored.items() <= {
        (str(reading.time_s), f"{reading.import_wh} {reading.export_wh}") for reading in readings
    }
