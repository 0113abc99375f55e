"""Rows of the 1997 paper that differ from its text: gradients by hand, errors, changed nets, judges."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from samples import KEYS
from tolerances import close

pytest.importorskip("tyro", reason="the experiments need recurrax[experiments]")
pytest.importorskip("matplotlib", reason="the experiments need recurrax[experiments]")

from experiments.hochreiter1997 import drift, learning, sources, training
from experiments.hochreiter1997.network import Net, Network, Units, weights
from experiments.hochreiter1997.rows import Rule, Setup
from experiments.hochreiter1997.table10 import setups
from recurrax.tasks import EmbeddedReber, Example, TwoSequence

SETUPS = setups()
SHORT = setups(20)
NETS = {
    "4 blocks": Net(4, bound=0.5, biased="gates", output_biased=False),
    "blocks of 2, all biased": Net(2, 2, bound=0.5),
    "outputs see all": Net(2, 2, bound=0.5, outputs_see="all", state_range=2.0),
    "cells see inputs": Net(2, 2, bound=0.5, cells_see="inputs", output="half-linear"),
    "linear": Net(2, bound=0.5, output="linear"),
    "B": Net(1, bound=0.5, biased="none", output_biased=False, kind="B"),
    "B, shut": Net(1, bound=0.5, biased="none", output_biased=False, kind="B", shift=-4.0),
}
T, TASK = 6, EmbeddedReber(9)


def double(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), tree)


def made(net: Net) -> Network:
    network = double(Network(net, TASK, rngs=nnx.Rngs(1)))
    network.one_hot = False  # the inputs of `example` are not
    return network


def example() -> tuple[jax.Array, jax.Array, jax.Array]:
    """Inputs, targets and which steps count: not the last one, and one in the middle does not."""
    rng = np.random.default_rng(0)
    counts = jnp.array([1, 1, 0, 1, 1, 0], bool)
    return jnp.asarray(rng.normal(size=(T, 7))), jnp.asarray(rng.random((T, 7))), counts


def by_library(network: Network, inputs: jax.Array) -> jax.Array:
    """Outputs by the cells of the library, `TruncatedGradient` around them; gates reach the outputs as constants."""
    cell: Any = network.cell
    carry, ys = cell.initialize_carry(inputs.shape[1:]), []
    for x in inputs:
        carry, h = cell(carry, x)
        i, o = (jax.lax.stop_gradient(gate[:: network.net.size]) for gate in (carry[1], carry[-2]))
        ys.append(network.outputs(h, x, Units(i, o, h)))
    return jnp.stack(ys)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", NETS)
def test_the_gradient_by_hand_is_that_of_the_librarys_cell(name, x64):
    network, (inputs, target, counts) = made(NETS[name]), example()

    def error(network: Network) -> tuple[jax.Array, jax.Array]:
        outputs = by_library(network, inputs)
        return jnp.sum(jnp.where(counts[:, None], outputs - target, 0) ** 2) / 2, outputs

    expected, outputs = jax.jit(jax.grad(error, has_aux=True))(network)
    setup = dataclasses.replace(SETUPS["1-264"], net=NETS[name])

    def by_hand(network: Network, counts: Any) -> Any:
        return learning.gradient(network, inputs, lambda y: setup.slopes(y, target, counts), 1.0, T)

    def at_once(network: Network, counts: Any) -> Any:
        return learning.gradient_at(network, inputs, lambda y: setup.slopes(y, target, counts), 1.0, T - 1, 3)

    by_hand = jax.jit(by_hand)
    actual, ys = by_hand(network, counts)
    close(ys, outputs)
    close(jax.tree.leaves(actual), jax.tree.leaves(expected))
    close(jax.jit(lambda network: network(inputs))(network), outputs)
    once = jnp.arange(T) == 3  # an error at one step alone
    actual, ys = jax.jit(at_once)(network, once)
    close(ys[3], outputs[3])
    close(jax.tree.leaves(actual), jax.tree.leaves(by_hand(network, once)[0]))


def test_rows_of_weights_are_what_one_hot_inputs_select(x64):
    """Also at steps without a symbol."""
    inputs, rng = jnp.eye(7)[jnp.array([3, 0, 6, 3, 1])] * jnp.array([1, 1, 1, 1, 0])[:, None], np.random.default_rng(0)
    network, W, values = Network(Net(2), TASK, rngs=nnx.Rngs(0)), rng.random((7, 4)), rng.random((5, 3))
    assert network.one_hot and not Network(Net(2), TwoSequence(40), rngs=nnx.Rngs(0)).one_hot
    close(network.project(inputs, jnp.asarray(W)), inputs @ W)
    close(network.collect(inputs, jnp.asarray(values)), inputs.T @ values)


def stepwise_by_jacobians(network: Network, inputs: Any, target: Any, counts: Any, rate: float) -> Network:
    """An update after each step that counts; what weights have done to the states is kept as a whole Jacobian."""
    cell: Any = network.cell
    (C, *others) = cell.initialize_carry(inputs.shape[1:])
    P = jax.tree.map(lambda leaf: jnp.zeros((*C.shape, *leaf.shape)), network)
    for x, wanted, count in zip(inputs, target, counts, strict=True):

        def error(network: Any, C: Any, others: Any = others, x: Any = x, wanted: Any = wanted) -> Any:
            carry, h = network.cell((C, *others), x)
            i, o = (jax.lax.stop_gradient(gate[:: network.net.size]) for gate in (carry[1], carry[-2]))
            return jnp.sum((network.outputs(h, x, Units(i, o, h)) - wanted) ** 2) / 2, carry

        (here, dC), carry = jax.grad(error, argnums=(0, 1), has_aux=True)(network, C)
        total = jax.tree.map(lambda here, past, dC=dC: here + jnp.tensordot(dC, past, 1), here, P)
        alone = jax.jacrev(lambda network, x=x, C=C, others=others: network.cell((C, *others), x)[0][0])(network)
        P = jax.tree.map(jnp.add, P, alone)
        if count:
            network = jax.tree.map(lambda leaf, slope: leaf - rate * slope, network, total)
        C, *others = carry
    return network


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", ["4 blocks", "outputs see all", "B, shut"])
def test_updates_after_each_step_are_those_of_whole_jacobians(name, x64):
    network, (inputs, target, counts) = made(NETS[name]), example()
    setup = dataclasses.replace(SETUPS["1-264"], net=NETS[name])
    counted = counts.tolist()
    oracle = jax.jit(lambda network, inputs: stepwise_by_jacobians(network, inputs, target, counted, 0.3))

    @jax.jit
    def stepwise(network: Network, inputs: Any, counts: Any) -> Network:
        slopes = lambda t, y: setup.slopes(y, target[t], counts[t])  # noqa: E731
        return learning.learn_stepwise(network, inputs, slopes, 0.3, 1.0, T)[0]

    @jax.jit
    def whole(network: Network, counts: Any) -> Network:
        return learning.gradient(network, inputs, lambda y: setup.slopes(y, target, counts), 1.0, T)[0]

    close(jax.tree.leaves(stepwise(network, inputs, counts)), jax.tree.leaves(oracle(network, inputs)))
    last = jnp.arange(T) == T - 2  # an error at one step alone: one update, that of the sequence
    updated = jax.tree.map(lambda w, slope: w - 0.3 * slope, network, whole(network, last))
    close(jax.tree.leaves(stepwise(network, inputs, last)), jax.tree.leaves(updated))
    network.one_hot = True  # so that rows of weights are read and changed
    inputs = jnp.eye(7)[jnp.arange(T) % 7]
    close(jax.tree.leaves(stepwise(network, inputs, counts)), jax.tree.leaves(oracle(network, inputs)))


@pytest.mark.parametrize("row, base", [("5-whole", "5"), ("2a-shifted", "2a"), ("2b-shifted", "2b")])
def test_the_error_of_equations_16_and_17_doubles_the_first_update(row, base, x64):
    changed = dataclasses.replace(SETUPS[base], error="whole")
    assert SETUPS[row].error == "whole" and SETUPS[base].error == "half" and changed.rate == SETUPS[row].rate
    network, (inputs, target, counts) = made(NETS["linear"]), example()
    one, two = (
        learning.gradient(network, inputs, lambda y, s=s: s.slopes(y, target, counts), 1.0, T)[0]
        for s in (SETUPS[base], changed)
    )
    close(jax.tree.leaves(two), [2 * leaf for leaf in jax.tree.leaves(one)])


def test_the_direct_error_leaves_the_slope_of_the_output_out():
    y, target = jnp.array([[0.2, 0.9]]), jnp.array([[1.0, 0.5]])
    np.testing.assert_allclose(SETUPS["6b-direct"].slopes(y, target, jnp.array([True])), [[-0.8, 0.4]], rtol=1e-6)
    np.testing.assert_allclose(SETUPS["6b"].slopes(y, target, jnp.array([True])), [[-0.128, 0.036]], rtol=1e-5)
    assert not SETUPS["6b"].slopes(y, target, jnp.array([False])).any()


def test_half_linear_units_have_half_at_rest_and_a_quarter_as_slope():
    net = SETUPS["4-half-linear"].net
    a = jnp.array([-4.0, 0.0, 1.0, 4.0])
    np.testing.assert_allclose(net.squash(a), [-0.5, 0.5, 0.75, 1.5])
    np.testing.assert_allclose(net.slope(net.squash(a)), jax.vmap(jax.grad(net.squash))(a))


@pytest.mark.usefixtures("quick")
def test_a_shift_shuts_input_gates_and_is_never_trained():
    setup = SHORT["2a-shifted"]
    network = Network(setup.net, setup.task, rngs=nnx.Rngs(0))
    assert weights(network) == weights(Network(SHORT["2a"].net, setup.task, rngs=nnx.Rngs(0)))
    ex = setup.task.sample(KEYS[0])
    target = jax.nn.one_hot(ex.targets, setup.task.out_features)
    learn = jax.jit(lambda network: learning.gradient(network, ex.inputs, lambda y: y - target, 1.0, len(target))[0])
    for _ in range(2):
        network: Any = jax.tree.map(lambda leaf, slope: leaf - slope, network, learn(network))
    carry = network.cell.initialize_carry(ex.inputs.shape[1:])
    gate = jax.jit(network.cell.cell.gates)(carry, jnp.zeros(ex.inputs.shape[1]))
    np.testing.assert_allclose(gate.i, 1 / (1 + np.exp(4)), rtol=1e-6)  # with an input that no weight sees


@pytest.mark.usefixtures("quick")
def test_no_error_flows_from_outputs_into_gates(x64):
    """Weights from gates to outputs change what outputs learn, but no hidden unit's gradient."""
    network, (inputs, target, counts) = made(NETS["outputs see all"]), example()
    H, D = network.net.hidden, 7
    assert network.kernel.shape[0] == H + D + 2 * network.net.blocks + 1
    e = jnp.where(counts[:, None], target, 0)
    found = learning.gradient(network, inputs, lambda y: e, 1.0, T)[0]
    blind = jax.tree.map(lambda leaf: leaf, network)
    blind.kernel = nnx.Param(network.kernel[...].at[H + D :].set(0))
    without = learning.gradient(blind, inputs, lambda y: e, 1.0, T)[0]
    close(jax.tree.leaves(found.cell), jax.tree.leaves(without.cell))
    assert np.abs(network(inputs) - blind(inputs)).max() > 0.01


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("row", ["2c-50-inputs", "6b-inputs"])
def test_cells_that_see_inputs_alone_do_not_see_the_last_step(row):
    setup = SHORT[row]
    cell: Any = Network(setup.net, setup.task, rngs=nnx.Rngs(0)).cell
    x = setup.task.sample(KEYS[0]).inputs[0]
    start = cell.initialize_carry(x.shape)
    gates = jax.jit(cell.gates)
    before, after = (gates(carry, x) for carry in (start, jax.tree.map(jnp.ones_like, start)))
    np.testing.assert_array_equal(before.c_tilde, after.c_tilde)
    assert (before.i != after.i).all() and (before.o != after.o).all()


