"""A campaign over all targets: `python -m tests.fuzz.campaign --seconds 60 [--targets a,b] [--keep]`.

Each target gets its share of the seconds, one after the other. The last line of standard output is JSON:
{target: {executions, seconds, new, crashes}}. An input that broke a promise joins the corpus, where it fails the tests
until the decoder is mended; with ``--keep`` inputs that reached new code join it too.
"""

import argparse
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.corpus import FILE_BYTES_MAX, FILES_MAX, get_folder, keep, read_corpus
from tests.fuzz.mutations import INPUT_BYTES_MAX
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).resolve().parents[2]

INPUT_TIMEOUT_S = 10
"""An input that holds a decoder for so long is reported as libFuzzer reports a crash."""

MEMORY_MB = 1024
"""Interpreter, our modules and the fuzzer's tables take 200; more is a decoder that allocates what it reads of."""

START_S = 600.0
"""For importing and instrumenting beside a dozen other processes: a fuzzer that is beyond it hangs."""

_EXECUTIONS = re.compile(r"stat::number_of_executed_units:\s*(\d+)")


def fuzz(name: str, seconds: int, *, is_kept: bool) -> dict[str, int | float]:
    """Run one target for so many seconds; return what happened."""
    with tempfile.TemporaryDirectory() as place:
        found, seeds, broken = Path(place, "found"), Path(place, "seeds"), Path(place, "broken")
        for folder in (found, seeds, broken):
            folder.mkdir()
        for number, seed in enumerate(TARGETS[name].list_seeds()):
            (seeds / str(number)).write_bytes(seed)
        known = [str(get_folder(name))] if get_folder(name).is_dir() else []
        began_s = time.monotonic()
        process = subprocess.run(
            [
                *(sys.executable, "-m", "tests.fuzz.coverage_process", name, str(found), str(seeds), *known),
                *(f"-max_total_time={seconds}", f"-max_len={INPUT_BYTES_MAX}", f"-timeout={INPUT_TIMEOUT_S}"),
                *(f"-rss_limit_mb={MEMORY_MB}", f"-artifact_prefix={broken}/", "-print_final_stats=1"),
            ],
            cwd=ROOT,
            capture_output=True,
            check=False,
            timeout=seconds + START_S,
        )
        took_s = time.monotonic() - began_s
        told = process.stderr.decode(errors="replace")
        crashes = [path.read_bytes() for path in sorted(broken.iterdir())]
        for data in crashes:
            sys.stderr.write(f"{name}: {keep(name, data)} breaks a promise\n{told[-3000:]}\n")
        if process.returncode and not crashes:
            raise RuntimeError(f"{name}: the fuzzer ended with {process.returncode}: {told[-3000:]}")
        reached = sorted((path.read_bytes() for path in found.iterdir()), key=len)
        if is_kept:
            keep_smallest(name, reached)
    executions = _EXECUTIONS.search(told)
    return {
        "executions": int(executions[1]) if executions else 0,
        "seconds": round(took_s, 1),
        "new": len(reached),
        "crashes": len(crashes),
    }


def keep_smallest(name: str, reached: list[bytes]) -> None:
    """Fill the corpus of a target up with its own valid inputs and the smallest of what reached new code."""
    room = FILES_MAX - len(list(read_corpus(name)))
    candidates = [*TARGETS[name].list_seeds(), *reached]
    for data in [each for each in candidates if len(each) <= FILE_BYTES_MAX][: max(0, room)]:
        keep(name, data)


def main() -> int:
    """Run the campaign; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description="fuzz every decoder")
    parser.add_argument("--seconds", type=int, default=300, help="for all targets together")
    parser.add_argument("--targets", default=",".join(TARGETS), help="names, separated by commas")
    parser.add_argument("--keep", action="store_true", help="let inputs that reach new code join the corpus")
    options = parser.parse_args()
    names = options.targets.split(",")
    unknown = [name for name in names if name not in TARGETS]
    if unknown:
        parser.error(f"no such target: {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    if importlib.util.find_spec("atheris") is None:
        parser.error("atheris has no wheel for this machine; fuzz on x86-64")
    share_s = max(1, options.seconds // len(names))
    results = {}
    for name in names:
        results[name] = fuzz(name, share_s, is_kept=options.keep)
        sys.stderr.write(f"{name}: {results[name]}\n")
    sys.stdout.write(json.dumps(results, separators=(",", ":")) + "\n")
    return int(any(result["crashes"] for result in results.values()))


if __name__ == "__main__":
    sys.exit(main())
