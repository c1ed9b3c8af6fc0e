"""What is done to processes, disks and clocks during a round. Each fault ends healed, or with a process to start."""

import asyncio
import random
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from cli.failure import ExitCode
from tests.integration.chaos.disks import Disks, wait_refusal
from tests.integration.chaos.load import Clocks
from tests.integration.community import Community
from tests.integration.validator import Validator, until

DOWN_S = (0.0, 4.0)
FROZEN_S = (0.3, 7.0)
"""Shorter than a view time-out, and longer than the time-out of a silent link."""
CLOCK_STEP_S = 3 * 3600
"""Beyond what a batch may be dated ahead (an hour)."""


@dataclass
class Stage:
    """What faults act upon, and how often each of them did; ``forgetful`` are those that have lost votes."""

    community: Community
    clocks: Clocks
    disks: Disks
    chance: random.Random
    hits: Counter[str]
    forgetful: set[str] = field(default_factory=set)

    @property
    def validators(self) -> list[Validator]:
        """Those that run now, in one order."""
        return [validator for validator in self.community.validators if validator.is_running]

    async def hold(self, bounds: tuple[float, float] = DOWN_S) -> None:
        await asyncio.sleep(self.chance.uniform(*bounds))

    def kill(self, *validators: Validator) -> None:
        for validator in validators:
            self.clocks.frozen.discard(validator.name)
            validator.kill()
            self.hits["kills"] += 1

    def start(self, *validators: Validator) -> None:
        for validator in validators:
            validator.start()
            self.hits["starts"] += 1

    async def find_primary(self) -> Validator:
        """Return who leads, as a validator that answers says, or somebody."""
        for validator in self.validators:
            status = await asyncio.to_thread(validator.read_status)
            if status is not None:
                leader = self.community.get(str(status["primary"]))
                if leader.is_running:
                    return leader
        return self.chance.choice(self.validators)


Fault = Callable[[Stage], Awaitable[None]]


async def kill_one(stage: Stage) -> None:
    """The power of one validator fails for a moment."""
    validator = stage.chance.choice(stage.validators)
    stage.kill(validator)
    await stage.hold()
    stage.start(validator)


async def kill_primaries(stage: Stage) -> None:
    """Whoever leads is killed, again and again; each comes back before the next."""
    for _ in range(stage.chance.randrange(2, 4)):
        primary = await stage.find_primary()
        stage.hits["primaries_killed"] += 1
        stage.kill(primary)
        await stage.hold()
        stage.start(primary)
        await stage.hold()


async def kill_some(stage: Stage) -> None:
    """More than the network tolerates: it waits for them."""
    validators = stage.chance.sample(stage.validators, stage.chance.randrange(2, len(stage.validators) + 1))
    stage.hits["outages"] += 1
    for validator in validators:
        stage.kill(validator)
        await asyncio.sleep(stage.chance.random() * 0.2)
    await stage.hold()
    for validator in validators:
        stage.start(validator)
        await asyncio.sleep(stage.chance.random() * 0.5)


async def kill_all(stage: Stage) -> None:
    """The whole street has no power."""
    validators = stage.validators
    stage.hits["blackouts"] += 1
    stage.kill(*validators)
    stage.start(*validators)


async def stop_one(stage: Stage) -> None:
    """A validator is restarted in order; one that still starts would end by the signal itself."""
    validator = stage.chance.choice(stage.validators)
    await until(lambda: validator.read_status() is not None, f"{validator.name} answers")
    stage.hits["stops"] += 1
    validator.send(stage.chance.choice([signal.SIGTERM, signal.SIGINT]))
    code = await validator.wait_exit()
    assert code == ExitCode.OK, f"{validator.name} was asked to stop and ended with {code}"
    stage.start(validator)


async def freeze_one(stage: Stage) -> None:
    """A validator stands still and goes on as if nothing had been."""
    await _freeze(stage, [stage.chance.choice(stage.validators)])


async def freeze_some(stage: Stage) -> None:
    """Two or more stand still: no quorum moves."""
    await _freeze(
        stage, stage.chance.sample(stage.validators, stage.chance.randrange(2, len(stage.validators) + 1))
    )


async def _freeze(stage: Stage, validators: list[Validator]) -> None:
    for validator in validators:
        stage.hits["freezes"] += 1
        stage.clocks.frozen.add(validator.name)
        validator.freeze()
    await stage.hold(FROZEN_S)
    for validator in validators:
        validator.thaw()
        stage.clocks.frozen.discard(validator.name)
        await stage.clocks.tell(validator, stage.clocks.time_s)


async def kill_frozen(stage: Stage) -> None:
    """A validator stands still and then dies, with whatever it had not said yet."""
    validator = stage.chance.choice(stage.validators)
    stage.hits["freezes"] += 1
    stage.clocks.frozen.add(validator.name)
    validator.freeze()
    await stage.hold()
    stage.kill(validator)
    stage.start(validator)


