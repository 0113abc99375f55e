"""Tasks against the laws they promise; a task or variant that is added is tested without an edit."""

import dataclasses
import inspect
import math
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from samples import EVERY, EXAMPLES, KEYS, drawn, jit, parametrize, scorer

from recurrax.tasks import (
    TASKS,
    Adding,
    AssociativeRecall,
    Continual,
    Copy,
    InductionHeads,
    Latch,
    MemoryTask,
    ModularCounting,
    Parity,
    Permutation,
    Recall,
    make_task,
)

every_task = parametrize(MemoryTask)


@every_task
def test_oracle_solves_the_task_from_its_inputs(task):
    """With another example's inputs it fails: what else it knows or they show says nothing of the target."""
    examples, outputs = drawn(task)
    losses, accuracies = scorer(task)(outputs, examples)
    if least := task.least_loss():
        # Where losses are rare the sample says little of their spread; of losses below 1 it is at most sqrt(mean).
        deviation = max(losses.std(), min(math.sqrt(least), 0.01))
        assert abs(losses.mean() - least) < 4 * deviation / math.sqrt(EXAMPLES) + 1e-5 * least
        assert least < task.chance_level()
    else:
        assert losses.max() < 1e-6 and accuracies.min() == 1
    assert task.success(losses.mean(), accuracies.mean())
    losses, accuracies = scorer(task)(np.roll(outputs, 1, axis=0), examples)
    assert losses.mean() > task.chance_level() and not task.success(losses.mean(), accuracies.mean())
    for stop in (11, task.sequence_length - 2):  # causal
        spliced = np.concatenate([examples.inputs[0, :stop], examples.inputs[1, stop:]])
        np.testing.assert_array_equal(jit(task.oracle)(spliced)[:stop], outputs[0, :stop])


@every_task
def test_chance_level_is_the_loss_without_inputs(task):
    """That of the best constant, or of each step's class frequencies."""
    (_, targets, weights, *_), chance = drawn(task)[0], task.chance_level()
    weights = weights / weights.sum(1, keepdims=True)
    if np.issubdtype(targets.dtype, np.integer):
        counts = np.stack([(weights * (targets == o)).sum(0) for o in range(task.out_features)], axis=-1)
        frequencies = counts / np.maximum(counts.sum(-1, keepdims=True), 1e-30)
        outputs = np.log(np.maximum(frequencies, 1e-30)).astype(np.float32)
        fitted = float((counts > 0).sum() - (counts.sum(-1) > 0).sum())
    else:
        outputs, fitted = (weights[..., None] * targets).sum((0, 1)) / weights.sum(), chance
    outputs = np.broadcast_to(outputs, (EXAMPLES, task.sequence_length, task.out_features))
    losses, accuracies = (np.asarray(s, np.float64) for s in scorer(task)(outputs, drawn(task)[0]))
    # The second is what a fit of so many numbers gains on the examples that it was made to.
    tolerance = 3.5 * losses.std() / math.sqrt(EXAMPLES) + fitted / (weights > 0).sum()
    assert tolerance < 0.055 * chance  # 0.1767 for 1/6 would be 6% off
    assert abs(losses.mean() - chance) < tolerance
    assert not task.success(losses.mean(), accuracies.mean())


@every_task
def test_declarations(task):
    (inputs, targets, weights, *_), outputs = drawn(task)
    shape, classes = (EXAMPLES, task.sequence_length), np.issubdtype(targets.dtype, np.integer)
    assert outputs.shape == (*shape, task.out_features) and weights.shape == shape
    assert inputs.shape == (*shape, task.in_features)
    assert targets.shape == (shape if classes else outputs.shape)
    assert targets.dtype == (np.int32 if classes else np.float32)
    assert not classes or 0 <= targets.min() <= targets.max() < task.out_features
    assert inputs.dtype == weights.dtype == np.float32
    assert weights.min() >= 0 and weights.sum(-1).min() > 0
    assert isinstance(task.chance_level(), float) and isinstance(task.criterion, str)
    assert inspect.isabstract(MemoryTask) and type(task).__final__ and TASKS[task.name] is type(task)
    assert task == dataclasses.replace(task) and hash(task) == hash(dataclasses.replace(task))
    with pytest.raises(dataclasses.FrozenInstanceError):
        task.variant = "other"
    assert f"\n    {task.variant} " in str(sys.modules[task.__module__].__doc__)  # a row of its table


FEW = {"hochreiter1997-2a": 2, "martens2011": 30, "hochreiter1997": 200}  # different examples of 1,000; others: 900


@pytest.mark.parametrize(("task", "wide"), [(task, True) for task in EVERY] + [(EVERY[0], False), (EVERY[-1], False)])
def test_one_key_gives_one_example(task, wide):
    """The same one alone, in a batch and with 64-bit types enabled; another key gives another one."""
    examples, before = drawn(task)[0], jax.config.read("jax_enable_x64")
    jax.config.update("jax_enable_x64", wide)
    try:
        alone = jit(dataclasses.replace(task).sample)(KEYS[0])
    finally:
        jax.config.update("jax_enable_x64", before)
    for got, expected in zip(*map(jax.tree.leaves, (alone, examples)), strict=True):
        np.testing.assert_array_equal(got, expected[0], strict=True)
    assert len({row.tobytes() for row in examples.inputs[:1000]}) >= FEW.get(task.variant, 900)


