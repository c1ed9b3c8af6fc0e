"""What a home expects of tomorrow: from its own past, or from a file. Nothing of it leaves the home."""

from enum import StrEnum
from typing import Protocol

import numpy as np

from meter.home.model import Array

DAYS_OF_WEEK = 7


class Forecast(Protocol):
    """Says what a series (load or sun, kWh per slot) will be, from what it was on the days before."""

    def predict(self, past: list[Array], actual: Array) -> Array:
        """Return the expected day; ``past`` holds the days before, the newest last."""
        ...


class ForecastName(StrEnum):
    """The forecasts that can be chosen."""

    FILE = "file"
    """The day's own values: perfect foresight, as the reference runs have it."""
    PERSISTENCE = "persistence"
    """Tomorrow is as today."""
    WEEKDAY = "weekday"
    """As the same day of last week; without one, as today."""


class FromFile:
    """Expects what a file says: of the day itself, it is perfect foresight."""

    def predict(self, past: list[Array], actual: Array) -> Array:  # noqa: ARG002  # the protocol's signature
        """Return the file's day."""
        return actual


class Persistence:
    """Expects what was measured some days before: one for persistence, seven for the same weekday."""

    def __init__(self, days: int) -> None:
        """Take how far to look back."""
        self._days = days

    def predict(self, past: list[Array], actual: Array) -> Array:
        """Return the day of that long ago; the newest one where there is none, and nothing at the very beginning."""
        fitting = [day for day in past if len(day) == len(actual)]
        if not fitting:
            return np.zeros(len(actual))
        return fitting[-self._days] if len(fitting) >= self._days else fitting[-1]


def build_forecast(name: ForecastName) -> Forecast:
    """Return the forecast of a name."""
    match name:
        case ForecastName.FILE:
            return FromFile()
        case ForecastName.PERSISTENCE:
            return Persistence(1)
        case ForecastName.WEEKDAY:
            return Persistence(DAYS_OF_WEEK)