JUDGED = {(str(setup.task), setup.judge): setup for setup in SHORT.values()}


@pytest.mark.parametrize(
    "setup", JUDGED.values(), ids=[f"{type(s.task).__name__}-{s.judge.at}" for s in JUDGED.values()]
)
def test_a_net_that_diverged_answers_nothing_right_and_meets_no_rule(setup: Setup):
    """One output that is not a number, at the last step that counts; also outputs that never are one."""
    drawn = setup.task.sample(KEYS[0])
    last = len(drawn.weights) - 1 - int(np.argmax(np.asarray(drawn.weights)[::-1] > 0))
    right = (
        setup.task.oracle(drawn.inputs)
        if drawn.targets.ndim > 1
        else jax.nn.one_hot(drawn.targets, setup.task.out_features)
    )
    for outputs in (right.at[last, 0].set(jnp.nan), jnp.full_like(right, jnp.nan)):
        wrong, error = setup.judge(setup.task, outputs, drawn)
        assert wrong == 1 and np.isnan(error)
        for rule in setup.rules:
            assert not rule.met(jnp.float32(0), error) and not rule.met(wrong * 2000, jnp.float32(0))


def test_no_rule_is_met_by_a_number_that_is_none():
    for rule in {rule for setup in SETUPS.values() for rule in setup.rules}:
        assert not rule.met(jnp.float32(0), jnp.float32(jnp.nan)) and not rule.met(jnp.float32(jnp.nan), jnp.float32(0))
        assert rule.met(jnp.float32(0), jnp.float32(0))


