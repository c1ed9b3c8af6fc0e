"""Several validators as one: which of them is asked next, for how long, and who is not asked again.

Knows no HTTP: the transport is a port. Failures of one validator lead to the next; after all of them comes a pause that
grows, and after a bounded number of rounds the question ends with a named error.
"""

import asyncio
import random
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

from meter.answers import AnswerError, GreetingAnswer, decode_answer, decode_error
from primitives.text import hide_user, to_line

T = TypeVar("T")

VALIDATORS_ASKED_MAX = 128
"""A network has no more validators."""
STATUS_OK_MAX = 299
STATUS_NO_TOKEN = 401
STATUS_NOT_FOUND = 404
STATUS_BUSY = frozenset({408, 429})
STATUS_SERVER_ERROR_MIN = 500


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Patience, in seconds: for one request, between rounds through all validators, and before sending again; and the
    token, if any, that lets this client read what is not public.
    """

    request_timeout_s: float = 10.0
    rounds: int = 4
    pause_first_s: float = 0.1
    pause_max_s: float = 2.0
    resend_after_s: float = 5.0
    token: str = field(default="", repr=False)


def build_headers(settings: ClientSettings) -> dict[str, str]:
    """Return what a client says of itself with every request."""
    headers = {"Accept-Encoding": "identity", "User-Agent": "gridbft-meter"}
    return headers | ({"Authorization": f"Bearer {settings.token}"} if settings.token else {})


class ClientError(Exception):
    """A question got no answer; the message is one line that says why and what to do."""


class AddressError(ClientError):
    """An address of a validator is not one."""


class NoAnswerError(ClientError):
    """No validator gave a usable answer; the message names what each one did."""


class NotFoundError(ClientError):
    """No validator that answered knows what was asked for."""


class QuestionRefusedError(ClientError):
    """A validator refused the question; ``name`` is the API's word for why."""

    def __init__(self, name: str, detail: str) -> None:
        """Take the API's name and sentence."""
        super().__init__(f"{name}: {detail}" if detail else name)
        self.name = name


class ValidatorFailedError(Exception):
    """This validator is of no use now: ask another."""


class TokenRefusedError(ValidatorFailedError):
    """This validator lets nobody read that without a token that it knows; another one may."""

    def __init__(self, name: str, detail: str) -> None:
        """Take the API's name and sentence."""
        super().__init__(f"refused: {name}: {detail}")
        self.name = name
        self.detail = detail


@dataclass(slots=True)
class Validator:
    """What a client knows of a validator; ``distrusted`` says what it showed that must not be."""

    url: str
    distrusted: str | None = None
    is_greeted: bool = False
    paused_until_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Request:
    """A question; ``wait_s`` is how long the validator may wait before it answers."""

    method: str
    path: str
    body: bytes | None = None
    query: dict[str, str] = field(default_factory=dict)
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer within the limits of size and time; ``retry_after_s`` is the validator's wish, 0 without one."""

    status: int
    body: bytes
    retry_after_s: float = 0.0


class Transport(Protocol):
    """What carries questions."""

    async def exchange(self, url: str, request: Request) -> Answer:
        """Return the answer of the validator at ``url``.

        Raises:
            ValidatorFailedError: unreachable, too slow, or an answer beyond the limit of size.

        """
        ...


