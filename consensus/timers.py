"""Timers: generations instead of cancellation races, and a time-out that doubles but is capped."""

from consensus.effects import Effect, StartTimer, StopTimer, TimerName
from consensus.state import ReplicaState

CATCH_UP_DELAY_MS = 250
"""How long a replica that seems behind waits before it fetches: agreement usually closes the gap by itself."""

COMPLAINT_PERIODS = 4
"""A complaint counts for so many re-send periods: with 30 % loss at least one of its repetitions arrives."""


def start(state: ReplicaState, name: TimerName, delay_ms: int) -> list[Effect]:
    """Start or restart a timer."""
    state.timer_generation += 1
    state.timers[name] = state.timer_generation
    return [StartTimer(name, state.timer_generation, delay_ms)]


def start_if_stopped(state: ReplicaState, name: TimerName, delay_ms: int) -> list[Effect]:
    """Start a timer unless it runs."""
    return [] if name in state.timers else start(state, name, delay_ms)


def stop(state: ReplicaState, name: TimerName) -> list[Effect]:
    """Stop a timer if it runs."""
    return [] if state.timers.pop(name, None) is None else [StopTimer(name)]


def is_current(state: ReplicaState, name: str, generation: int) -> bool:
    """Tell whether a timer that fired was neither stopped nor restarted since."""
    return name in state.timers and state.timers[TimerName(name)] == generation


def compute_timeout_ms(state: ReplicaState, later: int = 0) -> int:
    """Return the view time-out of the current attempt, or of a ``later`` one: doubling, never above the cap."""
    settings = state.settings
    doublings = min(max(state.attempt + later - 1, 0), 16)
    return min(settings.view_timeout_ms << doublings, settings.view_timeout_max_ms)
