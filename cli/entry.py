"""Where a process of the command line begins: what must stand before anything that takes time to import.

Loading the commands takes a fifth of a second. A Ctrl-C in it ends the process as it ends any program that has no say
in it; from then on ``cli.main`` says how a command ends.
"""

import signal


def main() -> None:
    """Run the command of this process's arguments and exit."""
    is_heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else somebody wants it ignored
    if is_heard:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from cli.main import main as run_command

    if is_heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run_command()
