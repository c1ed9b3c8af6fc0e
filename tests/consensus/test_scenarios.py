"""Golden scenarios: the story that every replica tells, line by line.

A change of the protocol changes a story; read the difference, and write the stories anew with
``python -m tests.consensus.test_scenarios``. Why it changed belongs into the commit message.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from consensus.effects import Broadcast, Effect, Persist, Send, StartTimer, StopTimer, WantBatch
from consensus.events import BlocksFetched, Event, Executed, Overdue, Proposed
from consensus.messages import Status
from consensus.transcript import describe_effect, describe_event
from tests.consensus.byzantine import equivocate
from tests.consensus.cluster import Cluster

FOLDER = Path(__file__).parents[1] / "scenarios"


class Story:
    """Lines of a cluster: what its hosts said, and what its replicas answered, without timers and repetitions."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.lines: list[str] = []
        self._said: set[str] = set()
        cluster.told = self._tell

    def note(self, text: str) -> None:
        """Say what the test did."""
        self.lines.append(f"# {text}")

    def _tell(self, index: int, event: Event, effects: list[Effect]) -> None:
        membership = self.cluster.settings[index].membership
        told: list[str] = []
        if isinstance(event, Proposed | Executed | Overdue | BlocksFetched):
            told.append(describe_event(membership, event))
        told += [describe_effect(membership, effect) for effect in effects if is_told(effect)]
        for line in told:
            if f"{index} {line}" not in self._said:
                self._said.add(f"{index} {line}")
                self.lines.append(f"{self.cluster.now_ms:>6} v{index}  {line}")


def is_told(effect: Effect) -> bool:
    """Leave out what repeats: timers, statuses, questions, and records that the message after them names."""
    if isinstance(effect, StartTimer | StopTimer | WantBatch | Persist):
        return False
    return not (isinstance(effect, Broadcast | Send) and isinstance(effect.envelope.message, Status))


def tell_normal_case() -> str:
    cluster = Cluster(4)
    story = Story(cluster)
    story.note("one transaction, nobody faulty")
    cluster.submit(b"a reading")
    cluster.run(100)
    return finish(story)


def tell_primary_killed() -> str:
    cluster = Cluster(4)
    story = Story(cluster)
    cluster.submit(b"before")
    cluster.run_until(lambda: min(cluster.heights()) == 1, 1000)
    cluster.run(20)
    story.note("the primary v0 is killed, then a transaction comes")
    cluster.kill(0)
    cluster.submit(b"after")
    cluster.run_until(lambda: min(cluster.heights()[1:]) == 2, 10_000)
    cluster.run(20)
    return finish(story)


def tell_lagging_replica() -> str:
    cluster = Cluster(4)
    cluster.may_pass = lambda source, target, _envelope: 3 not in (source, target)
    for number in range(30):
        cluster.submit(b"transaction %d" % number)
    cluster.run_until(lambda: min(cluster.heights()[:3]) == 10, 5000)
    story = Story(cluster)
    story.note("v3 was cut off for ten blocks; its links are healed")
    cluster.may_pass = lambda _from, _to, _envelope: True
    cluster.run_until(lambda: min(cluster.heights()) == 10, 5000)
    cluster.run(50)
    return finish(story)


def tell_equivocating_primary() -> str:
    cluster = Cluster(4)
    cluster.behaviours[0] = equivocate
    story = Story(cluster)
    story.note("the primary v0 tells v1 and v3 another batch than v2")
    cluster.submit(b"a transfer")
    cluster.run_until(lambda: min(cluster.heights()[1:]) == 1, 10_000)
    cluster.run(50)
    return finish(story)


def finish(story: Story) -> str:
    story.cluster.check_agreement()
    return "\n".join(story.lines) + "\n"


SCENARIOS: dict[str, Callable[[], str]] = {
    "normal_case": tell_normal_case,
    "primary_killed": tell_primary_killed,
    "lagging_replica": tell_lagging_replica,
    "equivocating_primary": tell_equivocating_primary,
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_story_is_the_golden_one(name: str) -> None:
    golden = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    assert SCENARIOS[name]() == golden


def test_every_golden_story_is_told_by_a_test() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.txt")) == sorted(SCENARIOS)


if __name__ == "__main__":
    for scenario, tell in SCENARIOS.items():
        (FOLDER / f"{scenario}.txt").write_text(tell(), encoding="utf-8")
