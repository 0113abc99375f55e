"""Pascanu's networks, Omega as a penalty in training, training on several lengths and the test at any other."""

import dataclasses
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from samples import jit

pytest.importorskip("tyro", reason="the experiments need recurrax[experiments]")
pytest.importorskip("matplotlib", reason="the experiments need recurrax[experiments]")

from test_experiments import run

from experiments import lab, length_generalization, pascanu2013, temporal_order
from experiments.pascanu2013 import MixedLengths, accuracies
from recurrax.report import settings
from recurrax.tasks import Adding, TemporalOrder, make_task
from recurrax.training import Plan, Recipe, fit, sgd

RUNS = (temporal_order, length_generalization)
H = 15
TASK = TemporalOrder(10, "pascanu2013")
MIXED = MixedLengths((TASK, TemporalOrder(12, "pascanu2013")))


def numpy_omega(model, examples, activation: str) -> float:
    """The value of the authors' code, RNN.py, line by line in NumPy, over the real steps, without its bound."""
    cell, total, steps = model.layer.cell, 0.0, 0
    V, W, b = (np.asarray(p[...], np.float64)[0] for p in (cell.kernel, cell.recurrent_kernel, cell.bias))
    out, bias = np.asarray(model.head.kernel[...], np.float64), np.asarray(model.head.bias[...], np.float64)
    phi = {"tanh": np.tanh, "sigmoid": lambda a: 1 / (1 + np.exp(-a))}[activation]
    slope = {"tanh": lambda h: 1 - h**2, "sigmoid": lambda h: h * (1 - h)}[activation]
    for inputs, targets, weights in zip(*map(np.asarray, examples[:3]), strict=True):
        length = int(weights.argmax()) + 1
        hs = [np.zeros(len(W))]
        for x in inputs[:length]:
            hs.append(phi(W @ hs[-1] + V @ x + b))
        logits = hs[-1] @ out + bias
        p = np.exp(logits) / np.exp(logits).sum()
        d = out @ (p - np.eye(len(p))[targets[length - 1]])
        for h in hs[:0:-1]:
            before = (d * slope(h)) @ W
            total += ((before**2).sum() / (d**2).sum() - 1) ** 2
            d = before
        steps += length
    return total / steps


@pytest.mark.slow
@pytest.mark.parametrize(("start", "activation"), [("basic tanh", "tanh"), ("sigmoid", "sigmoid")])
def test_omega_is_that_of_the_authors_code(start, activation):
    """On examples of two lengths; a derivative has the recurrent weights alone, and is that of the value in them."""
    model = jax.tree.map(lambda leaf: 4 * leaf, pascanu2013.builder(start, TASK, H)(jax.random.key(1)))
    examples = jax.vmap(MIXED.sample)(jax.random.split(jax.random.key(2), 4))
    assert len(set(np.asarray(examples.weights).argmax(1))) == 2
    value, gradient = jit(jax.value_and_grad(lambda m: pascanu2013.omega(MIXED, m, examples)))(model)
    np.testing.assert_allclose(value, numpy_omega(model, examples, activation), rtol=1e-4)
    assert np.asarray(gradient.layer.cell.recurrent_kernel[...]).any()
    for leaf in (gradient.layer.cell.kernel, gradient.layer.cell.bias, gradient.head.kernel, gradient.head.bias):
        assert not np.asarray(leaf[...]).any()


