"""Why nothing is committed, who is missing since when, what happens next and what to do: in plain sentences.

A function of a position and of what the host sees around it. The first reason of the ladder that holds is the one:
what stands above it explains what stands below.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from consensus.position import OpenSequence, Position

NOTHING_LOST = "nothing accepted is lost"
SAFETY = f"{NOTHING_LOST}: what has a certificate is on the disks of a quorum, the rest is sent again"
MISSING_NAMED_MAX = 8
"""Missing validators told in the one sentence, which stands in every answer of /readyz; the list has all of them."""
TENTHS_SHOWN_MS = 10_000
MINUTE_S = 60
HOUR_S = 3_600


class Cause(StrEnum):
    """Why this replica commits nothing; ``NONE`` while blocks come, and while nothing waits for one."""

    NONE = "none"
    HALTED = "halted"
    PHASE = "phase"
    QUORUM_MISSING = "quorum_missing"
    CATCHING_UP = "catching_up"
    SILENT = "silent"
    VIEW_CHANGE = "view_change"
    CLOCK = "clock"
    EXECUTING = "executing"
    VOTES_MISSING = "votes_missing"
    PRIMARY_SILENT = "primary_silent"


@dataclass(frozen=True, slots=True)
class Contact:
    """Another validator as seen from here, in milliseconds before now.

    ``since_ms`` is how long its link has been up, or down; ``heard_ms`` and ``voted_ms`` how long ago its last message
    and its last vote came, None when none came since this validator started. ``error`` is why the link is down.
    """

    name: str
    is_linked: bool
    since_ms: int
    heard_ms: int | None = None
    voted_ms: int | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the host sees: the others, how many transactions wait, for how long the oldest or a due block has waited,
    and how long ago the last block was executed. ``silent_ms`` is the silence of a linked validator that is one.
    """

    contacts: tuple[Contact, ...]
    pending: int
    waited_ms: int
    silence_ms: int
    silent_ms: int
    patience_ms: int
    """What waits for less than this is on its way."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A validator that is not heard, for how long, and why as far as known; ``heard_ms`` is None if it never was."""

    name: str
    for_ms: int
    heard_ms: int | None
    reason: str
    is_linked: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer. ``summary`` is one sentence, None when all is well: the ``headline``, who is missing, the ``advice``.

    ``outlook`` says the view, who leads it, and when the next is tried; ``next_attempt_ms`` is None while that is not
    timed. ``story`` is all of it in sentences.
    """

    cause: Cause
    headline: str
    summary: str | None
    outlook: str
    story: tuple[str, ...]
    advice: str
    missing: tuple[Missing, ...]
    attempt: int
    next_attempt_ms: int | None
    next_primary: str


def explain(position: Position, around: Surroundings) -> Explanation:
    """Return why a replica at ``position`` commits nothing, and what to do; or that all is well."""
    missing = find_missing(around)
    cause = find_cause(position, around, missing)
    headline = _tell_cause(cause, position, around, missing)
    names = _name_missing(missing) if cause is Cause.QUORUM_MISSING else ""
    advice = _advise(cause, position, missing)
    story = [*_tell_position(position), *_tell_contacts(around, missing), *_tell_agreement(position, around)]
    if cause is Cause.NONE:
        story.append(_tell_calm(around))
    else:
        story.append(f"So it commits nothing: {headline}.")
        if cause is not Cause.VIEW_CHANGE:  # which says it itself
            story.append(f"It works in {_tell_outlook(position)}.")
        story += [f"What to do: {advice}.", f"{_capitalise(SAFETY)}."]
    return Explanation(
        cause=cause,
        headline=headline,
        summary=None if cause is Cause.NONE else f"{headline}{names}; {advice}; {NOTHING_LOST}",
        outlook=_tell_outlook(position),
        story=tuple(story),
        advice=advice,
        missing=missing,
        attempt=position.attempt,
        next_attempt_ms=find_next_attempt_ms(position),
        next_primary=position.next_primary,
    )


def find_missing(around: Surroundings) -> tuple[Missing, ...]:
    """Return who is not linked, and who is linked and says nothing: a frozen process, a link of one direction."""
    found = []
    for contact in around.contacts:
        heard_ms = contact.since_ms if contact.heard_ms is None else contact.heard_ms
        if not contact.is_linked:
            for_ms = max(contact.since_ms, contact.heard_ms or 0)
            found.append(Missing(contact.name, for_ms, contact.heard_ms, contact.error, is_linked=False))
        elif min(heard_ms, contact.since_ms) > around.silent_ms:
            reason = "linked, but it says nothing"
            found.append(Missing(contact.name, heard_ms, contact.heard_ms, reason, is_linked=True))
    return tuple(found)


def find_cause(position: Position, around: Surroundings, missing: Sequence[Missing]) -> Cause:
    """Return the first reason that holds, the gravest first."""
    if position.phase == "halted":
        return Cause.HALTED
    if len(position.validators) - len(missing) < position.quorum:
        return Cause.QUORUM_MISSING
    if position.phase == "catching_up":
        return Cause.CATCHING_UP
    if position.phase == "silent":
        return Cause.SILENT
    if position.phase == "view_change":
        return Cause.VIEW_CHANGE
    if position.phase not in {"normal", "observing"}:
        return Cause.PHASE
    if any(each.ahead_ms for each in position.open):
        return Cause.CLOCK
    if min(around.waited_ms, around.silence_ms) <= around.patience_ms:
        return Cause.NONE
    if position.executing:
        return Cause.EXECUTING
    if any(each.stage != "held" for each in position.open):
        return Cause.VOTES_MISSING
    return Cause.PRIMARY_SILENT


def find_next_attempt_ms(position: Position) -> int | None:
    """Return in how many milliseconds this replica tries again to get on: with the next view once that is timed, else
    by saying again what others may have missed. None while its host runs no timer.
    """
    timed = "resend" if position.active or "view_change" not in position.timers_ms else "view_change"
    return position.timers_ms.get(timed)


def tell_duration(duration_ms: int) -> str:
    """Return a duration as a person says it."""
    seconds, rest_ms = divmod(duration_ms, 1000)
    if duration_ms < TENTHS_SHOWN_MS:
        return f"{seconds}.{rest_ms // 100} s"
    if seconds < 2 * MINUTE_S:
        return f"{seconds} s"
    return f"{seconds // MINUTE_S} min" if seconds < 2 * HOUR_S else f"{seconds // HOUR_S} h"


def _tell_cause(cause: Cause, position: Position, around: Surroundings, missing: Sequence[Missing]) -> str:
    match cause:
        case Cause.NONE:
            return ""
        case Cause.HALTED:
            return "this validator computed another block than a certified quorum and stopped voting"
        case Cause.PHASE:
            return f"this validator is {position.phase.replace('_', ' ')} and does not vote"
        case Cause.QUORUM_MISSING:
            total = len(position.validators)
            return f"only {total - len(missing)} of {total} validators are connected and {position.quorum} are needed"
        case Cause.CATCHING_UP:
            heights = f"it has block {position.executed_height}, others have {position.claimed_height}"
            return f"this validator fetches blocks that it missed ({heights})"
        case Cause.SILENT:
            return _tell_silence(position)
        case Cause.VIEW_CHANGE:
            return f"{_tell_attempt(position, missing)}; {_tell_next_attempt(position)}"
        case Cause.CLOCK:
            ahead_ms = max(each.ahead_ms for each in position.open)
            beyond = f"{tell_duration(ahead_ms)} beyond what this validator's clock allows"
            return f"the batch of {position.primary}, who leads, is dated {beyond}"
        case Cause.EXECUTING:
            return f"block {position.executed_height + 1} has been executing for {tell_duration(around.silence_ms)}"
        case Cause.VOTES_MISSING:
            lowest = next(each for each in position.open if each.stage != "held")
            return f"{_tell_open(position, lowest)}, for {tell_duration(around.silence_ms)}"
        case Cause.PRIMARY_SILENT:
            silence = tell_duration(around.silence_ms)
            return f"{position.primary}, who leads, has made no block for {silence} although something waits"


def _advise(cause: Cause, position: Position, missing: Sequence[Missing]) -> str:
    match cause:
        case Cause.NONE:
            return ""
        case Cause.HALTED:
            return (
                "keep its data, check its disk and memory, move data/leveldb away, keep data/journal, and start it"
                " again; if it halts again, its program differs from the others'"
            )
        case Cause.PHASE:
            return f"look up {position.phase.replace('_', ' ')} in docs/operating"
        case Cause.QUORUM_MISSING:
            wanted = position.quorum - (len(position.validators) - len(missing))
            return f"bring {wanted} of them back: {advise_missing(missing)}"
        case Cause.CATCHING_UP:
            return "wait; it votes again by itself when it is up to date"
        case Cause.SILENT:
            return "wait, it votes again by itself; if a copy of its home runs somewhere else, stop that one for good"
        case Cause.VIEW_CHANGE:
            return (
                f"wait; {advise_missing(missing)}"
                if missing
                else "wait; the validators find a primary by themselves"
            )
        case Cause.CLOCK:
            return f"set the clocks of {position.primary} and of {position.name} (timedatectl)"
        case Cause.EXECUTING:
            return "wait; if this lasts, look at this machine's processor and disk"
        case Cause.VOTES_MISSING | Cause.PRIMARY_SILENT:
            return (
                f"wait, the primary is replaced by itself{'; ' if missing else ''}{advise_missing(missing)}"
            )


def advise_missing(missing: Sequence[Missing]) -> str:
    """Return what to do about those who are missing, by why they are; one clause for each kind of reason."""
    kinds: dict[str, list[str]] = {}
    for each in missing:
        kinds.setdefault(_advise_reason(each), []).append(each.name)
    return "; ".join(f"{', '.join(names)}: {advice}" for advice, names in kinds.items())


def _advise_reason(missing: Missing) -> str:
    """Return what to do, from what the link said."""
    reason = missing.reason
    if missing.is_linked:
        return "look at its machine (is the process frozen, the disk stuck?) and at a one-way fault of the network"
    if "genesis" in reason or "certificate" in reason:
        return "compare its genesis.bin and keys with yours (gridbft network verify-genesis)"
    if "banned" in reason:
        return "it sent what no correct validator sends; look at its log and version"
    if "refused" in reason or "stopping" in reason or "closed" in reason:
        return (
            "read the last line of its log, mend what it says (a full disk?), and start it with gridbft start"
        )
    return "check that its machine runs, that its process is not frozen, and that the network reaches its p2p port"


def _name_missing(missing: Sequence[Missing]) -> str:
    told = [tell_missing(each) for each in missing[:MISSING_NAMED_MAX]]
    if len(missing) > MISSING_NAMED_MAX:
        told.append(f"{len(missing) - MISSING_NAMED_MAX} more")
    return f"; missing: {', '.join(told)}"


def tell_missing(missing: Missing) -> str:
    """Return who is missing, since when, when it was heard, and why as far as is known."""
    heard = (
        ""
        if missing.heard_ms is None or missing.is_linked
        else f", heard {tell_duration(missing.heard_ms)} ago"
    )
    reason = f": {missing.reason}" if missing.reason else ""
    return f"{missing.name} (for {tell_duration(missing.for_ms)}{heard}{reason})"


def _tell_silence(position: Position) -> str:
    """Return what a silent replica waits for."""
    quiet = position.silence
    if quiet is None or quiet.until is None:
        answered, needed = (0, 0) if quiet is None else (len(quiet.answered), quiet.needed)
        asks = "this validator does not vote before it knows what its key has signed"
        return f"{asks}: {answered} of the {needed} answers that it needs have come"
    return (
        "the key of this validator has signed more than its journal holds: it does not vote until sequence"
        f" {quiet.until} has its certificate; the last one that has is {position.low_watermark}"
    )


def _tell_attempt(position: Position, missing: Sequence[Missing]) -> str:
    who = position.primary
    led = "led by this validator" if who == position.name else f"led by {who}"
    absent = ", who is missing" if any(each.name == who for each in missing) else ""
    return f"the validators change to view {position.view}, {led}{absent} (attempt {position.attempt})"


def _tell_next_attempt(position: Position) -> str:
    """Return when the next attempt begins, or what must happen before its time runs."""
    if "view_change" in position.timers_ms:
        left = tell_duration(position.timers_ms["view_change"])
        return (
            f"if it does not begin, the next attempt, led by {position.next_primary}, follows in {left} and has"
            f" {tell_duration(position.next_timeout_ms)}"
        )
    waiting = [name for name in position.validators if position.view_changes.get(name, -1) >= position.view]
    absent = [name for name in position.validators if name not in waiting]
    return (
        f"{len(waiting)} of the {position.quorum} validators that it needs wait for it ({', '.join(waiting)}), not yet"
        f" {', '.join(absent)}; it is tried again{_tell_left(position)}"
    )


def _tell_left(position: Position) -> str:
    left_ms = find_next_attempt_ms(position)
    return "" if left_ms is None else f" in {tell_duration(left_ms)}"


def _tell_outlook(position: Position) -> str:
    """Return the view, its primary, the attempt, and when and with whom the next one begins."""
    view = f"view {position.view}, led by {position.primary}"
    later = f"view {position.view + 1}, led by {position.next_primary}"
    again = _tell_left(position)
    if position.active:
        complaining = (
            f"{len(position.complaints)} of the {position.weak_quorum} complaints that change it to {later}"
        )
        return f"{view}; what is open is said again{again}; {complaining}"
    attempt = f"{view}, attempt {position.attempt} of {tell_duration(position.timeout_ms)}"
    if "view_change" in position.timers_ms:
        return f"{attempt}; the next attempt follows{again} and has {tell_duration(position.next_timeout_ms)} ({later})"
    return f"{attempt}; tried again{again}, it begins when {position.quorum} validators wait for it"


def _tell_position(position: Position) -> list[str]:
    lead = "it leads" if position.primary == position.name else f"{position.primary} leads"
    heights = f"block {position.executed_height}; block {position.certified_height} has its certificate"
    told = [
        f"{position.name} has executed {heights}.",
        f"It is in view {position.view} of epoch {position.epoch}, which {lead}.",
    ]
    if position.name not in position.validators:
        told.append("It is not among the validators of this epoch: it follows them and does not vote.")
    return told


def _tell_contacts(around: Surroundings, missing: Sequence[Missing]) -> list[str]:
    absent = {each.name for each in missing}
    heard = [_tell_contact(contact) for contact in around.contacts if contact.name not in absent]
    told = [
        f"It hears {len(heard)} of the {len(around.contacts)} others{': ' if heard else ''}{', '.join(heard)}."
    ]
    return told + [f"Missing is {tell_missing(each)}." for each in missing]


def _tell_contact(contact: Contact) -> str:
    if contact.voted_ms is None:
        return f"{contact.name} (no vote yet)"
    return f"{contact.name} (last vote {tell_duration(contact.voted_ms)} ago)"


def _tell_agreement(position: Position, around: Surroundings) -> list[str]:
    """Return what the replica does now: its phase, the open sequences, the complaints, and what waits."""
    told = []
    if position.active and position.view_changes:
        told.append(f"{', '.join(position.view_changes)} already left this view.")
    told += [_capitalise(f"{_tell_open(position, each)}.") for each in position.open]
    if position.complaints:
        needed = f"{position.weak_quorum} complaints start a view change"
        told.append(f"Of {position.primary} complain {', '.join(position.complaints)}; {needed}.")
    elif "progress" in position.timers_ms and around.silence_ms > position.timeout_ms:
        left = tell_duration(position.timers_ms["progress"])
        told.append(
            f"It will complain of {position.primary} in {left} unless the open sequence is committed."
        )
    if around.pending:
        wait = "1 transaction waits" if around.pending == 1 else f"{around.pending} transactions wait"
        told.append(f"{wait}, the oldest for {tell_duration(around.waited_ms)}.")
    return told


def _tell_open(position: Position, each: OpenSequence) -> str:
    """Return what an open sequence waits for, and whose votes are missing."""
    place = f"sequence {each.sequence}"
    match each.stage:
        case "held":
            why = (
                f"dated {tell_duration(each.ahead_ms)} too far ahead"
                if each.ahead_ms
                else "ahead of its turn"
            )
            return f"{place} is held: {why}"
        case "unproposed":
            return f"{place} has votes, but the proposal of {position.primary} has not come"
        case "fetching":
            return f"{place} waits for its batch, which is asked of the others"
        case "proposed":
            return f"{place} {_tell_votes(position, each.prepared, 'prepared')}"
        case "prepared":
            return f"{place} is prepared and {_tell_votes(position, each.committed, 'committed')}"
        case _:
            return f"{place} is {each.stage} and waits for its turn"


def _tell_votes(position: Position, voted: tuple[str, ...], word: str) -> str:
    absent = [name for name in position.validators if name not in voted]
    return f"has been {word} by {len(voted)} of the {position.quorum} it needs; not by {', '.join(absent)}"


def _tell_calm(around: Surroundings) -> str:
    if around.pending:
        return "Nothing is wrong: what waits is on its way."
    since = tell_duration(around.silence_ms)
    return f"Nothing is wrong: it waits for something to order; the last block came {since} ago."


def _capitalise(text: str) -> str:
    return text[:1].upper() + text[1:]
