"""Hochreiter & Schmidhuber's experiments: nets, sequences, stop rules, and the command."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from samples import KEYS, drawn, z_scores

pytest.importorskip("tyro", reason="the experiments need recurrax[experiments]")
pytest.importorskip("matplotlib", reason="the experiments need recurrax[experiments]")

from experiments import baseline, hochreiter1997, lab
from experiments.hochreiter1997 import learning, sources, training
from experiments.hochreiter1997.network import Net, Network, weights
from experiments.hochreiter1997.published import PUBLISHED
from experiments.hochreiter1997.rows import WINDOW, Judge, Rule
from experiments.hochreiter1997.table10 import setups
from recurrax.tasks import EmbeddedReber, Example, TemporalOrder, TimeLag, TwoSequence, make_task

SETUPS = setups()
WEIGHTS = {  # the paper's
    "1-264": 264, "1-276": 276, "2a": 10_504, "2b": 10_504, "2c-50": 364, "2c-100": 664, "2c-200": 1264,
    "2c-1000-1000": 6064, "2c-1000-50": 364, "3a-3": 102, "3b-1": 102, "3c-3": 102, "4": 93, "5": 93, "6a": 156,
    "6b": 308, "2c-50-inputs": 352, "1-264-wide": 369,
}  # fmt: skip


@pytest.mark.parametrize("row", SETUPS)
def test_nets_have_the_weights_of_the_paper(row):
    setup = SETUPS[row]
    network = jax.eval_shape(lambda: Network(setup.net, setup.task, rngs=nnx.Rngs(0)))
    assert weights(network) == PUBLISHED[row].weights == WEIGHTS.get(row, PUBLISHED[row].weights)
    assert len(setup.rules) == len(PUBLISHED[row].sequences) == len(PUBLISHED[row].rules)


def test_one_distractor_task_more_has_the_papers_weights():
    setup = SETUPS["2c-100"]  # (500, 500) of Table 4
    network = jax.eval_shape(lambda: Network(setup.net, TimeLag(500, "hochreiter1997-2c", 500), rngs=nnx.Rngs(0)))
    assert weights(network) == 3064


GRAMMAR = {  # Reber's, by state: symbol and next state; written from figure 3, not from the code
    1: {"T": 2, "P": 3}, 2: {"S": 2, "X": 4}, 3: {"T": 3, "V": 5}, 4: {"X": 3, "S": 6}, 5: {"P": 4, "V": 6},
    6: {"E": 7},
}  # fmt: skip


def legal(string: str) -> bool:
    """Whether an embedded string is one: B, T or P, a string of Reber's, the same T or P, E."""
    if string[0] != "B" or string[1] not in "TP" or string[-2:] != string[1] + "E" or string[2] != "B":
        return False
    state = 1
    for symbol in string[3:-2]:
        state = GRAMMAR.get(state, {}).get(symbol)
        if state is None:
            return False
    return state == 7


def test_strings_are_legal_branch_evenly_and_the_two_sets_share_none():
    task, symbols = EmbeddedReber(50), np.array(list("BTPSXVE"))
    drawn_sets = sources.strings(task, jax.random.key(3))
    strings = []
    for inputs, targets, w in zip(*drawn_sets[:3], strict=True):
        steps = w > 0
        text = "".join(symbols[inputs[steps].argmax(-1)]) + symbols[targets[steps][-1]]
        assert "".join(symbols[targets[steps]]) == text[1:]
        strings.append(text)
    whole = [text for text in strings if len(text) < 51]
    assert len(strings) == 512 and len(whole) > 500 and all(map(legal, whole))
    assert min(map(len, whole)) == 9
    assert not set(strings[:256]) & set(strings[256:])
    assert 0.35 < np.mean([text[1] == "T" for text in strings[:256]]) < 0.65


def test_random_lags_are_geometric_and_end_with_the_trigger():
    task = TimeLag(10, "hochreiter1997-2c")
    inputs, targets, w, *_ = drawn(make_task("time_lag", 10, "hochreiter1997-2c"))[0]
    symbols, ends = inputs.argmax(-1), w.argmax(-1)
    x = task.in_features - 2
    assert (symbols[:, 0] == x - 1).all() and np.isin(symbols[:, 1], (x, x + 1)).all()  # b, then x or y
    assert (np.take_along_axis(symbols, ends[:, None], 1)[:, 0] == x - 2).all()  # e
    assert (targets[np.arange(len(ends)), ends] == symbols[:, 1] - x).all()
    for row, end in zip(symbols[:50], ends[:50], strict=True):
        assert (row[2:end] < task.in_features - 4).all()
    k = ends - task.lag - 2
    assert k.min() == 0
    assert np.abs(z_scores([(k == j).sum() for j in range(5)], [0.1 * 0.9**j for j in range(5)])).max() < 5
    assert abs((ends + 2).mean() - (task.lag + 4 + 9)) < 5 * 9.5 / np.sqrt(len(ends))  # E[len] = q + 14 with its last