@pytest.mark.slow
def test_starts_are_the_papers():
    """Deviations of all weights; smart tanh has 15 recurrent weights in each row and spectral radius 0.95."""
    H = 50
    for start, deviation in (("sigmoid", 0.01), ("basic tanh", 0.1), ("smart tanh", 0.01)):
        model: Any = pascanu2013.builder(start, TASK, H)(jax.random.key(0))
        cell = model.layer.cell
        W = np.asarray(cell.recurrent_kernel[...])[0].T  # as h W
        spread = [np.std(np.asarray(leaf[...])) / deviation for leaf in (cell.kernel, model.head.kernel)]
        assert np.abs(np.array(spread) - 1).max() < 0.2
        assert not np.asarray(cell.bias[...]).any() and not np.asarray(model.head.bias[...]).any()
        assert cell.activation_fn is (jax.nn.sigmoid if start == "sigmoid" else jnp.tanh)
        if start == "smart tanh":
            assert ((W != 0).sum(1) == 15).all() and len({tuple(row != 0) for row in W}) > 40
            np.testing.assert_allclose(np.abs(np.linalg.eigvals(W)).max(), 0.95, rtol=1e-4)
        else:
            assert abs(W.std() / deviation - 1) < 0.1


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_a_penalty_is_added_to_the_loss_and_not_reported():
    """One update is the descent of loss + weight penalty, at every swept weight; the loss is that without it."""
    build = pascanu2013.builder("basic tanh", TASK, H)

    def penalty(model, examples, weight=1.0):
        return weight * pascanu2013.omega(TASK, model, examples)

    recipe = Recipe(build, TASK, sgd(0.1), batch_size=3, penalty=penalty)
    run = recipe.start(7, {"weight": jnp.float32(3)})
    after, loss = jit(recipe.step)(run)
    examples = jax.vmap(TASK.sample)(jax.random.split(jax.random.fold_in(run.key, 0), 3))
    plain, slope = jit(jax.value_and_grad(recipe.loss))(run.model, examples)
    extra = jit(jax.grad(lambda m: pascanu2013.omega(TASK, m, examples, 3.0)))(run.model)
    expected = jax.tree.map(lambda p, g, e: p - 0.1 * (g + e), run.model, slope, extra)
    np.testing.assert_allclose(loss, plain, rtol=1e-6)
    for got, wanted in zip(jax.tree.leaves(after.model), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-7)
    history = fit(build, TASK, sgd, Plan(2, 2, 1, 8, (0,), {"weight": (0.0, 5.0)}, devices=1), penalty=penalty)
    assert history.train_loss[0, 0] == history.train_loss[1, 0] and history.train_loss[0, 1] != history.train_loss[1, 1]
    with pytest.raises(ValueError, match="'weigth'"):
        fit(build, TASK, sgd, Plan(sweep={"weigth": (0.0,)}), penalty=penalty)


def test_mixed_lengths_are_examples_of_one_length_or_the_other():
    examples, outputs = jit(jax.vmap(lambda key: ((e := MIXED.sample(key)), MIXED.longest.oracle(e.inputs))))(
        jax.random.split(jax.random.key(0), 4000)
    )
    inputs, _, weights = map(np.asarray, examples[:3])
    ends = weights.argmax(1)
    assert inputs.shape[1:] == (12, 6) and set(ends) == {9, 11}
    assert abs((ends == 9).sum() - 2000) < 5 * np.sqrt(1000)
    assert (inputs.sum(-1) == (np.arange(12) <= ends[:, None])).all()
    scores = jit(jax.vmap(lambda y, e: (MIXED.loss(y, e), MIXED.accuracy(y, e))))(outputs, examples)
    assert scores[0].max() < 1e-6 and scores[1].min() == 1 and MIXED.success(0.0, 1.0)
    assert not MIXED.success(0.0, 1999 / 2000)
    with pytest.raises(ValueError, match="the same but for the length"):
        MixedLengths((TASK, Adding(20)))
    with pytest.raises(ValueError, match="one or more"):
        MixedLengths(())


@pytest.mark.slow
@pytest.mark.parametrize(("name", "network"), [("temporal_order", "LSTM"), ("adding", "basic tanh")])
def test_the_test_at_any_length_is_that_of_all_outputs(monkeypatch, name, network):
    """In batches, of which the last is not full, for two models; adding has lengths that vary."""
    monkeypatch.setattr(pascanu2013, "BATCH", 4)
    task, key = make_task(name, 20, "pascanu2013"), jax.random.key(5)
    models = jax.vmap(pascanu2013.builder(network, task, H))(jax.random.split(jax.random.key(0)))
    found = accuracies(task, models, key, 6)
    examples = jit(jax.vmap(task.sample))(jax.random.split(key, 8)[:6])

    @jit
    @jax.vmap
    def whole(model):
        return jnp.mean(jax.vmap(task.accuracy)(model(examples.inputs), examples))

    np.testing.assert_allclose(found, whole(models), rtol=1e-6)
    assert 0 < float(found.max()) < 1  # the examples are not all alike


def test_acceptance_looks_at_the_longest_length_that_plain_sgd_does_not_solve():
    def record(**solved: tuple[int, ...]) -> dict:
        results = {
            f"basic tanh, {method.replace('_', '-')}, T={10 * (i + 1)}": {"solved_at": [500] * k + [-1] * (5 - k)}
            for method, counts in solved.items()
            for i, k in enumerate(counts)
        }
        return {"config": {"networks": ["basic tanh"]}, "results": results}

    said = temporal_order.acceptance(record(SGD=(5, 1, 0), SGD_CR=(5, 5, 4)), "basic tanh")
    assert "T = 30" in said and "SGD solves 0/5" in said and "Omega 4/5" in said and said.endswith("as published.")
    said = temporal_order.acceptance(record(SGD=(1, 1, 2), SGD_CR=(5, 3, 5)), "basic tanh")
    assert "T = 20" in said and said.endswith("not reproduced in this budget.")
    assert "does not apply" in temporal_order.acceptance(record(SGD=(5, 4, 2), SGD_CR=(5, 5, 5)), "basic tanh")
    assert temporal_order.acceptance(record(SGD=(0,)), "basic tanh") == ""


