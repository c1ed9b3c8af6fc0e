"""The commands of a scenario. Each is a function of the stage and its words; README.md tells them to authors."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgspec.structs import fields, replace

from tests.scenarios.crafted import CraftError, craft
from tests.scenarios.lies import build_behaviour, list_behaviours
from tests.scenarios.stage import LossRule, Stage
from tests.simulation.community import MEMBERS, PARAMETERS
from vm.state_root import build_tree

RUN_MS_MAX = 120_000
"""Two minutes of virtual time in one command: a story is about seconds."""

UNTIL_MS = 10_000
"""How long ``until`` waits unless told otherwise."""

VALIDATORS_MAX = 10
"""A story with more is not read by anybody."""

CANDIDATES_MAX = 3

MEMBER_NAMES = tuple(f"member{number}" for number in range(MEMBERS))

_TIME = re.compile(r"(\d+)(ms|s)")
_SCALES = {"ms": 1, "s": 1000}


class CommandError(Exception):
    """A command cannot be performed, or what it expects is not so."""


@dataclass(frozen=True, slots=True)
class Command:
    """How a command is written, and what it does with the words after its name."""

    usage: str
    perform: Callable[[Stage, list[str]], None]


def open_stage(words: Sequence[str]) -> Stage:
    """Return the stage of ``cluster N [seed=S] [parameter=…]``.

    Raises:
        CommandError: it is written otherwise.

    """
    if not words or not words[0].isdecimal() or not 4 <= int(words[0]) <= VALIDATORS_MAX:
        raise CommandError(f"cluster: name 4 to {VALIDATORS_MAX} validators")
    values = dict(map(_split_value, words[1:]))
    seed, candidates = values.pop("seed", 0), values.pop("candidates", 0)
    if candidates > CANDIDATES_MAX:
        raise CommandError(f"cluster: at most {CANDIDATES_MAX} candidates")
    known = {field.name for field in fields(PARAMETERS)}
    unknown = sorted(values.keys() - known)
    if unknown:
        raise CommandError(
            f"cluster: no parameter {unknown[0]}; there are seed, candidates, {', '.join(sorted(known))}"
        )
    return Stage(int(words[0]), seed, candidates, replace(PARAMETERS, **values))


def submit(stage: Stage, words: list[str]) -> None:
    words, chosen = _split_at(words, "to")
    names, by = _split_at(words, "by")
    if by and by[0] not in MEMBER_NAMES:
        raise CommandError(f"no member {by[0]!r}; there are {', '.join(MEMBER_NAMES)}")
    for name in names:
        stage.submit_named(name, _parse_replicas(stage, chosen or ["all"]), by[0] if by else None)


def run(stage: Stage, words: list[str]) -> None:
    (text,) = _take(words, 1)
    stage.run(_parse_time(text))


def until(stage: Stage, words: list[str]) -> None:
    words, limit = _split_at(words, "within")
    limit_ms = _parse_time(limit[0]) if limit else UNTIL_MS
    stage.run_until(_parse_condition(stage, words), limit_ms)


def expect(stage: Stage, words: list[str]) -> None:
    if not _parse_condition(stage, words)():
        raise CommandError(f"it is not so: {stage.describe()}")


def ballot(stage: Stage, words: list[str]) -> None:
    what, who = _take(words, 2)
    if what not in {"add", "remove"}:
        raise CommandError(f"no ballot {what!r}; there are add, remove")
    (index,) = _parse_replicas(stage, [who])
    stage.vote(what, index)


def cut(stage: Stage, words: list[str]) -> None:
    for source, target in _parse_links(stage, words):
        stage.network.cut(source, target)


def isolate(stage: Stage, words: list[str]) -> None:
    for index in _parse_replicas(stage, words):
        stage.network.isolate(index)


def lose(stage: Stage, words: list[str]) -> None:
    arrow = next((place for place, word in enumerate(words) if word in {"->", "<->"}), None)
    if arrow is None:
        raise CommandError("name the links: all -> v1")
    first = next(place for place, word in enumerate(words) if _is_replica(word))
    for sources, targets in _parse_sides(stage, words[first:]):
        stage.rules.append(LossRule(frozenset(words[:first]), frozenset(sources), frozenset(targets)))


def tell(stage: Stage, words: list[str]) -> None:
    if not words:
        raise CommandError("name words of the lines that are told, or all")
    stage.story.wanted = frozenset() if words == ["all"] else frozenset(words)


def heal(stage: Stage, words: list[str]) -> None:
    _take(words, 0)
    stage.heal()


def kill(stage: Stage, words: list[str]) -> None:
    for index in _parse_running(stage, words):
        stage.kill(index)


def stop(stage: Stage, words: list[str]) -> None:
    for index in _parse_running(stage, words):
        stage.stop(index)


def restart(stage: Stage, words: list[str]) -> None:
    for index in _parse_replicas(stage, words):
        machine = stage.machines[index]
        if machine.is_alive:
            raise CommandError(f"v{index} runs already")
        stage.story.forget(index)
        if not stage.restart(index):
            reason = str(machine.refused_start).partition(":")[0]
            stage.story.add(stage.now_ms, index, f"start_refused reason={reason}")


def behave(stage: Stage, words: list[str]) -> None:
    who, name = _take(words, 2)
    for index in _parse_replicas(stage, [who]):
        behaviour = build_behaviour(name)
        if behaviour is None:
            raise CommandError(f"no behaviour {name!r}; there are {list_behaviours()}")
        stage.set_behaviour(index, behaviour)


def inject(stage: Stage, words: list[str]) -> None:
    place = next((place for place, word in enumerate(words) if not (_is_replica(word) or word == "->")), None)
    if place is None:
        raise CommandError("name a message after the links")
    values = dict(_split_text(word) for word in words[place + 1 :])
    for source, target in _parse_links(stage, words[:place]):
        stage.make_faulty(source)
        try:
            stage.inject(source, target, craft(stage, source, words[place], values))
        except CraftError as error:
            raise CommandError(str(error)) from None


def clock(stage: Stage, words: list[str]) -> None:
    who, by = _take(words, 2)
    sign = -1 if by.startswith("-") else 1
    for index in _parse_replicas(stage, [who]):
        stage.machines[index].wall_offset_ms = sign * _parse_time(by.lstrip("+-"), limited=False)


def backup(stage: Stage, words: list[str]) -> None:
    for index in _parse_replicas(stage, words):
        stage.save_disk(index)


def restore(stage: Stage, words: list[str]) -> None:
    for index in _parse_replicas(stage, words):
        if index not in stage.copies or stage.machines[index].is_alive:
            raise CommandError(f"v{index} has no backup, or runs")
        stage.restore_disk(index)


def lose_store(stage: Stage, words: list[str]) -> None:
    for index in _parse_replicas(stage, words):
        stage.machines[index].disk.replace_store()
        stage.machines[index].is_damaged = True


def miscompute(stage: Stage, words: list[str]) -> None:
    """Let replicas work on a wrong state tree from now on, as one with damaged memory does."""
    for index in _parse_running(stage, words):
        stage.make_faulty(index)
        process = stage.machines[index].get_process()
        process.host._applier.tree = build_tree([*process.storage.chain.iterate_buckets(), (0, bytes(32))])


COMMANDS: dict[str, Command] = {
    "submit": Command("submit NAME… [by member0] [to v0…]", submit),
    "run": Command("run 200ms", run),
    "until": Command("until height 1 [on v0…] [within 5s]", until),
    "expect": Command("expect view 0 [on v0…]", expect),
    "ballot": Command("ballot add v4", ballot),
    "cut": Command("cut v0 -> v1", cut),
    "isolate": Command("isolate v0…", isolate),
    "lose": Command("lose commit sequence=1 all -> v1", lose),
    "tell": Command("tell executed refused…, or: tell all", tell),
    "heal": Command("heal", heal),
    "kill": Command("kill v0…", kill),
    "stop": Command("stop v0…", stop),
    "restart": Command("restart v0…", restart),
    "behave": Command("behave v0 BEHAVIOUR", behave),
    "inject": Command("inject v0 -> v1 MESSAGE key=value…", inject),
    "clock": Command("clock v0 +1s", clock),
    "backup": Command("backup v0", backup),
    "restore": Command("restore v0", restore),
    "lose_store": Command("lose_store v0", lose_store),
    "miscompute": Command("miscompute v0", miscompute),
}


def _parse_condition(stage: Stage, words: list[str]) -> Callable[[], bool]:
    words, chosen = _split_at(words, "on")
    if len(words) != 2:
        raise CommandError(
            "name one condition: height 3, certified 3, view 1, committed a, halted yes, running no"
        )
    what, value = words
    machines = [stage.machines[index] for index in _parse_replicas(stage, chosen or ["all"])]
    match what:
        case "height" if value.isdecimal():
            return lambda: all(machine.get_chain().get_height() == int(value) for machine in machines)
        case "view" if value.isdecimal():
            return lambda: all(m.is_alive and m.state.view == int(value) and m.state.active for m in machines)
        case "epoch" if value.isdecimal():
            return lambda: all(m.is_alive and m.state.epoch == int(value) for m in machines)
        case "committed" if value in stage.transactions:
            sealed = stage.transactions[value]
            return lambda: all(stage.is_committed(sealed, [machine.index]) for machine in machines)
        case "certified" if value.isdecimal():
            return lambda: all(m.is_alive and m.state.stable_height >= int(value) for m in machines)
        case "halted" if value in {"yes", "no"}:
            return lambda: all(m.is_alive and m.state.halted is (value == "yes") for m in machines)
        case "running" if value in {"yes", "no"}:
            return lambda: all(m.is_alive is (value == "yes") for m in machines)
        case _:
            raise CommandError(f"no condition {' '.join(words)!r}")


def _parse_links(stage: Stage, words: list[str]) -> list[tuple[int, int]]:
    links = [
        (source, target)
        for sources, targets in _parse_sides(stage, words)
        for source in sources
        for target in targets
    ]
    return [(source, target) for source, target in links if source != target]


def _parse_sides(stage: Stage, words: list[str]) -> list[tuple[list[int], list[int]]]:
    for arrow in ("->", "<->"):
        if words.count(arrow) == 1:
            place = words.index(arrow)
            one = _parse_replicas(stage, words[:place])
            other = _parse_replicas(stage, words[place + 1 :])
            return [(one, other)] if arrow == "->" else [(one, other), (other, one)]
    raise CommandError("name links with one arrow: v0 v1 -> v2, or v0 <-> v1")


def _parse_running(stage: Stage, words: list[str]) -> list[int]:
    chosen = _parse_replicas(stage, words)
    for index in chosen:
        if not stage.machines[index].is_alive:
            raise CommandError(f"v{index} does not run")
    return chosen


def _parse_replicas(stage: Stage, words: list[str]) -> list[int]:
    if words == ["all"]:
        return list(range(len(stage.machines)))
    if not words:
        raise CommandError("name replicas: v0 v1, or all")
    for word in words:
        if not _is_replica(word) or word == "all" or int(word[1:]) >= len(stage.machines):
            raise CommandError(f"no replica {word!r} in a cluster of {len(stage.machines)}")
    return [int(word[1:]) for word in words]


def _is_replica(word: str) -> bool:
    return word == "all" or (word.startswith("v") and word[1:].isdecimal())


def _parse_time(text: str, *, limited: bool = True) -> int:
    match = _TIME.fullmatch(text)
    if match is None:
        raise CommandError(f"no time {text!r}; write 200ms or 2s")
    duration_ms = int(match[1]) * _SCALES[match[2]]
    if limited and duration_ms > RUN_MS_MAX:
        raise CommandError(f"{text}: at most {RUN_MS_MAX // 1000}s in one command")
    return duration_ms


def _take(words: list[str], count: int) -> list[str]:
    if len(words) != count:
        raise CommandError(f"{count} words follow, not {len(words)}")
    return words


def _split_at(words: list[str], word: str) -> tuple[list[str], list[str]]:
    if word not in words:
        return words, []
    place = words.index(word)
    if place + 1 == len(words):
        raise CommandError(f"something follows {word!r}")
    return words[:place], words[place + 1 :]


def _split_text(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals or not value:
        raise CommandError(f"no {word!r} here; write key=value")
    return name, value


def _split_value(word: str) -> tuple[str, int]:
    name, value = _split_text(word)
    if not value.isdecimal():
        raise CommandError(f"{word}: not a whole number")
    return name, int(value)
