"""`gridbft peers`: what each validator says of every other one: linked, behaving, banned, and what went wrong last."""

from typing import TYPE_CHECKING

import msgspec

from cli.console import build_console, print_json, print_line, talk
from cli.options import HomeOption, JsonOption, NodeOption, find_home
from primitives.text import to_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.table import Table

    from meter.answers import StatusAnswer

HEADINGS = ("validator", "peer", "link", "since", "score", "banned for", "last error")
ERROR_CHARACTERS_MAX = 300
"""As long as a validator keeps an error: two lines of a terminal."""
MINUTE_S = 60
HOUR_S = 3600


class PeerLine(msgspec.Struct, frozen=True):
    """What one validator says of one peer; fields that it does not say are as of a peer nothing is known of."""

    name: str
    connected: bool = False
    since_s: float = 0.0
    score: int = 0
    banned_for_s: float = 0.0
    last_error: str = ""
    key: str = ""
    queued_bytes: int = 0
    dropped: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


def peers(*, home: HomeOption = None, node: NodeOption = None, as_json: JsonOption = False) -> None:
    """Show what each validator says of the others: links, scores, bans."""
    from cli.client_settings import open_client_home
    from cli.session import ask_validators

    client_home = open_client_home(find_home(home), node)
    answers = ask_validators(client_home, lambda client: client.get_statuses())
    if as_json:
        print_json({"validators": [_describe(url, answer) for url, answer in answers.items()]})
        return
    _print(answers, client_home.names)


def read_peers(answer: "StatusAnswer") -> "Iterator[PeerLine]":
    """Yield the peers of a status; what is no peer of this version is passed over."""
    for peer in answer.peers:
        try:
            line = msgspec.convert(peer, PeerLine)
        except msgspec.ValidationError:
            continue
        shown = to_line(line.last_error, ERROR_CHARACTERS_MAX)
        yield msgspec.structs.replace(line, name=to_line(line.name), last_error=shown)


def find_banned(answers: "Mapping[str, StatusAnswer | str]") -> tuple[str, ...]:
    """Return a sentence for each ban that is on."""
    return tuple(
        f"{answer.name} does not talk to {peer.name} for {format_duration(peer.banned_for_s)}: {peer.last_error}"
        for answer in answers.values()
        if not isinstance(answer, str)
        for peer in read_peers(answer)
        if peer.banned_for_s > 0
    )


def format_duration(seconds: float) -> str:
    """Return a duration as people read it, in its largest unit and the next."""
    whole = round(seconds)
    if whole < MINUTE_S:
        return f"{whole} s"
    if whole < HOUR_S:
        return f"{whole // MINUTE_S} min {whole % MINUTE_S} s"
    return f"{whole // HOUR_S} h {whole % HOUR_S // MINUTE_S} min"


def _describe(url: str, answer: "StatusAnswer | str") -> dict[str, object]:
    if isinstance(answer, str):
        return {"url": url, "error": answer}
    return {
        "url": url,
        "name": answer.name,
        "peers": [msgspec.to_builtins(peer) for peer in read_peers(answer)],
    }


def _print(answers: "Mapping[str, StatusAnswer | str]", names: "Mapping[str, str]") -> None:
    from cli.diagnosis import find_unanswered

    told = [answer for answer in answers.values() if not isinstance(answer, str)]
    print_line(f"{len(told)} of {len(answers)} validators answer")
    if told:
        build_console().print(_build_table(told))
    for sentence in (*find_unanswered(answers, names), *find_banned(answers)):
        talk(sentence)


def _build_table(told: "list[StatusAnswer]") -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in HEADINGS:
        table.add_column(heading)
    for answer in told:
        for peer in read_peers(answer):
            table.add_row(
                escape(answer.name),
                escape(peer.name),
                "up" if peer.connected else "down",
                format_duration(peer.since_s),
                str(peer.score),
                format_duration(peer.banned_for_s) if peer.banned_for_s > 0 else "",
                escape(peer.last_error),
            )
    return table