class Validators:
    """The validators of one network in the order of preference."""

    def __init__(
        self, transport: Transport, urls: Sequence[str], genesis_hex: str, settings: ClientSettings
    ) -> None:
        """Take the addresses, preferred first.

        Raises:
            AddressError: no address, too many, or one that is not http(s)://HOST:PORT.

        """
        self.settings = settings
        self._transport = transport
        self._genesis_hex = genesis_hex
        self._members = [Validator(_check_address(url)) for url in dict.fromkeys(urls)]
        self._preferred = 0
        if not 1 <= len(self._members) <= VALIDATORS_ASKED_MAX:
            what = f"name between 1 and {VALIDATORS_ASKED_MAX}"
            raise AddressError(f"{len(self._members)} addresses of validators: {what}")

    @property
    def members(self) -> tuple[Validator, ...]:
        """Return all validators in the order given."""
        return tuple(self._members)

    def get_order(self, tried: Collection[str] = ()) -> list[Validator]:
        """Return whom to ask: the preferred first, those ``tried`` in vain later, those that asked for a pause last."""
        turned = self._members[self._preferred :] + self._members[: self._preferred]
        now_s = monotonic()
        trusted = [member for member in turned if member.distrusted is None]
        return sorted(trusted, key=lambda member: (member.paused_until_s > now_s, member.url in tried))

    def prefer_next(self) -> None:
        """Begin with another validator from now on: the preferred one made no progress."""
        self._preferred = (self._preferred + 1) % len(self._members)

    def distrust(self, validator: Validator, reason: str) -> ValidatorFailedError:
        """Never ask this validator again; return the error to raise about it."""
        validator.distrusted = reason
        return ValidatorFailedError(reason)

    def get_pauses(self) -> Iterator[float]:
        """Yield the pause after each round but the last: growing, with jitter, so that meters do not march in step."""
        pause_s = self.settings.pause_first_s
        for _ in range(self.settings.rounds - 1):
            yield pause_s * random.uniform(0.5, 1.0)  # noqa: S311  # jitter is no secret
            pause_s = min(2 * pause_s, self.settings.pause_max_s)

    async def exchange(self, validator: Validator, request: Request) -> Answer:
        """Return a validator's answer of any status but busy and failed; the first question asks for its genesis.

        Raises:
            ValidatorFailedError: of no use now, or of another network.

        """
        try:
            if not validator.is_greeted:
                await self._greet(validator)
            answer = await self._transport.exchange(validator.url, request)
        except ValidatorFailedError:
            validator.paused_until_s = monotonic() + self.settings.pause_max_s
            raise
        if answer.status == STATUS_NO_TOKEN:  # another one may know the token, or run on this machine
            refusal = decode_error(answer.body)
            raise TokenRefusedError(refusal.error, refusal.detail)
        if answer.status < STATUS_SERVER_ERROR_MIN and answer.status not in STATUS_BUSY:
            return answer
        wish_s = min(answer.retry_after_s, self.settings.pause_max_s)
        validator.paused_until_s = monotonic() + wish_s
        error = decode_error(answer.body)
        raise ValidatorFailedError(f"answered {answer.status} {error.error}")

    async def ask(self, request: Request, read: Callable[[Answer], T]) -> T:
        """Return the first answer that ``read`` accepts.

        Raises:
            NoAnswerError, NotFoundError, QuestionRefusedError.

        """
        problems: dict[str, str] = {}
        unknown: NotFoundError | None = None
        shut: TokenRefusedError | None = None
        pauses = self.get_pauses()
        while True:
            order = self.get_order()
            for validator in order:
                try:
                    return read(await self.exchange(validator, request))
                except NotFoundError as error:
                    unknown = error
                except TokenRefusedError as error:
                    shut = error
                except (ValidatorFailedError, AnswerError) as error:
                    problems[validator.url] = str(error)
            if unknown is not None:
                raise unknown
            if shut is not None:  # waiting does not open a door
                raise QuestionRefusedError(shut.name, shut.detail)
            pause_s = next(pauses, None) if order else None
            if pause_s is None:
                raise NoAnswerError(self.describe(problems))
            await asyncio.sleep(pause_s)

    def describe(self, problems: dict[str, str]) -> str:
        """Return one line with what each validator did."""
        told = [
            f"{member.url}: {member.distrusted or problems.get(member.url, 'not asked')}"
            for member in self._members
        ]
        return f"no validator answered ({'; '.join(told)}); check the addresses and try again"

    async def _greet(self, validator: Validator) -> None:
        answer = await self._transport.exchange(validator.url, Request("GET", "/v1/status"))
        try:
            status = read_json(answer, GreetingAnswer)
        except (AnswerError, ClientError) as error:
            raise ValidatorFailedError(f"told no status: {error}") from None
        if status.genesis_hash != self._genesis_hex:
            shown = to_line(status.genesis_hash)[:16]
            raise self.distrust(
                validator, f"runs another genesis ({shown}…, ours is {self._genesis_hex[:16]}…)"
            )
        validator.is_greeted = True


def read_json(answer: Answer, expected: type[T]) -> T:
    """Return a successful answer as ``expected``.

    Raises:
        NotFoundError, QuestionRefusedError: the API refused.
        AnswerError: the answer is not of that shape.

    """
    if answer.status <= STATUS_OK_MAX:
        return decode_answer(answer.body, expected)
    error = decode_error(answer.body)
    if answer.status == STATUS_NOT_FOUND:
        raise NotFoundError(error.detail or "no validator knows it")
    raise QuestionRefusedError(error.error, error.detail)


def _check_address(url: str) -> str:
    """Return the address without a trailing slash."""
    wanted = f"{to_line(hide_user(url))!r} is no address of a validator; use http://HOST:PORT"
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise AddressError(wanted) from None
    is_plain = parts.path in {"", "/"} and not (parts.query or parts.fragment or "@" in parts.netloc)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not is_plain or not url.isprintable():
        raise AddressError(wanted)
    return f"{parts.scheme}://{parts.netloc}"
