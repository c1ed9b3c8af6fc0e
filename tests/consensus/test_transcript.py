import pytest

from consensus.effects import Diverged, Effect, JournalRecord, Notice, Refused, Report
from consensus.events import Event
from consensus.messages import Envelope
from consensus.transcript import (
    describe_effect,
    describe_event,
    describe_message,
    describe_notice,
    describe_record,
)
from primitives.ids import Digest, Height
from tests.consensus.builders import name
from tests.consensus.constitution import build_membership
from tests.consensus.test_codec import MESSAGES, RECORDS
from tests.simulation.byzantine import Equivocating
from tests.simulation.network import Weather
from tests.simulation.world import World

MEMBERSHIP = build_membership(4)


def test_a_story_has_one_structured_line_for_each_event_and_effect() -> None:
    world = World(4, seed=2)
    world.set_behaviour(0, Equivocating())
    lines: list[str] = []

    def tell(_now_ms: int, _index: int, event: Event, effects: list[Effect]) -> None:
        lines.append(describe_event(MEMBERSHIP, event))
        lines.extend(describe_effect(MEMBERSHIP, effect) for effect in effects)

    world.told = tell
    world.network.weather = Weather(loss=0.2)
    for number in range(10):
        world.submit(world.community.grant(number % 4))
        world.run(600)
    words = {line.split()[0] for line in lines}
    assert {
        "view_change_started",
        "view_started",
        "checkpoint_stable",
        "deliver",
        "persist",
        "received",
    } <= words
    assert all(line == line.strip() and "\n" not in line for line in lines)


@pytest.mark.parametrize("envelope", MESSAGES, ids=lambda each: type(each.message).__name__)
def test_every_message_has_its_line(envelope: Envelope) -> None:
    assert "=" in describe_message(envelope.message)


@pytest.mark.parametrize("record", RECORDS, ids=lambda each: type(each).__name__)
def test_every_record_has_its_line(record: JournalRecord) -> None:
    assert "=" in describe_record(record)


@pytest.mark.parametrize(
    ("notice", "line"),
    [
        (Refused(name(2), "the primary sent a prepare"), "refused from=v2 reason=the primary sent a prepare"),
        (
            Diverged(Height(7), Digest(b"\x01" * 32), Digest(b"\x02" * 32)),
            "diverged height=7 own=01010101 certified=02020202",
        ),
    ],
)
def test_a_notice_names_validators_and_digests_shortly(notice: Notice, line: str) -> None:
    assert describe_notice(MEMBERSHIP, notice) == line
    assert describe_effect(MEMBERSHIP, Report(notice)) == line
