"""What the steps of a validator cost on this machine: measured, so that simulated computers can be charged for them."""

from collections import Counter
from contextlib import ExitStack
from time import thread_time
from typing import Any

from benchmarks.grid_world import Costs
from benchmarks.harness.machine import measure_verify_us
from benchmarks.harness.workload import Meters
from consensus.codec import decode_envelope, encode_envelope
from consensus.effects import Broadcast, Effect
from consensus.events import Event
from consensus.replica import Replica
from node.applier import Applier
from primitives.ids import Digest
from primitives.signing import SignatureDomain
from tests.simulation.community import START_S, UTILITY, UTILITY_KEY, get_validator_key
from tests.simulation.patches import replaced
from tests.simulation.process import Process
from tests.simulation.world import World

WIRE_US = 70.0
"""Half of what a message costs both ends together, TLS and websocket included (``p2p/gossip.py``)."""
SUBMIT_US = 50.0
"""The API's work for one transaction: between one POST each and many in a message."""
VALIDATORS = 4
FULL, ALONE = 100, 50
"""A block of so many readings, and so many blocks of one."""
SIGNED = 500


class _Watch:
    """Adds up the processor's time of some functions, that of functions inside them taken off."""

    def __init__(self) -> None:
        self.used_s: dict[str, float] = {}
        self.calls: Counter[str] = Counter()
        self._inner_s: list[float] = []

    def wrap(self, name: str, function: Any) -> Any:  # noqa: ANN401  # methods of any shape
        """Return the function, timed under a name."""

        def timed(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401  # passed through
            self._inner_s.append(0.0)
            began_s = thread_time()
            try:
                return function(*arguments, **options)
            finally:
                took_s = thread_time() - began_s
                self.used_s[name] = self.used_s.get(name, 0.0) + took_s - self._inner_s.pop()
                self.calls[name] += 1
                if self._inner_s:
                    self._inner_s[-1] += took_s

        return timed


def measure_costs(factor: float) -> Costs:
    """Return this machine's costs, to be multiplied by ``factor`` on the simulated ones."""
    step_us, take_us, block_us, execute_us = _measure_steps()
    return Costs(
        verify=measure_verify_us(),
        sign=_measure_sign_us(),
        wire=WIRE_US,
        step=step_us,
        take=take_us,
        submit=SUBMIT_US,
        block=block_us,
        execute=execute_us,
        factor=factor,
    )


def _measure_sign_us() -> float:
    key, genesis_hash = get_validator_key(0), Digest(bytes(32))
    began_s = thread_time()
    for number in range(SIGNED):
        key.sign(SignatureDomain.CONSENSUS, genesis_hash, number.to_bytes(32, "big"))
    return round(1e6 * (thread_time() - began_s) / SIGNED, 1)


def _measure_steps() -> tuple[float, float, float, float]:
    """Play a small network without checkers' work in the sums: a message, a transaction, a block, a reading in it."""
    watch, decoded = _Watch(), _Watch()
    with ExitStack() as stack:
        for owner, name in ((Replica, "step"), (Applier, "execute_and_store"), (Process, "_take_gossip")):
            stack.enter_context(replaced(owner, name, watch.wrap(name, vars(owner)[name])))
        for name in ("is_transaction_signed",):
            import tests.simulation.process as module

            stack.enter_context(replaced(module, name, watch.wrap("signature", vars(module)[name])))
        world = World(VALIDATORS)
        messages = _listen(world)
        meters = Meters(FULL, START_S, world.constitution.genesis_hash)
        registrations = list(meters.sign_registrations(UTILITY_KEY, UTILITY, 1))
        for sealed in registrations:
            world.submit(sealed, to=[0])
        world.run_until(lambda: world.is_committed(registrations[-1]), 60_000)
        readings = list(meters.sign_readings(0, FULL + ALONE))
        watch.used_s.clear()
        watch.calls.clear()
        for sealed in readings[:ALONE]:
            world.submit(sealed, to=[0])
            world.run_until(lambda sealed=sealed: world.is_committed(sealed), 10_000)  # type: ignore[misc]
        world.run(1_000)
        alone_us = 1e6 * watch.used_s["execute_and_store"] / watch.calls["execute_and_store"]
        step_us = 1e6 * watch.used_s["step"] / watch.calls["step"]
        take_us = 1e6 * watch.used_s["_take_gossip"] / watch.calls["_take_gossip"]
        watch.used_s.clear()
        watch.calls.clear()
        for sealed in readings[ALONE:]:
            world.submit(sealed, to=[1])
        world.run_until(lambda: all(world.is_committed(sealed) for sealed in readings[ALONE:]), 60_000)
        blocks = watch.calls["execute_and_store"] / VALIDATORS
        full_us = 1e6 * watch.used_s["execute_and_store"] / VALIDATORS
    for payload in messages:
        decoded.wrap("decode", decode_envelope)(payload)
    execute_us = max(0.0, (full_us - blocks * alone_us) / (FULL - blocks))
    step_us += 1e6 * decoded.used_s["decode"] / decoded.calls["decode"]
    return round(step_us, 1), round(take_us, 1), round(alone_us - execute_us, 1), round(execute_us, 1)


def _listen(world: World) -> list[bytes]:
    """Return a list that fills with the messages of the world."""
    messages: list[bytes] = []

    def told(now_ms: int, index: int, event: Event, effects: list[Effect]) -> None:
        del now_ms, index, event
        messages.extend(encode_envelope(each.envelope) for each in effects if isinstance(each, Broadcast))

    world.told = told
    return messages