@pytest.mark.parametrize(("variant", "noisy"), [("hochreiter1997-3a", False), ("hochreiter1997-3b", True)])
def test_two_sequences_have_variances_and_not_deviations_of_a_fifth(variant, noisy):
    inputs, targets, w, *_ = drawn(make_task("two_sequence", 40, variant))[0]
    ends = w.argmax(-1)
    assert set(np.unique(ends + 1)) == set(range(40, 45))
    first, later, answer = inputs[:, :3, 0], inputs[:, 3:40, 0], targets.sum((1, 2))
    sign = 2 * answer - 1
    assert set(np.unique(answer)) == {0, 1}
    assert abs(later.var() - 0.2) < 5 * 0.2 * np.sqrt(2 / later.size)
    about = first - sign[:, None]
    assert abs(about.var() - (0.2 if noisy else 0)) < 5 * 0.2 * np.sqrt(2 / about.size) if noisy else not about.any()


def test_noisy_targets_have_a_variance_of_a_tenth():
    inputs, targets, _, *_ = drawn(make_task("two_sequence", 40, "hochreiter1997-3c"))[0]
    noise = targets.sum((1, 2)) - np.where(inputs[:, 0, 0] > 0, 0.2, 0.8)
    assert abs(noise.mean()) < 5 * np.sqrt(0.1 / len(noise))
    assert abs(noise.var() - 0.1) < 5 * 0.1 * np.sqrt(2 / len(noise))


@pytest.mark.parametrize("symbols", [2, 3])
def test_orders_stand_where_the_paper_puts_them(symbols):
    task = TemporalOrder(100, "hochreiter1997", symbols)
    inputs, targets, w, *_ = jax.device_get(jax.jit(jax.vmap(task.sample))(KEYS[:3000]))
    ends, names = w.argmax(-1), inputs.argmax(-1)
    assert inputs.shape[-1] == 8 and set(np.unique(ends + 1)) == set(range(100, 111))
    first, last = names[:, 0], np.take_along_axis(names, ends[:, None], 1)[:, 0]
    assert len(set(first)) == len(set(last)) == 1 and first[0] != last[0]  # E and B
    kinds = [kind for kind in range(8) if kind not in (first[0], last[0])]
    counts = [(names == kind)[:, 1:99].sum() for kind in kinds]
    x, y = (kind for kind, _ in sorted(zip(kinds, counts, strict=True), key=lambda pair: pair[1])[:2])
    marked = (names == x) | (names == y)
    marked &= np.arange(names.shape[1]) < ends[:, None]
    assert (marked.sum(1) == symbols).all()
    at = np.sort(np.argsort(~marked, axis=1, kind="stable")[:, :symbols], axis=1)
    bounds = {2: [(10, 20), (50, 60)], 3: [(10, 20), (33, 43), (66, 76)]}[symbols]
    for places, (low, high) in zip(at.T, bounds, strict=True):
        assert set(np.unique(places)) == set(range(low, high + 1))
    codes = (np.take_along_axis(names, at, 1) == max(x, y)) @ (2 ** np.arange(symbols)[::-1])
    assert (
        len({(code, target) for code, target in zip(codes, targets[np.arange(3000), ends], strict=True)}) == 2**symbols
    )


@dataclasses.dataclass(frozen=True)
class Stream:
    """A setup whose judgements are given, so that stop rules alone are tested."""

    rules: tuple[Rule, ...]
    chunk: int = 250


def test_rules_on_the_last_sequences_are_those_of_plain_python(monkeypatch):
    rng = np.random.default_rng(0)
    wrong = (rng.random(6000) < np.linspace(0.02, -0.01, 6000)).astype(np.float32)
    error = rng.random(6000).astype(np.float32) * np.linspace(0.4, 0.1, 6000, dtype=np.float32)
    loose, tight = Rule(wrong=5), Rule(wrong=2, error=0.085)
    expected = [
        next((t for t in range(1, 6001) if t >= WINDOW and wrong[t - WINDOW : t].sum() < rule.wrong
              and error[t - WINDOW : t].mean() < rule.error), -1)
        for rule in (loose, tight)
    ]  # fmt: skip
    assert WINDOW < expected[0] < expected[1] < 6000
    seen = jnp.stack([jnp.asarray(wrong), jnp.asarray(error)], axis=1)
    monkeypatch.setattr(training, "update", lambda setup, trial, t: (trial, seen[t], jnp.float32(0)))
    many: Any = lambda tree: jax.tree.map(lambda leaf: leaf[None], tree)  # noqa: E731  # one trial
    setup: Any = Stream((loose, tight))
    nothing = jnp.zeros(1)
    trial = training.Trial(
        nothing, (), None, jax.random.key(0), jnp.int32(0), jnp.ones((2, WINDOW)), jnp.float32(jnp.inf),
        jnp.full(2, -1, jnp.int32), jnp.zeros((2, 1)),
    )  # fmt: skip
    trial = many(trial)
    advance = jax.jit(lambda trial, begin: training.chunk(setup, trial, begin))
    for begin in range(0, 6000, setup.chunk):
        trial, _ = advance(trial, begin)
    np.testing.assert_allclose(trial.met[0], expected, atol=1)  # the running sum of errors rounds


