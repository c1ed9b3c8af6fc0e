"""What the answers of all validators mean together: whether the network commits, who is missing, what to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median_low

from cli.peers import format_duration
from meter.answers import StallAnswer, StatusAnswer
from primitives.quorum import get_quorum
from primitives.text import to_line

LAG_BLOCKS_MAX = 2
"""A validator that is further behind than this does not follow (the same bound as /readyz)."""
FOLLOWING_PHASES = frozenset({"normal", "view_change", "observing"})
"""A view change is agreement at work, told by ``waiting`` when it takes long; an observer need not vote."""
OBSERVER = "observer"
CLOCKS_MIN = 3
"""Of two clocks that differ nobody knows which one is wrong; the median of three is a right one."""
LINE_CHARACTERS_MAX = 1_000
"""Of a validator's sentence: 80 missing validators by name and reason take more, and then the first ones do."""
NOTHING_LOST = (
    "nothing accepted is lost: what has a certificate is on the validators' disks, the rest is sent again"
)
UNANSWERED_ADVICE = (
    "where it does not run, read the last line of its log, mend what it says (a full disk?), and start it with gridbft"
    " start; where it runs, look at api.host, api.port and the way there"
)
Answers = Mapping[str, StatusAnswer | str]


@dataclass(frozen=True)
class Diagnosis:
    """``verdict`` is None when the network commits, as far as the answers show; ``details`` explain it line by line.

    ``problems`` are what else is not well. Nothing of both means healthy.
    """

    verdict: str | None
    details: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        """Return all that is not well, the gravest first."""
        verdict = () if self.verdict is None else (self.verdict,)
        return (*verdict, *self.details, *self.problems)


def diagnose(answers: Answers, names: Mapping[str, str], drift_ms: int) -> Diagnosis:
    """Return what is not well with a network whose validators' clocks may differ by ``drift_ms``.

    ``names`` are those of the addresses that are known by name.
    It does not commit when nobody says that it does, or more validators wait than may be missing. One that waits
    alone is cut off; the others commit without it. Observers are no voice in this, unless nobody else answers.
    """
    told = [answer for answer in answers.values() if not isinstance(answer, str)]
    if not told:
        return _diagnose_silence(answers, names)
    voters = [answer for answer in told if answer.role != OBSERVER] or told
    total = max(len(answer.peers) + (answer.role != OBSERVER) for answer in voters)
    waiting = [answer for answer in voters if answer.waiting is not None]
    is_stalled = len(waiting) == len(voters) or len(waiting) > total - get_quorum(total)
    problems = [
        *find_unanswered(answers, names),
        *_find_laggards(told, is_stalled=is_stalled),
        *_find_wrong_clocks(told, drift_ms),
    ]
    if not is_stalled:
        advice = [] if len(told) == len(answers) else [f"what to do: {UNANSWERED_ADVICE}"]
        return Diagnosis(None, (), (*problems, *advice))
    groups = find_groups(voters)
    spokesman = max(waiting, key=lambda answer: sum(map(is_connected, answer.peers)))
    if spokesman.stall is None:
        return Diagnosis(f"not committing: {_show(str(spokesman.waiting))}", (), tuple(problems))
    return Diagnosis(
        f"not committing: {_show(spokesman.stall.headline)}",
        tuple(_tell_stall(spokesman, spokesman.stall, groups)),
        tuple(problems),
    )


def find_groups(told: Sequence[StatusAnswer]) -> list[list[str]]:
    """Return who reaches whom among the validators that answer: one group, or the parts of a divided network."""
    groups: list[set[str]] = []
    for answer in told:
        reached = {answer.name} | {str(peer.get("name")) for peer in answer.peers if is_connected(peer)}
        reached &= {each.name for each in told}
        touched = [group for group in groups if group & reached]
        groups = [group for group in groups if group not in touched]
        groups.append(reached.union(*touched))
    return sorted(sorted(group) for group in groups)


def is_connected(peer: Mapping[str, object]) -> bool:
    """Tell whether a validator says that its link to a peer is up."""
    return bool(peer.get("connected"))


def _diagnose_silence(answers: Answers, names: Mapping[str, str]) -> Diagnosis:
    return Diagnosis(
        f"not committing, as far as can be seen from here: none of {len(answers)} validators answers",
        (*find_unanswered(answers, names), f"what to do: {UNANSWERED_ADVICE}", NOTHING_LOST),
        (),
    )


