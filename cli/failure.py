"""How a command ends: the documented exit codes, and the one exception that carries one of them."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the shell sees."""

    OK = 0
    ERROR = 1
    USAGE = 2
    NOT_FOUND = 3
    UNHEALTHY = 4
    NOT_ALLOWED = 5
    OUTCOME_UNKNOWN = 6
    """Submitted and not confirmed: sending the same transaction again is safe, because its id is the same."""


class CliError(Exception):
    """An expected end other than success; the message is one line that says what happened and what to do."""

    def __init__(self, message: str, code: ExitCode = ExitCode.ERROR) -> None:
        """Take the line and the exit code."""
        super().__init__(message)
        self.code = code


def build_usage_error(message: str) -> CliError:
    """Return the error of a wrong flag, argument or file."""
    return CliError(message, ExitCode.USAGE)


def find_expected(
    group: BaseExceptionGroup[BaseException], kinds: tuple[type[BaseException], ...]
) -> BaseException | None:
    """Return the first exception of a group when all are of expected kinds; None when a bug is among them."""
    first: BaseException | None = None
    for error in group.exceptions:
        found = find_expected(error, kinds) if isinstance(error, BaseExceptionGroup) else error
        if not isinstance(found, kinds):
            return None
        first = first or found
    return first
