"""Authenticated bytes between members: TLS links with pinned certificates, bounded queues, scores and bans.

Nothing here knows what the bytes mean.
"""
