"""The Keras program of the page on weights, trained by both libraries from the same weights."""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from peers import keras_library

PAGE = Path(__file__).parents[1] / "docs" / "howto" / "interop.md"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' variables
def test_both_libraries_have_the_same_losses_and_predict_the_same_number():
    keras_library()
    theirs, ours = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[:2]
    names: dict[str, Any] = {}
    exec(theirs, names)
    exec(ours, names)
    assert len(names["losses"]) == len(names["theirs"]) == 200
    np.testing.assert_allclose(names["losses"], names["theirs"], atol=1e-5)
    last = names["series"][None, -3:, None]
    their_number, our_number = names["net"].predict(last, verbose=0).item(), names["model"](last).item()
    assert our_number == pytest.approx(their_number, abs=1e-5) == pytest.approx(1.0, abs=0.1)
    lines = [line for line in ours.splitlines() if line and not re.match("import|from", line)]
    assert len(lines) <= 12

    # With Optax's own place for epsilon the losses differ.
    plain = re.sub(r"adam = .*", "adam = optax.adam(1e-3)", ours)
    other: dict[str, Any] = dict(names)
    with contextlib.redirect_stdout(io.StringIO()):
        exec(plain, other)
    assert np.abs(np.asarray(other["losses"]) - names["theirs"]).max() > 1e-4
