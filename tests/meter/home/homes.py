"""A home on a short day, whose numbers a person can follow: each test changes one thing of it."""

import numpy as np

from meter.home.model import DayInputs, HomeModel
from meter.home.participant import HomeDay
from meter.home.spec import HomeSpec
from vm.contracts.energy.coordination.calls import Terms

SLOTS = 4


def make_day(
    load: list[float] | None = None,
    pv: list[float] | None = None,
    retail: list[float] | None = None,
    *,
    feed_in: float = 0.05,
    outdoor: float = 20.0,
) -> DayInputs:
    load = load or [1.0] * SLOTS
    return DayInputs(
        load_kwh=np.array(load),
        pv_kwh=np.array(pv or [0.0] * len(load)),
        retail=np.array(retail or [0.2] * len(load)),
        feed_in=np.full(len(load), feed_in),
        outdoor_c=np.full(len(load), outdoor),
        slot_hours=1.0,
    )


def make_model(spec: HomeSpec | None = None, day: DayInputs | None = None) -> HomeModel:
    return HomeModel(spec or HomeSpec(), day or make_day())


def make_home(name: str, spec: HomeSpec | None = None, day: DayInputs | None = None) -> HomeDay:
    inputs = day or make_day()
    return HomeDay(name, spec or HomeSpec(), inputs, inputs)


def make_terms(**changes: int) -> Terms:
    values = {
        "rho": 500,
        "tolerance_mwh": 500,
        "iterations_max": 100,
        "iteration_s": 60,
        "silence_max": 3,
        "balancing": 0,
        "price_start": 150_000,
        "pair_limit_wh": 5000,
        "fee": 0,
        "preference": 0,
        "preference_price": 0,
        "penalty_price": 0,
        "relief_permille": 10,
        "claim_s": 60,
    }
    return Terms(**{**values, **changes})
