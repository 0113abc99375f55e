"""Imports flax.nnx without garbage collection: what is loaded stays, and to look through it takes time."""

import gc

collects = gc.isenabled()
gc.disable()
try:
    import flax.nnx  # noqa: F401
finally:
    if collects:
        gc.enable()
