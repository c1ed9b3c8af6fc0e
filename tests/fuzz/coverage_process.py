"""One target under a coverage-guided fuzzer: `python -m tests.fuzz.coverage_process TARGET [options of libFuzzer]`.

libFuzzer ends the process it runs in, so that each target has one of its own; `tests/fuzz/campaign.py` starts them.
"""

import sys

import atheris

with atheris.instrument_imports(
    include=["cli", "consensus", "csv", "meter", "node", "p2p", "primitives", "tomllib", "vm"]
):
    from tests.fuzz.targets import TARGETS, run


def main() -> None:
    """Fuzz until the options say that it is enough, or a promise is broken."""
    target = TARGETS[sys.argv[1]]
    atheris.Setup([sys.argv[0], *sys.argv[2:]], lambda data: run(target, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
