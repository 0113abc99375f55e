"""Imports flax.nnx without looking for garbage among its modules, which stay: a fifth of the time goes to that."""

import gc

collects = gc.isenabled()
gc.disable()
try:
    import flax.nnx  # noqa: F401
finally:
    if collects:
        gc.enable()
