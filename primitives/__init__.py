"""The leaf the three cores share: ids, canonical encoding, hashing, signing, Merkle trees, limits.

Nothing here imports anything else of gridbft, does I/O, reads a clock or draws a random number.
"""
