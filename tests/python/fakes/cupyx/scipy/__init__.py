"""A stand-in, as cupy beside it."""