def test_trials_that_stopped_are_taken_out_and_put_back():
    trial = training.Trial(*(jnp.arange(4.0) for _ in range(7)), jnp.array([[1], [-1], [5], [9]]), jnp.arange(4.0))
    all_, left, running = training.narrowed(trial, np.arange(4), trial)
    assert left.tolist() == [1] and running.key.tolist() == [1]
    assert training.narrowed(trial, np.arange(2), jax.tree.map(lambda leaf: leaf[:2], trial))[1].tolist() == [1]
    moved = jax.tree.map(lambda leaf: leaf + 10, running)
    assert training.put(all_, left, moved).key.tolist() == [0, 11, 2, 3]


def strings() -> Example:
    """Some strings, with a T or a P."""
    return jax.vmap(EmbeddedReber(30).sample)(KEYS[:40])


@pytest.mark.usefixtures("quick")
def test_what_cells_do_is_what_a_loop_over_strings_finds():
    setup = dataclasses.replace(SETUPS["1-276-wide-0.5"], task=EmbeddedReber(30))
    network, drawn = Network(setup.net, setup.task, rngs=nnx.Rngs(2)), strings()
    found = jax.jit(lambda network: drift.cells(setup, network, drawn))(network)
    cell, gates, ends, first = network.cell, [], [], []
    step = jax.jit(lambda carry, x: cell(carry, x)[0])
    for inputs, w in zip(drawn.inputs, drawn.weights, strict=True):
        carry, length = cell.initialize_carry((7,)), int(w.sum())
        for t in range(length):
            carry = step(carry, inputs[t])
            gates.append(carry[1])
            if t == length - 2:
                ends.append(np.asarray(carry[0]))
        first.append(float(inputs[1, drift.T]))
    h = np.tanh(np.array(ends) / 2)
    np.testing.assert_allclose(found["gate"], np.mean(gates, axis=0), rtol=1e-4)
    np.testing.assert_allclose(found["state"], np.abs(ends).mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(found["slope"], (1 - h**2).mean(axis=0), rtol=1e-4)
    expected = [np.corrcoef(column, first)[0, 1] ** 2 for column in h.T]
    np.testing.assert_allclose(found["keeps"], expected, rtol=1e-3, atol=1e-5)


def test_a_rule_on_a_test_needs_no_window():
    assert Rule(test=256).met(jnp.float32(0), jnp.float32(5)) and not Rule(test=256).met(jnp.float32(1), jnp.float32(0))


def test_sets_give_all_strings_block_by_block():
    drawn = sources.sets(EmbeddedReber(30), 1, 5)
    one = jax.tree.map(lambda leaf: leaf[0], drawn)
    blocks = [one.batch(EmbeddedReber(30), KEYS[0], jnp.int32(first), 128).inputs for first in range(0, 512, 128)]
    np.testing.assert_array_equal(np.concatenate(blocks), one.strings.inputs)
