"""Certified snapshots: the state of one block in parts, each checked when it comes against a quorum's signatures.

``parts`` says what the parts are, ``download`` in which order they are asked for and believed, ``writer`` how they
become a store; none of the three does I/O of its own. ``server`` and ``fetcher`` are the two ends on a running node,
``installation`` the directories that a finished snapshot passes through until it is the node's store.
"""