@every_task
def test_loss_is_float32_of_the_steps_that_count(task):
    """bfloat16 outputs cost what their values cost; NaN of no weight reaches neither loss nor gradient."""
    example = jax.tree.map(lambda leaf: leaf[0], drawn(task)[0])
    noise = np.random.default_rng(0).normal(size=(task.sequence_length, task.out_features))
    outputs = jnp.asarray(noise, jnp.bfloat16)
    poisoned = np.where(example.weights[:, None] > 0, outputs, np.nan).astype(np.float32)
    both = jit(lambda y, z: (task.loss(y, example), jax.value_and_grad(task.loss)(z, example)))
    low, (loss, gradient) = both(outputs, poisoned)
    assert low.dtype == loss.dtype == jnp.float32
    np.testing.assert_allclose(loss, low, rtol=1e-6)
    assert np.isfinite(gradient).all() and (gradient != 0).any()


def test_bad_input_is_named_with_what_is_allowed():
    for build, message in [
        (lambda: make_task("copi", 10), r"name='copi' .* 'copy', 'adding', "),
        (lambda: make_task("copy", 10, "x"), r"='x' .* 'arjovsky2016', 'bai2018', 's4', .* 'gu2023'; "),
        (lambda: Adding(10, "s4"), r"='s4' .* 'bai2018', 'helfrich2018', 'pascanu2013'; "),
        (lambda: Copy(0), r"delay=0 .* int >= 1; pass at least 1"),
        (lambda: make_task("adding", 1), r"length=1 .* int >= 2; pass at least 2"),
        (lambda: Adding(9, "pascanu2013"), r"length=9 .* int >= 10; pass at least 10"),
        (lambda: Adding(19, "hochreiter1997"), r"length=19 .* int >= 20; pass at least 20"),
        (lambda: Copy(10.0), r"delay=10.0 is a float; .* int >= 1; pass delay=int"),  # type: ignore
        (lambda: Adding("100"), r"length='100' is a str; .* int >= 2; pass length=int"),  # type: ignore
        (lambda: Copy(True), r"delay=True is a bool; "),
    ]:
        with pytest.raises(TypeError if " is a " in message else ValueError, match=message):
            build()


def test_success():
    for task, solved, unsolved in [  # (loss, accuracy) on either side of each criterion
        (Adding(40, "hochreiter1997"), (1e-4, 1.0), (1e-4, 2559 / 2560)),
        (Adding(40, "arjovsky2016"), (0.0099, 0.3), (0.0101, 1.0)),
        (Adding(40, "bai2018"), (0.0099, 0.3), (0.0101, 1.0)),
        (Adding(40, "pascanu2013"), (0.03, 0.9901), (0.0, 0.99)),
        *((Copy(5, v), (9.0, 0.99), (0.0, 0.9899)) for v in ("arjovsky2016", "bai2018", "s4")),
        *((Copy(5, v), (9.0, 0.9901), (0.0, 0.99)) for v in ("pascanu2013", "martens2011")),
        *(
            (make_task(name, 40), (9.0, 0.9901), (0.0, 0.99))
            for name in ("latch", "parity", "permutation", "continual")
        ),
    ]:
        assert task.success(*solved) is True and task.success(*unsolved) is False
        np.testing.assert_array_equal(task.success(*np.array([solved, unsolved]).T), [True, False])


ENCODE = {  # how the rows of a docstring become inputs
    Copy(5): lambda rows: np.eye(10)[rows["input"].astype(int)],
    Adding(8): lambda rows: np.stack([rows["value"], rows["marker"]], axis=-1),
    Recall(8): lambda rows: np.stack([rows["value"], rows["marker"]], axis=-1),
    Permutation(10): lambda rows: np.eye(100)[rows["input"].astype(int)],
    Latch(10, "schmidhuber2001"): lambda rows: rows["value"][:, None],
    Parity(10): lambda rows: np.eye(2)[rows["input"].astype(int)],
    ModularCounting(10): lambda rows: np.eye(3)[rows["input"].astype(int) + 1],
    AssociativeRecall(12, pairs=2, vocabulary=12): lambda rows: np.eye(12)[rows["input"].astype(int)],
    InductionHeads(10): lambda rows: np.eye(16)[rows["input"].astype(int)],
    Continual(2, "recall", repeats=3): lambda rows: np.stack([rows["value"], rows["marker"]], axis=-1),
}


@pytest.mark.parametrize("task", ENCODE, ids=lambda task: task.name)
def test_docstrings_draw_an_example(task):
    lines = [line.split() for line in str(sys.modules[task.__module__].__doc__).splitlines() if line.startswith("    ")]
    drawn = {words[0]: words[1:] for words in lines if words and words[0] in ("input", "value", "marker", "target")}
    rows = {name: np.array([0.0 if word == "." else float(word) for word in words]) for name, words in drawn.items()}
    outputs = np.asarray(jit(task.oracle)(ENCODE[task](rows).astype(np.float32)))
    assert len(outputs) == task.sequence_length
    asked = np.array([word != "." for word in drawn["target"]])
    answers = outputs[:, 0] if task.out_features == 1 else np.argmax(outputs, axis=-1)
    assert asked.any()
    np.testing.assert_allclose(answers[asked], rows["target"][asked], rtol=1e-6)
