"""The host: gives the replica its events, and performs its effects in the order returned.

It knows no protocol. Its duties are the docstring of ``consensus``; every one of them is a line here. Events that
wait together are stepped together, so that their persists share one sync.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, assert_never

from consensus.codec import encode_envelope, encode_record, is_vote_record
from consensus.effects import (
    Broadcast,
    Deliver,
    Diverged,
    Effect,
    Fetch,
    FetchBatch,
    FetchBlocks,
    FetchSnapshot,
    KeyInUse,
    Notice,
    Persist,
    Report,
    Send,
    StartTimer,
    StopTimer,
    TimerName,
    WantBatch,
)
from consensus.events import Event, Executed, Now, Received, TimerFired
from consensus.replica import START_GENERATION, Replica
from node.applier import Applier
from node.batching import Batcher
from node.clock import Clock
from node.errors import DivergedError, KeyInUseError
from node.links import Links
from node.memberships import find_following
from node.metric_names import HISTOGRAMS
from node.nearby import Nearby
from node.stopwatch import Stopwatch
from node.storage.journal import Journal
from p2p.frames import Channel
from vm.executor import BlockResult

RECEIVED_WAITING_MAX = 8192
"""Messages that wait for a step: more than all windows of 80 validators; beyond it they are dropped and sent again."""

JOURNAL_BYTES_MAX = 8 * 1024 * 1024
"""The journal is rewritten beyond this, or beyond twice what is still needed: a start reads it in under a second."""


LINK_PATIENCE_MS = 50
"""So soon after its link stands a peer hears what it missed; links that come together, and flapping ones, share it."""


class Listener(Protocol):
    """What the rest of the node hears from the host."""

    def on_block(self, deliver: Deliver, result: BlockResult) -> None:
        """A block was executed and is durable."""

    def on_step(self, event: Event, effects: Sequence[Effect]) -> None:
        """The replica took an event and answered it with these effects; they are not performed yet."""

    def on_notice(self, notice: Notice) -> None:
        """The replica reports something."""

    def on_fetch(self, fetch: Fetch) -> None:
        """The replica misses something that peers have."""


class Host:
    """Runs one replica."""

    def __init__(
        self,
        replica: Replica,
        journal: Journal,
        network: Links,
        applier: Applier,
        batcher: Batcher,
        clock: Clock,
        listener: Listener,
        executor: ThreadPoolExecutor,
    ) -> None:
        self.replica = replica
        self.dropped = 0
        self.syncs = 0
        self.sync_time = Stopwatch(HISTOGRAMS["journal_sync_seconds"][1])
        self._journal = journal
        self._network = network
        self._applier = applier
        self._batcher = batcher
        self._clock = clock
        self._listener = listener
        self._executor = executor
        self._syncing = Nearby(executor)
        self._events: deque[Event] = deque()
        self._received = 0
        self._wakeup = asyncio.Event()
        self._failure: BaseException | None = None
        self._rewrite_above = JOURNAL_BYTES_MAX
        self._deliveries: asyncio.Queue[Deliver] = asyncio.Queue(maxsize=1)
        self._timers: dict[TimerName, asyncio.TimerHandle] = {}
        self._greeting: asyncio.TimerHandle | None = None
        self._offering: asyncio.TimerHandle | None = None

    def now(self) -> Now:
        """Return both clocks."""
        return Now(self._clock.monotonic_ms(), self._clock.wall_ms())

    @property
    def block_time(self) -> Stopwatch:
        """Return how long executing and storing a block takes."""
        return self._applier.block_time

    def get_timers_ms(self) -> Mapping[TimerName, int]:
        """Return what is left of each timer that was started and not stopped; 0 for one that has just fired."""
        if not self._timers:
            return {}
        now_s = asyncio.get_running_loop().time()
        return {name: max(0, int(1000 * (handle.when() - now_s))) for name, handle in self._timers.items()}

    def put(self, event: Event) -> None:
        """Queue an event; messages beyond RECEIVED_WAITING_MAX are dropped, nothing else ever is."""
        if isinstance(event, Received):
            if self._received >= RECEIVED_WAITING_MAX:
                self.dropped += 1
                return
            self._received += 1
        self._events.append(event)
        self._wakeup.set()

    def fail(self, error: BaseException) -> None:
        """Stop ``run`` with an error from outside its tasks: a bug there must not go unnoticed."""
        self._failure = error
        self._wakeup.set()

    def offer_batch(self) -> None:
        """Answer the replica's open question for a batch, if there is one and a reason for a block, now or soon."""
        if not self._batcher.is_asked:
            return
        now = self.now()
        proposed = self._batcher.answer(now)
        if proposed is not None:
            self.put(proposed)
        elif self._offering is None and (rest_ms := self._batcher.compute_rest_ms(now)):
            self._offering = self._call_later(rest_ms, self._offer_rested)

    def note_link(self) -> None:
        """Say everything again soon, because a link was established.

        What was sent before it stood never arrived. Until the next regular re-send a view change may be lost to its
        time-out: the one who missed the new-view then waits alone in a later view.
        """
        if self._greeting is None:
            self._greeting = self._call_later(LINK_PATIENCE_MS, self._greet)

    async def run(self) -> None:
        """Step and perform until cancelled.

        Raises:
            DivergedError: a quorum certified another block than this node computed.
            KeyInUseError: somebody else signs with this validator's key.
            JournalFailed: a vote could not be made durable; nothing of it has left.

        """
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._apply_deliveries())
                self.put(TimerFired(self.now(), TimerName.RESEND, START_GENERATION))
                while True:
                    await self._wakeup.wait()
                    self._wakeup.clear()
                    if self._failure is not None:
                        raise self._failure
                    await self._step_waiting()
        finally:
            for handle in (*self._timers.values(), self._greeting, self._offering):
                if handle is not None:
                    handle.cancel()

    def _call_later(self, delay_ms: int, call: Callable[[], None]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(delay_ms / 1000, call)

    def _offer_rested(self) -> None:
        self._offering = None
        self.offer_batch()

    def _greet(self) -> None:
        self._greeting = None
        self.put(TimerFired(self.now(), TimerName.RESEND, START_GENERATION))

    async def _step_waiting(self) -> None:
        effects = self._take_steps()
        if self._append_records(effects):
            with self.sync_time:
                await self._syncing.run(self._journal.sync)
            self.syncs += 1
            kept = self._select_kept_records()
            if kept is not None:
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self._executor, self._journal.rewrite, kept)
                self._rewrite_above = max(JOURNAL_BYTES_MAX, 2 * self._journal.size)
        for effect in effects:
            self._perform(effect)

    def _take_steps(self) -> list[Effect]:
        """Step every waiting event; return all their effects in order."""
        events, self._events = self._events, deque()
        self._received = 0
        effects: list[Effect] = []
        for event in events:
            answered = self.replica.step(event)
            self._listener.on_step(event, answered)
            effects += answered
        return effects

    def _append_records(self, effects: list[Effect]) -> bool:
        """Give every record of the effects to the journal; tell whether it must be synced before any is performed."""
        records = [effect.record for effect in effects if isinstance(effect, Persist)]
        for record in records:
            self._journal.append(encode_record(record), twice=is_vote_record(record))
        return bool(records)

    def _select_kept_records(self) -> list[tuple[bytes, bool]] | None:
        """Return what a rewritten journal must hold, or None while the journal is short enough."""
        if self._journal.size <= self._rewrite_above:
            return None
        return [(encode_record(r), is_vote_record(r)) for r in self.replica.get_journal_records()]

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Persist():
                pass  # durable already, before the first effect
            case Broadcast(envelope=envelope):
                self._network.broadcast(Channel.CONSENSUS, encode_envelope(envelope))
            case Send(to=to, envelope=envelope):
                self._network.send(to, Channel.CONSENSUS, encode_envelope(envelope))
            case Deliver():
                self._deliveries.put_nowait(effect)
            case WantBatch():
                self._batcher.ask(effect)
                self.offer_batch()
            case StartTimer(name=name, generation=generation, delay_ms=delay_ms):
                self._start_timer(name, generation, delay_ms)
            case StopTimer(name=name):
                handle = self._timers.pop(name, None)
                if handle is not None:
                    handle.cancel()
            case FetchBatch() | FetchBlocks() | FetchSnapshot():
                self._listener.on_fetch(effect)
            case Report(notice=notice):
                self._listener.on_notice(notice)
                if isinstance(notice, Diverged):
                    raise DivergedError(_explain(notice))
                if isinstance(notice, KeyInUse):
                    raise KeyInUseError(_KEY_IN_USE)
            case _:
                assert_never(effect)

    def _start_timer(self, name: TimerName, generation: int, delay_ms: int) -> None:
        previous = self._timers.pop(name, None)
        if previous is not None:
            previous.cancel()
        fire: Callable[[], None] = lambda: self.put(TimerFired(self.now(), name, generation))  # noqa: E731  # one use
        self._timers[name] = self._call_later(delay_ms, fire)

    async def _apply_deliveries(self) -> None:
        """Execute what was delivered, one block at a time, and answer each with ``Executed``."""
        while True:
            deliver = await self._deliveries.get()
            self._answer_delivery(deliver, await self._applier.apply(deliver))

    def _answer_delivery(self, deliver: Deliver, result: BlockResult) -> None:
        """Tell everybody inside of a durable block, the replica last."""
        now = self.now()
        self._batcher.record_block(now, deliver.batch.header, result.next_due_ms)
        self._listener.on_block(deliver, result)
        self.put(Executed(now, deliver.sequence, result.header, find_following(result)))
        self.offer_batch()


_KEY_IN_USE = (
    "another node signs with this validator's key at the same time: a copy of its home runs somewhere. Stop one of the"
    " two for good; if you know of none, the key is stolen: let the other validators replace it"
)


def _explain(notice: Diverged) -> str:
    return (
        f"block {notice.height} was certified as {notice.certified.hex()[:16]}, this node computed"
        f" {notice.own.hex()[:16]}: it stopped voting; keep its data, and recover it from its peers"
    )
