"""The behaviours of a script: those of the simulator's library, and new-views that are false in a chosen way."""

from consensus.messages import Envelope, NewView
from tests.simulation.behaviour import Behaviour
from tests.simulation.lying import ALL_BEHAVIOURS, NEW_VIEW_LIES, BadNewView

CHOSEN = "new_view="


class ChosenNewView(BadNewView):
    """Sends new-views that are false in one way."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self._how = how

    def say(self, target: int, envelope: Envelope) -> list[Envelope]:
        message = envelope.message
        if not isinstance(message, NewView) or envelope.sender != self.machine.key.public:
            return [envelope]
        return [self.sign(self._spoil(message, self._how))]


def build_behaviour(name: str) -> Behaviour | None:
    """Return the behaviour of this name, or None."""
    if name.startswith(CHOSEN):
        how = name.removeprefix(CHOSEN)
        return ChosenNewView(how) if how in NEW_VIEW_LIES else None
    build = ALL_BEHAVIOURS.get(name)
    return None if build is None else build(0)


def list_behaviours() -> str:
    """Return every name."""
    return ", ".join([*sorted(ALL_BEHAVIOURS), *(CHOSEN + how for how in NEW_VIEW_LIES)])
