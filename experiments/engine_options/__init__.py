"""Does backend="auto" choose the fastest engine, and what does each option of an engine cost?

    python -m experiments.engine_options              # 2 CPU cores, about a quarter of an hour
    python -m experiments.engine_options --help

For every cell and shape of `experiments.speed` the training step under "auto", under every engine that runs there, and
under every engine with one option changed, in turn in one process. What computes another loss is named and does not
count. "auto" is the engine `Adjoint` with the options that `recurrax.engines.tuning` decides on; `Adjoint()` is the
same program a second time, so that what lies between the two is noise.

Expected: "auto" lies within a few per cent of the fastest; pre-activations computed again and one product of inputs and
state inside the loop each lose somewhere; chunks pay where an array of all steps is large.
"""
