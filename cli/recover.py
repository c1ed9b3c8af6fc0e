"""`gridbft recover`: let a validator begin again whose journal is gone or damaged, without risking a second vote."""

from typing import TYPE_CHECKING

from cli.console import talk
from cli.failure import CliError, ExitCode
from cli.options import HomeOption, find_home

if TYPE_CHECKING:
    from node.recover import Recovery

WHAT_HAPPENS_NEXT = """\
Start it now: gridbft start. It fetches the chain from its peers if that is gone too, follows and executes every
block, and votes for nothing until a certificate has passed all that its key may have signed: 256 sequences. Until
then `gridbft status` shows it as silent, and it counts as one of the validators that may be missing.
If its key is lost or may be in other hands, do not start it: the others replace it (gridbft validators replace)."""


def recover(home: HomeOption = None) -> None:
    """Let a validator vote again, later, whose journal is gone or damaged: nothing it forgot is contradicted."""
    from node.errors import NodeError
    from node.home import load_constitution
    from node.recover import plan_recovery
    from node.recover import recover as perform

    directory = find_home(home)
    try:
        constitution = load_constitution(directory)
        plan = plan_recovery(directory, constitution)
        if not plan.is_done:
            _announce(plan)
            perform(directory, constitution, plan)
    except NodeError as error:
        raise CliError(str(error), ExitCode(error.exit_code)) from None
    talk(
        "it was recovered before, and has not been started since"
        if plan.is_done
        else "data/journal begins anew, and says that its past is unknown"
    )
    talk(WHAT_HAPPENS_NEXT)


def _announce(plan: "Recovery") -> None:
    talk(f"{plan.reason}: nobody here knows what this validator's key has signed")
    for name, kept in plan.moved:
        talk(f"data/{name} is kept as data/{kept}")
