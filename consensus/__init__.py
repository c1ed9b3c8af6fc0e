"""Agreement as a pure state machine: ``Replica.step(event) -> list[Effect]``.

Nothing in this package does I/O, reads a clock, draws a random number or logs. The host that runs it has these duties:

1. Only authenticated messages enter (``authentication.check_envelope``), and a pre-prepare only when its batch is
   whole and every transaction in it is canonical and correctly signed. ``Replica.is_wanted`` spares the check of
   messages whose position already says that they do not matter.
2. Effects are performed in the order returned. Persists may be performed earlier than their place, never later.
3. A ``Persist`` is durable before any later ``Send`` or ``Broadcast`` leaves; several may share one sync.
4. Each ``Deliver`` is answered, in order, by one ``Executed``, after the block's synced write.
5. A timer that fires after it was stopped is told with its old generation, or not at all.
6. After a restart the journal is replayed into a new replica before the first event, and the first event is
   ``TimerFired(RESEND, START_GENERATION)``.
7. If ``step`` raises, the process stops: it is a bug, and a replica in an unknown state must not vote.
8. ``Overdue`` is said again, about every re-send period, as long as what it complains of still waits.
"""
