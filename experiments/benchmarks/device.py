"""A stream on a small machine: one sample at a time through an exported step, by onnxruntime and NumPy alone.

    python device.py step.onnx                 # prints one line of JSON
    python device.py step.onnx --samples 20000

It is a file on its own, which neither JAX nor recurrax has to be installed for; write the model with
``onnx.save(recurrax.export.to_onnx(model, stream=True), "step.onnx")``. Samples come from a generator, as they would
from a sensor. It prints the seconds from the start of the imports to the first prediction, the memory of the process
in MiB, and percentiles of the time of a step in microseconds.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator

PERCENTILES = (50, 90, 99, 99.9, 100)
WARM_UP = 100  # steps that are not counted


def main() -> None:
    """Runs a stream through a model and prints what it cost."""
    began = time.perf_counter()
    import numpy as np
    import onnxruntime

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="the file of one step, with its carry as inputs and outputs")
    parser.add_argument("--samples", type=int, default=5000, help="of the stream (%(default)s)")
    given = parser.parse_args()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # a step is too small to share
    session = onnxruntime.InferenceSession(given.model, options, providers=["CPUExecutionProvider"])
    inputs, *states = session.get_inputs()
    carry = {state.name: np.zeros((1, *state.shape[1:]), np.float32) for state in states}

    def samples() -> Iterator[np.ndarray]:
        """A noisy sine in every feature, one step after another; or tokens at random."""
        rng = np.random.default_rng(0)
        for t in range(given.samples + WARM_UP):
            if inputs.type == "tensor(int64)":
                yield np.array([t % 2])
            else:
                yield (np.sin(0.1 * t) + 0.1 * rng.normal(size=(1, *inputs.shape[1:]))).astype(np.float32)

    first, spent = None, []
    for sample in samples():
        start = time.perf_counter()
        prediction, *after = session.run(None, {inputs.name: sample, **carry})
        carry = dict(zip(carry, after, strict=True))
        spent.append(time.perf_counter() - start)
        first = time.perf_counter() - began if first is None else first
        assert np.isfinite(prediction).all()
    microseconds = np.percentile(1e6 * np.array(spent[WARM_UP:]), PERCENTILES)
    found = {
        "seconds_to_first": first,
        "mebibytes": resident(),
        "microseconds": dict(zip(map(str, PERCENTILES), microseconds.tolist(), strict=True)),
        "samples": given.samples,
        "without": [name for name in ("jax", "recurrax", "torch") if name not in sys.modules],
    }
    print(json.dumps(found))


def resident() -> float | None:
    """MiB that the process holds in memory, None where the system does not say."""
    try:
        with open("/proc/self/status") as status:
            line = next(line for line in status if line.startswith("VmRSS"))
    except (OSError, StopIteration):
        return None
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