def _tell_stall(answer: StatusAnswer, stall: StallAnswer, groups: Sequence[Sequence[str]]) -> list[str]:
    """Return who is missing since when, where agreement stands, what to do, and that nothing is lost."""
    lines = []
    is_divided = len(groups) > 1
    present = {name for group in groups for name in group}
    for each in stall.missing:
        if each.name in present:
            continue  # it runs, and answers: told below as one part of a divided network
        since = format_time(each.since_ms, answer.clock_ms)
        reason = f": {_show(each.reason)}" if each.reason else ""
        lines.append(f"missing: {_show(each.name)} since {since} (for {each.for_ms // 1000} s){reason}")
    if is_divided:
        parts = " and ".join(", ".join(map(_show, group)) for group in groups)
        lines.append(f"divided: {parts} run and do not reach each other")
    lines.append(f"agreement: {_show(stall.outlook)}")
    if is_divided:
        lines.append("what to do: mend the network between them: each must reach the p2p port of the others")
    if not is_divided or len(lines) > len(groups):
        lines.append(f"what to do: {_show(stall.advice)}")
    return [*lines, NOTHING_LOST]


def find_unanswered(answers: Mapping[str, object], names: Mapping[str, str]) -> list[str]:
    """Return a line for each address whose answer is only why there is none, by the validator's name if it is known."""
    return [
        f"{f'{names[url]} at ' if url in names else ''}{url} does not answer: {_show(answer)}"
        for url, answer in answers.items()
        if isinstance(answer, str)
    ]


def _find_laggards(told: Sequence[StatusAnswer], *, is_stalled: bool) -> list[str]:
    """Return who does not follow although the network commits, is behind, or has no link to another."""
    newest = max(answer.certified_height for answer in told)
    is_alone = all(answer.role == OBSERVER for answer in told)  # then its reason is the verdict already
    problems = []
    for answer in told:
        name = _show(answer.name)
        if answer.phase not in FOLLOWING_PHASES:
            problems.append(f"{name} is {_show(answer.phase).replace('_', ' ')} at block {answer.height}")
        elif answer.certified_height + LAG_BLOCKS_MAX < newest:
            problems.append(f"{name} is {newest - answer.certified_height} blocks behind")
        elif answer.waiting is not None and answer.role == OBSERVER and not is_alone:
            problems.append(f"{name}, an observer, does not follow: {_show(answer.waiting)}")
        elif answer.waiting is not None and not is_stalled:
            problems.append(f"{name} takes no part, the others commit without it: {_show(answer.waiting)}")
        missing = [_tell_missing(peer) for peer in answer.peers if not is_connected(peer)]
        if missing and not is_stalled:
            problems.append(f"{name} has no link to {', '.join(missing)}")
    return problems


def _tell_missing(peer: Mapping[str, object]) -> str:
    """Return who is missing, and for how long as far as it is told."""
    since_s = peer.get("since_s")
    told = f" (for {format_duration(since_s)})" if isinstance(since_s, int | float) else ""
    return f"{_show(str(peer.get('name')))}{told}"


def _find_wrong_clocks(told: Sequence[StatusAnswer], drift_ms: int) -> list[str]:
    """Return whose clock is further from the others' than a batch's time may run ahead."""
    clocks = [answer.clock_ms for answer in told if answer.clock_ms]
    if len(clocks) < CLOCKS_MIN:
        return []
    middle_ms = median_low(clocks)
    return [
        f"the clock of {_show(answer.name)} is {abs(answer.clock_ms - middle_ms) // 1000} s"
        f" {'ahead of' if answer.clock_ms > middle_ms else 'behind'} the others': set it (timedatectl)"
        for answer in told
        if answer.clock_ms and abs(answer.clock_ms - middle_ms) > drift_ms
    ]


def format_time(time_ms: int, now_ms: int) -> str:
    """Return a UTC time, with its date only if that is not the present one; a stranger's nonsense as its number."""
    try:
        moment, now = (datetime.fromtimestamp(each // 1000, UTC) for each in (time_ms, now_ms))
    except (OverflowError, ValueError, OSError):
        return f"{time_ms} ms"
    same_day = moment.date() == now.date()
    return moment.strftime("%H:%M:%S UTC" if same_day else "%Y-%m-%d %H:%M:%S UTC")


def _show(text: str) -> str:
    return to_line(text, LINE_CHARACTERS_MAX)
