"""The HTTP API of a validator, and its admin socket."""
