"""Every byte of a small home cut off or flipped: what a start makes of it, and whether anything passes in silence.

``python -m tests.node.storage.corruption [--step N] [--json]`` tries every N-th byte of every file.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from node.errors import NodeError
from node.home import load_constitution, open_storage
from node.storage.integrity import check_everything
from node.storage.store import StoreError
from tests.node.storage.homes import BLOCKS, SampleHome, build_home, read_content, write_home

TORN = "torn"
"""The last group of the journal is gone, which no later block vouched for: it is cut as one that was never synced."""

Spoil = Callable[[bytes, int], bytes]

UNREAD = "unread"
"""The file differs and nothing that is read does: padding, or a filter that only saves time."""


def cut(data: bytes, place: int) -> bytes:
    return data[:place]


def flip_low(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 0x01]) + data[place + 1 :]


def flip_high(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 0x80]) + data[place + 1 :]


def clear(data: bytes, place: int) -> bytes:
    """Return what a file system shows whose last blocks were allocated and never written."""
    return data[:place] + bytes(len(data) - place)


SPOILS: dict[str, Spoil] = {"cut": cut, "flip_low": flip_low, "flip_high": flip_high, "clear": clear}


@dataclass
class Survey:
    """How often a start did what, by file and damage; and every case that it took in silence."""

    outcomes: Counter[str] = field(default_factory=Counter)
    silent: list[str] = field(default_factory=list)


def try_home(sample: SampleHome, path: Path) -> str:
    """Open a spoiled home; return refused, unread, torn, lost_named, or what it passed over in silence."""
    try:
        constitution = load_constitution(path)
        with open_storage(path, constitution) as storage:
            height = storage.chain.get_height()
            try:
                check_everything(storage.chain)
                found = read_content(storage.chain)
            except StoreError as error:
                return _judge_refusal(str(error))
            if len(storage.records) < BLOCKS - 1:
                return "silent: a promise was forgotten"
            if len(storage.records) < BLOCKS:
                return TORN
            if found == sample.contents[-1]:
                return UNREAD
            if found not in sample.contents:
                return "silent: a state that never was"
            if height < BLOCKS and storage.signed_height != BLOCKS:
                return "silent: a block was lost"
            return "lost_named"
    except NodeError as error:
        return _judge_refusal(str(error))


def survey_home(sample: SampleHome, folder: Path, step: int, wanted: str = "data/leveldb") -> Survey:
    """Spoil every ``step``-th byte of the files under ``wanted``, one at a time, and open the home each time."""
    survey = Survey()
    files = sample.read_files()
    for name, place, kind in _list_cases(files, step, wanted):
        spoiled = SPOILS[kind](files[name], place)
        if spoiled == files[name]:
            continue
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            outcome = try_home(sample, write_home(Path(scratch), {**files, name: spoiled}))
        survey.outcomes[f"{_get_kind(name)} {kind} {outcome}"] += 1
        if outcome.startswith("silent"):
            survey.silent.append(f"{name} {kind} at {place}: {outcome}")
    return survey


def _list_cases(files: dict[str, bytes], step: int, wanted: str) -> Iterator[tuple[str, int, str]]:
    for name in sorted(files):
        if name.startswith(wanted):
            for place in range(0, len(files[name]), step):
                for kind in SPOILS:
                    yield name, place, kind


def _judge_refusal(text: str) -> str:
    is_named = "\n" not in text and any(
        word in text for word in ("data", "genesis.bin", "block", "state key")
    )
    return "refused" if is_named else f"silent: says {text!r}"


def _get_kind(name: str) -> str:
    file = Path(name)
    return {".ldb": "table", ".log": "log"}.get(file.suffix, file.name.split("-")[0].lower())


LAYOUTS: dict[str, tuple[int, ...]] = {"log": (), "table and log": (2,), "tables": (1, 3, 5)}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step", type=int, default=1, help="every how many bytes")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    total = Survey()
    with tempfile.TemporaryDirectory() as folder:
        for layout, reopened_after in LAYOUTS.items():
            sample = build_home(Path(folder) / layout, reopened_after=reopened_after)
            survey = survey_home(sample, Path(folder), max(1, options.step), "")
            total.outcomes += survey.outcomes
            total.silent += [f"{layout}: {line}" for line in survey.silent]
    answer = {
        "cases": sum(total.outcomes.values()),
        "outcomes": dict(sorted(total.outcomes.items())),
        "silent": total.silent,
    }
    sys.stdout.write((json.dumps(answer) if options.json else json.dumps(answer, indent=2)) + "\n")
    return 1 if total.silent else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
