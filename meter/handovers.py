"""Learning who validates now: handovers fetched from validators, each believed because the epoch before signed it."""

import contextlib

from meter.answers import AnswerError, HandoversAnswer
from meter.proofs import (
    EPOCHS_FOLLOWED_MAX,
    ReceiptVerifier,
    TrustAnchor,
    read_certificate,
    read_handover,
)
from meter.validators import (
    ClientError,
    Request,
    Validator,
    ValidatorFailedError,
    Validators,
    read_json,
)
from primitives.encoding import DecodeError


class Follower:
    """Leads a verifier from the epoch that it knows to one that it meets in a certificate."""

    def __init__(self, verifier: ReceiptVerifier, validators: Validators) -> None:
        """Take the verifier, and whom to ask."""
        self._verifier = verifier
        self._validators = validators

    async def follow(self, epoch: int, source: Validator | None = None) -> None:
        """Learn the validators of all epochs up to ``epoch``, as far as anybody proves them; ``source`` is asked first.

        A validator that shows a forged handover is not asked again. Each is asked only as long as it leads further.

        Raises:
            ValidatorFailedError: nobody leads so far, so whoever showed that epoch is of no use now.

        """
        order = self._validators.get_order()
        if source is not None:
            order = [source, *(each for each in order if each is not source)]
        for validator in order:
            while self._verifier.anchor.epoch < epoch:
                before = self._verifier.anchor.epoch
                try:
                    await self._ask(validator)
                except (ValidatorFailedError, ClientError, AnswerError):
                    break
                if self._verifier.anchor.epoch == before:
                    break
            if self._verifier.anchor.epoch >= epoch:
                return
        if self._verifier.anchor.epoch < epoch:
            raise ValidatorFailedError(f"showed epoch {epoch}, and nobody proves who validates in it")

    async def lead(self, goal: int | bytes | None) -> TrustAnchor:
        """Return the anchor followed to an epoch, or to a certificate's; what is unproven, the check of it names."""
        with contextlib.suppress(DecodeError, ValidatorFailedError):
            if isinstance(goal, int):
                await self.follow(goal)
            elif goal is not None:
                await self.follow(read_certificate(goal).header.epoch)
        return self._verifier.anchor

    async def _ask(self, validator: Validator) -> None:
        """Follow one page of a validator's handovers, as far as a client follows at all."""
        room = EPOCHS_FOLLOWED_MAX - len(self._verifier.anchor.memberships)
        if room == 0:
            raise ValidatorFailedError(
                f"is beyond epoch {self._verifier.anchor.epoch}, the last one followed"
            )
        query = {"from": str(self._verifier.anchor.epoch)}
        request = Request("GET", "/v1/handovers", query=query)
        answer = read_json(await self._validators.exchange(validator, request), HandoversAnswer)
        try:
            problem = self._verifier.follow([read_handover(data) for data in answer.handovers[:room]])
        except DecodeError as error:
            problem = str(error)
        if problem is not None:
            raise self._validators.distrust(validator, f"showed a forged handover: {problem}")
