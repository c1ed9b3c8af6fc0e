"""Who looks for a mutant: seeds with a chosen liar, or a short scene. A hunt returns what it saw, or None."""

from collections.abc import Callable
from dataclasses import replace

from primitives.quorum import get_fault_tolerance
from tests.simulation.campaign import draw_plan, play_plan
from tests.simulation.checkers import ViolationError
from tests.simulation.memory import remember_signatures
from tests.simulation.mutants import scenes, splits
from tests.simulation.mutants.snapshot_scenes import SNAPSHOT_SCENES
from tests.simulation.timeline import StuckError

Hunt = Callable[[int], str | None]
"""Takes a seed."""

SIZE = 4
"""Small networks are fast, and every message counts in them."""


def build_hunt(*behaviours: str, validators: int = SIZE) -> Hunt:
    """Return a hunt that plays seeds with these liars; without any, with none."""

    def hunt(seed: int) -> str | None:
        byzantine = get_fault_tolerance(validators) if behaviours else 0
        plan = replace(draw_plan(seed, validators, byzantine), behaviours=behaviours, duration_ms=6_000)
        violation = play_plan(plan).violation
        return None if violation is None else f"{violation.invariant}: {violation.text}"

    return hunt


def build_scene(play: Callable[[int], str | None]) -> Hunt:
    """Return a hunt that plays a scene."""

    def hunt(seed: int) -> str | None:
        with remember_signatures():
            try:
                return play(seed)
            except (ViolationError, StuckError) as error:
                return str(error)

    return hunt


HUNTS: dict[str, Hunt] = {
    "seeds": build_hunt(),
    "equivocating": build_hunt("equivocating"),
    "bad_new_view": build_hunt("bad_new_view"),
    "forged_certificates": build_hunt("forged_certificates"),
    "forged_prepared": build_hunt("forged_prepared"),
    "forged_transactions": build_hunt("forged_transactions"),
    "mismatched_batch": build_hunt("mismatched_batch"),
    "huge_numbers": build_hunt("huge_numbers"),
    "flooding": build_hunt("flooding"),
    "lying_server": build_hunt("lying_server"),
    "repeating": build_hunt("repeating"),
    "time_ahead": build_hunt("time_ahead"),
    "censoring": build_hunt("censoring"),
    "silent": build_hunt("silent"),
    "lying_and_silent": build_hunt("lying_server", "silent", validators=7),
    **{name: build_scene(play) for name, play in (scenes.SCENES | splits.SPLITS | SNAPSHOT_SCENES).items()},
}
