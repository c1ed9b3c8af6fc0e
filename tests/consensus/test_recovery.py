"""After a restart at any record, a replica keeps every promise that it had made, whoever asks it to break one."""

import pytest
from msgspec.structs import replace

from consensus.codec import decode_record, encode_record
from consensus.effects import (
    Broadcast,
    Diverged,
    Effect,
    JournalRecord,
    OwnMessage,
    OwnProposal,
    Persist,
    Send,
    SignedHeader,
    ViewEntered,
    WantBatch,
)
from consensus.events import Event, Executed, Proposed, Received, TimerFired
from consensus.messages import (
    Certificate,
    Checkpoint,
    Commit,
    Envelope,
    NewView,
    Prepare,
    PrePrepare,
    Proposal,
    ViewChange,
)
from consensus.replica import START_GENERATION, Replica
from consensus.silence import is_beyond, note_start
from consensus.state import ReplicaState, Silence
from node.storage.journal import open_journal
from primitives.header import BlockHeader
from primitives.ids import Epoch, Sequence, View
from tests.consensus.builders import (
    Desk,
    batch_of,
    build_header,
    certificate,
    digest_of,
    empty_new_view,
    found,
    header_chain,
    now,
    pre_prepare,
    said,
    say,
)
from tests.consensus.constitution import build_first_header
from tests.simulation.checkers import get_position
from tests.simulation.community import PARAMETERS
from tests.simulation.disk import JOURNAL
from tests.simulation.network import Weather
from tests.simulation.world import World

BATCH = batch_of()


PATIENT = replace(PARAMETERS, view_timeout_ms=300)


class Witness:
    """Keeps, for one replica of a world, its journal, and what it said and knew at every length of it."""

    def __init__(self, world: World, index: int) -> None:
        self.world = world
        self.index = index
        self.journal: list[JournalRecord] = []
        self.said: list[tuple[int, Envelope]] = []
        self.blocks: list[tuple[int, BlockHeader, Certificate | None]] = [
            (0, world.machines[index].state.executed, None)
        ]
        world.told = self._tell

    def _tell(self, _now_ms: int, index: int, event: Event, effects: list[Effect]) -> None:
        if index != self.index:
            return
        machine = self.world.machines[index]
        if isinstance(event, Executed):
            self.blocks.append((len(self.journal), event.header, machine.state.stable))
        for effect in effects:
            if isinstance(effect, Persist):
                self.journal.append(effect.record)
            elif isinstance(effect, Broadcast | Send) and effect.envelope.sender == machine.key.public:
                self.said.append((len(self.journal), effect.envelope))

    def find_header(self, length: int) -> tuple[BlockHeader, Certificate | None]:
        """Return the last block that was durable before the journal had so many records."""
        return [(header, stable) for records, header, stable in self.blocks if records <= length][-1]


class Promises:
    """What one replica said and made durable; whatever excludes it is refused."""

    def __init__(self) -> None:
        self.said: dict[object, bytes] = {}
        self.durable: set[bytes] = set()

    def check_said(self, envelope: Envelope) -> None:
        position = get_position(envelope)
        if position is None:
            return
        assert self.said.setdefault(position[0], position[1]) == position[1]
        if isinstance(envelope.message, Prepare | Commit | ViewChange | NewView):
            assert envelope.signature in self.durable

    def record(self, record: JournalRecord) -> None:
        if isinstance(record, OwnMessage):
            self.durable.add(record.envelope.signature)


def run_with_losses(world: World, transactions: int, pause_ms: int) -> None:
    world.network.weather = Weather(loss=0.25)
    for number in range(transactions):
        world.submit(world.community.grant(number % 4))
        world.run(pause_ms)


def tempt(replica: Replica) -> list[Effect]:
    """Let everybody else ask a replica to vote for other batches in the views it may be in."""
    effects = replica.step(TimerFired(now(), "resend", START_GENERATION))
    for view in range(replica.view.view, replica.view.view + 2):
        primary = view % 4
        others = tuple(i for i in range(4) if i != index_of(replica.view))
        if primary == index_of(replica.view):
            for i in others:
                effects += replica.step(Received(now(), say(i, ViewChange(0, view, None, ()))))
        elif view > 0:
            effects += replica.step(Received(now(), empty_new_view(view, others)))
        for sequence in range(1, 12):
            batch = batch_of(b"temptation %d" % sequence, proposer=primary)
            if primary == index_of(replica.view):
                answer = Proposed(now(), Epoch(0), View(view), Sequence(sequence), batch)
                effects += replica.step(answer)
            else:
                envelope = pre_prepare(batch, sequence, view)
                effects += replica.step(Received(now(), envelope, batch))
            for kind in (Prepare, Commit):
                for voter in others:
                    if kind is Commit or voter != primary:
                        vote = say(voter, kind(0, view, sequence, bytes(batch.header.compute_digest())))
                        effects += replica.step(Received(now(), vote))
    return effects


