"""Validators as small computers: each with a line, a share of a processor, a memory and a card of its own."""
