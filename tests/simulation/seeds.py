"""The seeds that found something, kept for ever."""

from dataclasses import dataclass
from pathlib import Path

PATH = Path(__file__).with_name("seeds.txt")


@dataclass(frozen=True, slots=True)
class KeptSeed:
    """A seed with the sizes it found something with; None is what the seed draws."""

    seed: int
    validators: int | None = None
    byzantine: int | None = None


def read_seeds() -> list[KeptSeed]:
    """Return the kept seeds."""
    lines = [line.partition("#")[0].split() for line in PATH.read_text(encoding="utf-8").splitlines()]
    return [KeptSeed(*map(int, words)) for words in lines if words]
