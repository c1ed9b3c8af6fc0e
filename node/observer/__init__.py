"""Observers: nodes without a vote that follow certified blocks, and the port at which validators serve them.

No validator depends on one: an observer's link never reaches the inbox, and an observer has no replica.
"""
