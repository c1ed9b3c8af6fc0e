"""Looking a validator's machine and home over: each check says ok, warning or problem, in one sentence, and what to do.

``findings`` is what a check says. ``clock``, ``disk``, ``machine``, ``home``, ``settings``, ``stores`` and ``network``
are the checks; ``bundle`` packs what they found for somebody who helps, without a secret. Nothing is changed but one
small file that is written, synced and deleted to time the disk.
"""