def index_of(state: ReplicaState) -> int:
    return state.settings.membership.replicas.index(state.own)


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("rewritten", [False, True])
def test_a_restart_after_any_record_never_leads_to_a_contradicting_vote(
    *, index: int, rewritten: bool
) -> None:
    world = World(4, seed=index, parameters=PATIENT)
    witness = Witness(world, index)
    run_with_losses(world, transactions=5, pause_ms=400)
    journal = witness.journal
    settings = world.machines[index].state.settings
    assert len(journal) > 20
    assert any(isinstance(record, ViewEntered) for record in journal)
    for length in range(len(journal) + 1):
        promises = Promises()
        for record in journal[:length]:
            promises.record(record)
        for records, envelope in witness.said:
            if records <= length:
                promises.check_said(envelope)
        header, stable = witness.find_header(length)
        replica = Replica(settings, header, stable, journal[:length])
        if rewritten:
            kept = [decode_record(encode_record(record)) for record in replica.get_journal_records()]
            replica = Replica(settings, header, None, kept)
        for effect in tempt(replica):
            if isinstance(effect, Persist):
                promises.record(effect.record)
            if isinstance(effect, Broadcast | Send) and effect.envelope.sender == replica.view.own:
                promises.check_said(effect.envelope)


def test_what_was_restored_is_written_as_it_was() -> None:
    world = World(4, seed=5, parameters=PATIENT)
    for _ in range(9):
        run_with_losses(world, transactions=1, pause_ms=300)
        for machine in world.machines:
            kept = machine.get_process().host.replica.get_journal_records()
            state = machine.state
            again = Replica(state.settings, state.executed, state.stable, kept)
            assert again.get_journal_records() == kept


def test_a_view_whose_new_view_was_lost_is_not_worked_in() -> None:
    replica = Desk(2, Replica(Desk(2).settings, build_first_header(), None, [ViewEntered(0, 1, active=True)]))
    batch = batch_of(proposer=1)
    assert not said(replica.hear(pre_prepare(batch, view=1), batch), Prepare)
    assert said(replica.effects, ViewChange) == [ViewChange(0, 1, None, ())]


def test_a_view_change_that_was_not_durable_is_said_after_the_restart() -> None:
    replica = Desk(
        2, Replica(Desk(2).settings, build_first_header(), None, [ViewEntered(0, 3, active=False)])
    )
    assert said(replica.effects, ViewChange) == [ViewChange(0, 3, None, ())]


def test_an_accepted_proposal_without_its_vote_is_voted_for_after_the_restart() -> None:
    desk = Desk(1)
    desk.hear(pre_prepare(BATCH), BATCH)
    accepted = [effect.record for effect in desk.effects if isinstance(effect, Persist)][:1]
    restored = Desk(1, Replica(desk.settings, build_first_header(), None, accepted))
    assert said(restored.effects, Prepare) == said(desk.effects, Prepare)


def test_a_second_proposal_after_a_restart_gets_no_second_vote() -> None:
    desk = Desk(1)
    desk.hear(pre_prepare(BATCH), BATCH)
    other = batch_of(b"other")
    restored = desk.restart()
    assert not said(restored.hear(pre_prepare(other), other), Prepare)


def test_a_rewritten_journal_names_the_certificate_that_it_starts_at() -> None:
    # The store may lose the certificate that the rewriting relied on; nothing below it may be open again.
    chain = header_chain(2)
    desk = Desk(1, Replica(Desk(1).settings, chain[2], certificate(chain[2])))
    kept = desk.replica.get_journal_records()
    restored = Replica(desk.settings, chain[2], None, kept)
    assert restored.view.low_watermark == 2


def test_everybody_who_lost_the_view_change_goes_on() -> None:
    world = World(4, is_started=False)
    for machine in world.machines:
        with open_journal(JOURNAL, world.constitution.genesis_hash, machine.disk.files) as journal:
            journal.append(encode_record(ViewEntered(0, 1, active=False)), twice=True)
            journal.sync()
        assert world.restart(machine.index)
    sealed = world.community.grant(0)
    world.submit(sealed)
    world.run_until(lambda: world.is_committed(sealed), 5_000)


def test_a_vote_whose_proposal_was_lost_is_not_given_to_another() -> None:
    desk = Desk(1)
    desk.hear(pre_prepare(BATCH), BATCH)
    records = [effect.record for effect in desk.effects if isinstance(effect, Persist)]
    votes = [record for record in records if isinstance(record, OwnMessage)]
    restored = Desk(1, Replica(desk.settings, build_first_header(), None, votes))
    other = batch_of(b"other")
    assert not said(restored.hear(pre_prepare(other), other), Prepare)


def test_a_position_that_was_proposed_is_not_asked_for_again() -> None:
    bound = OwnProposal(Proposal(0, 0, 1, digest_of(BATCH)))
    restored = Desk(0, Replica(Desk(0).settings, build_first_header(), None, [bound]))
    answer = Proposed(now(), Epoch(0), View(0), Sequence(1), batch_of(b"other"))
    assert not said(restored.tell(answer), PrePrepare)
    assert not found(restored.effects, WantBatch)


def test_a_height_that_was_signed_is_not_signed_with_another_header() -> None:
    header = build_header(BATCH)
    replica = Replica(Desk(1).settings, header, None, [SignedHeader(1, bytes(32))])
    restored = Desk(1, replica)
    assert found(restored.effects, Diverged)
    assert not said(restored.effects, Checkpoint)


def test_a_header_that_the_journal_knows_is_no_news_though_the_store_lost_its_block() -> None:
    chain = header_chain(3)
    signed = SignedHeader(3, bytes(chain[3].compute_digest()))
    state = Replica(Desk(1).settings, build_first_header(), None, [signed]).view
    silence = Silence(bytes(16))
    note_start(state, silence)
    assert not is_beyond(state, silence, say(1, Checkpoint(chain[3])))
    assert is_beyond(state, silence, say(1, Checkpoint(chain[2])))
    assert is_beyond(state, silence, say(1, Checkpoint(replace(chain[3], time_ms=0))))