async def fill_disk(stage: Stage) -> None:
    """A disk is full: its validator stops with a word about it, and goes on when there is room."""
    validator = stage.chance.choice(stage.validators)
    stage.hits["full_disks"] += 1
    stage.disks.fill(validator)
    try:
        code = await wait_refusal(validator)
    finally:
        stage.disks.free(validator)
    assert code == ExitCode.ERROR, f"{validator.name} with a full disk ended with {code}"
    stage.start(validator)


async def fail_disk(stage: Stage) -> None:
    """A disk takes writes and cannot sync them: the validator stops before it says anything of them."""
    if not stage.disks.can_inject:
        return
    validator = stage.chance.choice(stage.validators)
    stage.hits["failed_disks"] += 1
    with stage.disks.fail(validator):
        code = await wait_refusal(validator)
    assert code == ExitCode.ERROR, f"{validator.name} with a failing disk ended with {code}"
    stage.start(validator)


async def protect_disk(stage: Stage) -> None:
    """A disk comes back read-only after a power cut: the validator refuses to start until it can write."""
    validator = stage.chance.choice(stage.validators)
    if validator.home / "data" not in stage.disks.mounted:
        return
    stage.hits["read_only_disks"] += 1
    stage.kill(validator)
    stage.disks.protect(validator, is_protected=True)
    try:
        validator.start()
        code = await wait_refusal(validator)
    finally:
        stage.disks.protect(validator, is_protected=False)
    assert code == ExitCode.ERROR, f"{validator.name} on a read-only disk ended with {code}"
    stage.start(validator)


async def step_clock(stage: Stage) -> None:
    """A clock runs hours ahead, until its validator is restarted with the right time."""
    validator = await stage.find_primary()
    stage.hits["clocks_ahead"] += 1
    await stage.clocks.tell(validator, stage.clocks.time_s + CLOCK_STEP_S)
    await stage.hold()
    stage.kill(validator)
    stage.start(validator)


async def lose_clock(stage: Stage) -> None:
    """A validator starts with the time of years ago, as a computer without a battery does."""
    validator = stage.chance.choice(stage.validators)
    stage.hits["clocks_behind"] += 1
    stage.kill(validator)
    validator.start(GRIDBFT_CLOCK_ORIGIN_MS="0")
    await stage.hold()
    await stage.clocks.tell(validator, stage.clocks.time_s)


async def lose_disk(stage: Stage) -> None:
    """A disk is replaced: nothing but key and settings is left, and the operator recovers the home."""
    validator = await _find_loser(stage)
    if validator is None:
        return
    stage.hits["lost_disks"] += 1
    stage.kill(validator)
    _empty(validator.home / "data")
    await stage.community.run_cli("recover", "--home", validator.home)
    stage.start(validator)


async def restore_backup(stage: Stage) -> None:
    """A backup of a stopped validator is restored, after it has gone on."""
    validator = await _find_loser(stage)
    if validator is None:
        return
    stage.hits["restored_backups"] += 1
    data = validator.home / "data"
    stage.kill(validator)
    with tempfile.TemporaryDirectory() as backup:
        shutil.copytree(data, backup, dirs_exist_ok=True)
        stage.start(validator)
        await until(lambda: validator.read_status() is not None, f"{validator.name} answers")
        await stage.hold()
        stage.kill(validator)
        _empty(data)
        shutil.copytree(backup, data, dirs_exist_ok=True)
    stage.start(validator)


async def _find_loser(stage: Stage) -> Validator | None:
    """Return who may forget its votes now: anybody, unless another is silent already, which is all that f allows."""
    statuses = [await asyncio.to_thread(validator.read_status) for validator in stage.validators]
    if len(statuses) < len(stage.community.validators):
        return None
    if any(status is None or status["phase"] == "silent" for status in statuses):
        return None
    validator = stage.chance.choice(stage.validators)
    stage.forgetful.add(validator.name)
    return validator


def _empty(directory: Path) -> None:
    """Remove what is in a directory, which may be a file system of its own."""
    for path in directory.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


PROCESS_FAULTS: tuple[Fault, ...] = (
    kill_one,
    kill_primaries,
    kill_some,
    kill_all,
    stop_one,
    freeze_one,
    freeze_some,
    kill_frozen,
)
DISK_FAULTS: tuple[Fault, ...] = (fill_disk, fail_disk, protect_disk)
CLOCK_FAULTS: tuple[Fault, ...] = (step_clock, lose_clock)
LOSSES: tuple[Fault, ...] = (lose_disk, restore_backup)
ALL_FAULTS = 2 * PROCESS_FAULTS + DISK_FAULTS + CLOCK_FAULTS + LOSSES
"""What a round draws from: those of processes come more often than the others together."""