@pytest.mark.slow
def test_a_trial_that_stopped_makes_no_more_updates():
    easy = dataclasses.replace(
        SETUPS["6a"], task=TemporalOrder(20, "hochreiter1997"), rules=(Rule(wrong=WINDOW + 1),), chunk=3, trials=1
    )
    trial = jax.vmap(lambda k: training.start(easy, sources.Fresh(k), jax.random.key(0)))(jnp.arange(1))
    advance = jax.jit(lambda trial, begin: training.chunk(easy, trial, begin)[0])
    first = advance(trial, 0)
    assert first.met[0, 0] == 1  # whatever comes is below the limit
    later = advance(first, 3)
    jax.tree.map(np.testing.assert_array_equal, first.network, later.network)
    kept = jax.tree.map(lambda leaf: leaf[:, 0], later.kept)
    jax.tree.map(np.testing.assert_array_equal, kept, later.network)
    assert any((a != b).any() for a, b in zip(*map(jax.tree.leaves, (trial.network, first.network)), strict=True))


def test_a_judge_takes_each_output_and_the_end_alone_where_it_says_so():
    task = TimeLag(3, "hochreiter1997-2b")
    example = Example(jnp.zeros((3, 4)), jnp.array([0, 1, 2]), jnp.ones(3))
    outputs = jax.nn.one_hot(example.targets, 4).at[0, 3].add(0.3)
    wrong, error = Judge(0.25)(task, outputs, example)
    assert wrong == 1 and error == pytest.approx(0.3 / 12)
    wrong, error = Judge(0.25, at="end")(task, outputs, example)
    assert wrong == 0 and error == 0
    assert Judge(0.25)(task, jnp.full_like(outputs, jnp.nan), example)[0] == 1  # a net that diverged is wrong


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_the_gradient_of_the_papers_net_is_cut_and_that_of_the_exact_one_is_not():
    """In the truncated net recurrent weights learn of one step, so gradients differ; outputs do not."""
    task = TwoSequence(10)
    example = task.sample(KEYS[0])
    cut, exact = (Network(Net(2, truncated=cut), task, rngs=nnx.Rngs(0)) for cut in (True, False))
    np.testing.assert_allclose(cut(example.inputs), exact(example.inputs), rtol=1e-5)
    slope = jax.jit(jax.grad(lambda network: jnp.sum(network(example.inputs) ** 2) / 2))
    b = slope(exact)
    a, _ = learning.gradient(cut, example.inputs, lambda y: y * cut.net.slope(y), 1.0, len(example.inputs))
    a, b = ([np.asarray(leaf) for leaf in jax.tree.leaves(gradient)] for gradient in (a, b))
    assert any(np.abs(x - y).max() > 1e-7 for x, y in zip(a, b, strict=True))


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_a_small_run_counts_unsolved_trials_and_joins_the_baseline_table(tmp_path):
    smoke = hochreiter1997.PRESETS["smoke"]
    config = dataclasses.replace(smoke, rows=("4-logistic", "3a-1-guess"), out=tmp_path)
    record = lab.measure("hochreiter1997", config, hochreiter1997.parts(config))
    text = lab.publish(hochreiter1997, record, tmp_path)
    assert record["complete"] and next(tmp_path.glob("*.png")).stat().st_size > 20_000
    assert "0/2" in text and "not reproduced" in text and "74,000" in text
    (row,) = hochreiter1997.baseline_rows(record)
    assert row.solved_at == [-1, -1] and row.unit == "sequences" and row.parameters == 93
    assert "--rows 4-logistic" in row.command and "> 20" in baseline.table([row])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rows": ("7",)}, "allowed: one or more, all different, of 1-264"),
        ({"rows": ()}, "allowed: one or more, all different. Change --rows"),
        ({"trials": 0}, "trials=0; allowed: "),
        ({"length": 5}, "length=5; allowed: an int >= 20"),
    ],
)
def test_bad_settings_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        hochreiter1997.Config(**options)