def test_findings_on_length_tell_the_seeds_that_learned_from_the_others():
    entry = {"solved_at": [500, -1, 700], "wrong": [[0.0, 0.5, 0.0], [0.005, 0.5, 0.0], [0.02, 0.009, 0.0]]}
    config = {"test_lengths": [50, 1000, 5000], "train_lengths": [50, 100]}
    record = {"config": config, "results": {"temporal_order, LSTM": entry}}
    first, said = length_generalization.findings(record)
    assert first.startswith("Trained on at most 100 steps") and first.endswith("is 5000 (LSTM) on temporal order.")
    assert "2/3 [0.09, 0.99] seeds solve the training lengths. At T = 1000, 2/3" in said
    assert "2/2 [0.16, 1.00] of those that solve the training lengths" in said
    assert said.endswith("1% wrong is 5000, and 1/3 seeds make no error at any length.")
    for worst, verdict in ((0.5, "as published."), (0.009, "as published."), (None, "not reproduced in this budget.")):
        wrong = [[0.0], [0.5], [0.5]] if worst is None else [[0.0] * 2, [0.009, worst], [0.5] * 2]
        entry = {"solved_at": [-1] * len(wrong[0]), "wrong": wrong}
        _, said = length_generalization.findings(record | {"results": {"temporal_order, basic tanh": entry}})
        assert said.endswith(verdict)


@pytest.mark.slow
@pytest.mark.parametrize("experiment", RUNS, ids=lambda experiment: experiment.__name__)
def test_a_small_run_leaves_record_page_and_figure(experiment, tmp_path):
    done = run(experiment.__name__.partition(".")[2], "--preset", "smoke", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("*.json")
    record = json.loads(path.read_text())
    assert record["complete"] and path.with_suffix(".png").stat().st_size > 15_000
    assert (
        done.stdout.strip() == lab.document(experiment, record).strip() == path.with_suffix(".md").read_text().strip()
    )
    assert not list((tmp_path / "runs").glob("*"))
    rows = experiment.baseline_rows(record)
    if experiment is length_generalization:
        assert rows == []  # nothing was tested at 1,000 steps
        return
    assert [(row.cell, row.initialization, row.parameters) for row in rows] == 2 * [("RNN", "smart tanh", 394)]
    assert [row.published is None for row in rows] == [True, False]
    assert rows[1].command == (
        "python -m experiments.temporal_order --preset smoke --networks 'smart tanh' --methods SGD-CR --lengths 10"
    )
    assert all(
        value == pytest.approx(100 - 100 * right)
        for value, right in zip(
            rows[0].values, record["results"]["smart tanh, SGD, T=10"]["test_accuracy"], strict=True
        )
    )


def test_the_row_of_length_generalization_is_what_is_wrong_at_1000_steps():
    config = length_generalization.Config()
    entry = {
        "wrong": [[0.5, 0.5]] * 6 + [[0.25, 0.0]] + [[0.5, 0.5]] * 3, "criterion": "well", "parameters": 7,
        "solved_at": [500, -1], "seconds": 1.0, "compile_seconds": 2.0,
    }  # fmt: skip
    results = {"temporal_order, basic tanh": entry, "temporal_order, GRU": entry}
    record = {"name": "length_generalization", "config": settings(config), "results": results}
    plain, gru = length_generalization.baseline_rows(record)
    assert (plain.cell, plain.initialization, plain.values, plain.budget) == ("RNN", "basic tanh", [25, 0], 20_000)
    assert plain.published is not None and gru.published is None and gru.tuned == "not tuned: Adam at 0.001"
    assert gru.command == "python -m experiments.length_generalization --tasks temporal_order --networks GRU"


@pytest.mark.parametrize(
    ("experiment", "flag", "value", "message"),
    [
        *((one, "networks", ("X",), "networks=.* allowed: one or more of") for one in RUNS),
        *((one, "hidden", 14, "hidden=14; allowed: an int >= 15") for one in RUNS),
        *((one, "omega_weight", 0.0, "omega_weight=0.0; allowed: a finite number > 0") for one in RUNS),
        (temporal_order, "lengths", (20, 10), "lengths=.* rising"),
        (temporal_order, "methods", (), "methods=.* one or more"),
        (length_generalization, "test_lengths", (), "test_lengths=.* one or more"),
        (length_generalization, "tested", 0, "tested=0; allowed: an int >= 1"),
    ],
)
def test_bad_settings_are_refused(experiment, flag, value, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(experiment.PRESETS["smoke"], **{flag: value})
