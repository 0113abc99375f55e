"""Encoder, attention and decoder: by hand, under masks, and what searches find beside all sequences there are."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import recurrax as rx
from recurrax import datasets, tasks, training
from recurrax.layers import RNN, AdditiveAttention, EncoderDecoder, beam_search, greedy

pytestmark = pytest.mark.usefixtures("quick")
V = 3  # tokens of the target; 0 ends it


def model(attention=True, bidirectional=True, dropout=0.0, cell=rx.LSTM, seed=0, scale=1.0):
    rngs = nnx.Rngs(seed)
    encoder = cell(4, 5, bidirectional=bidirectional, rngs=rngs)
    made = EncoderDecoder(encoder, cell(3, 6, rngs=rngs), 7, V, attention=attention, dropout=dropout, rngs=rngs)
    made.head.kernel[...] = scale * made.head.kernel[...]
    return made


def tokens(*shape, most=7, seed=0):
    return jnp.asarray(np.random.RandomState(seed).randint(most, size=shape))


def test_attention_by_hand():
    layer = AdditiveAttention(2, 3, 4, rngs=nnx.Rngs(0))
    q, m = (jax.random.normal(jax.random.key(k), s) for k, s in ((0, (5, 2)), (1, (6, 3))))
    read, weights = layer(q, m)
    for t in range(5):
        hidden = jnp.tanh(q[t] @ layer.query.kernel + layer.query.bias + m @ layer.memory.kernel)
        alpha = jax.nn.softmax((hidden @ layer.score.kernel)[:, 0])
        np.testing.assert_allclose(weights[t], alpha, rtol=1e-5)
        np.testing.assert_allclose(read[t], alpha @ m, rtol=1e-4, atol=1e-6)


def test_what_the_mask_hides_from_attention_reaches_neither_values_nor_gradients():
    layer = AdditiveAttention(2, 3, 4, rngs=nnx.Rngs(0))
    q, m = (jax.random.normal(jax.random.key(k), (1, *s)) for k, s in ((0, (5, 2)), (1, (6, 3))))
    mask = jnp.arange(6)[None] < 4
    spoilt = m.at[:, 4:].set(jnp.nan)

    def loss(layer, m, mask):
        return jnp.sum(layer(q, m, mask)[0] ** 2)

    value, gradient = jax.value_and_grad(loss)(layer, m[:, :4], None)
    other, its_gradient = jax.value_and_grad(loss)(layer, spoilt, mask)
    np.testing.assert_allclose(value, other, rtol=1e-5)
    for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(its_gradient), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert not np.any(layer(q, spoilt, mask)[1][..., 4:])
    with pytest.raises(ValueError, match=r"mask has shape \(1, 5\)"):
        layer(q, m, jnp.ones((1, 5), bool))


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("cell", [rx.LSTM, rx.GRU])
def test_padding_has_no_effect(attention, bidirectional, cell):
    made = model(attention, bidirectional, cell=cell)
    source, previous, lengths = tokens(3, 6), tokens(3, 4, most=V), jnp.array([6, 3, 1])
    whole = made((source.at[1, 3:].set(99), previous), seq_lengths=lengths)
    for row, length in enumerate(lengths):
        alone = made((source[row : row + 1, :length], previous[row : row + 1]))[0]
        np.testing.assert_allclose(whole[row], alone, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(made((source[0], previous[0])), whole[0], rtol=1e-4, atol=1e-5)  # no batch axis


@pytest.mark.parametrize("attention", [True, False])
def test_steps_give_what_a_call_gives(attention):
    made = model(attention)
    source, previous, lengths = tokens(3, 6), tokens(3, 4, most=V), jnp.array([6, 3, 1])
    carry, memory = made.encode(source, lengths)
    logits = []
    for t in range(4):
        carry, found = made.step(carry, previous[:, t], memory)
        logits.append(found)
    whole = made((source, previous), seq_lengths=lengths)
    np.testing.assert_allclose(jnp.stack(logits, axis=1), whole, rtol=1e-4, atol=1e-5)


def test_the_decoder_hears_the_end_of_both_directions():
    made = model(attention=False)
    previous = jnp.zeros((1, 1), int)
    base = made((tokens(1, 6), previous))
    for place in (0, 5):
        changed = tokens(1, 6).at[0, place].add(1) % 7
        assert np.abs(made((changed, previous)) - base).max() > 1e-4


def test_dropout_needs_a_key_and_differs_by_it():
    made = model(dropout=0.5)
    inputs = tokens(2, 6), tokens(2, 4, most=V)
    np.testing.assert_array_equal(made(inputs), made(inputs))
    one, other = (made(inputs, dropout_key=jax.random.key(k)) for k in (0, 1))
    assert np.abs(one - other).max() > 1e-3
    plain = model(dropout=0.0)
    np.testing.assert_allclose(plain(inputs), plain(inputs, dropout_key=jax.random.key(0)))


def test_alignment_looks_at_steps_that_exist():
    made = model()
    found = made.alignment(tokens(2, 6), tokens(2, 4, most=V), jnp.array([6, 2]))
    assert found.shape == (2, 4, 6) and not np.any(found[1, :, 2:])
    np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-5)
    with pytest.raises(ValueError, match="no attention"):
        model(attention=False).alignment(tokens(2, 6), tokens(2, 4, most=V))


def log_probability(made, source, target):
    """Of a target, its end included."""
    previous = jnp.asarray([0, *target[:-1]])
    logits = jax.nn.log_softmax(made((source, previous)), axis=-1)
    return float(logits[jnp.arange(len(target)), jnp.asarray(target)].sum())


def every_target(steps):
    """All that can be written in so many steps: sequences that end, and those that are cut off."""
    for length in range(1, steps + 1):
        for found in itertools.product(range(1, V), repeat=length - 1):
            yield (*found, 0)
    yield from itertools.product(range(1, V), repeat=steps)


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_wide_beams_find_the_best_of_all_sequences(penalty):
    made, source = model(scale=6.0), tokens(6, seed=1)
    scores = {target: log_probability(made, source, target) / len(target) ** penalty for target in every_target(3)}
    ranked = sorted(scores, key=lambda target: -scores[target])
    found, values = beam_search(made, source, 3, 0, beams=30, length_penalty=penalty)
    for place in range(3):
        assert tuple(int(t) for t in found[place])[: len(ranked[place])] == ranked[place]
        np.testing.assert_allclose(values[place], scores[ranked[place]], rtol=1e-4)


@pytest.mark.parametrize("attention", [True, False])
def test_one_beam_is_greedy(attention):
    made, source, lengths = model(attention, scale=6.0), tokens(16, 6, seed=2), jnp.arange(16) % 6 + 1
    written = greedy(made, source, 5, 0, seq_lengths=lengths)
    found, _ = beam_search(made, source, 5, 0, beams=1, seq_lengths=lengths)
    np.testing.assert_array_equal(written, found[:, 0])
    after = np.cumsum(np.asarray(written) == 0, axis=1) > 1
    assert not np.any(np.asarray(written)[after])
    better, scores = beam_search(made, source, 5, 0, beams=4, seq_lengths=lengths)
    assert better.shape == (16, 4, 5) and np.all(np.diff(scores, axis=1) <= 0)


def test_errors_name_the_fix():
    made, rngs = model(), nnx.Rngs(0)
    with pytest.raises(ValueError, match=r"source tokens from 9 to 9 .* allowed: 0 to 6"):
        made((jnp.array([[1, 9]]), jnp.array([[0]])))
    with pytest.raises(ValueError, match="target tokens from 3 to 3"):
        made((jnp.array([[1, 2]]), jnp.array([[3]])))
    with pytest.raises(TypeError, match="source tokens have dtype float32"):
        made((jnp.ones((1, 2)), jnp.array([[0]])))
    with pytest.raises(ValueError, match="writes one token at a time"):
        EncoderDecoder(rx.LSTM(2, 3, rngs=rngs), rx.LSTM(2, 3, bidirectional=True, rngs=rngs), 4, 4, rngs=rngs)
    with pytest.raises(TypeError, match="the encoder is a LSTMCell"):
        EncoderDecoder(rx.LSTMCell(2, 3, rngs=rngs), rx.LSTM(2, 3, rngs=rngs), 4, 4, rngs=rngs)  # type: ignore
    both = rx.Bidirectional(*(RNN(rx.GRUCell(2, 3, rngs=rngs)) for _ in range(2)), merge_fn=jnp.add)
    with pytest.raises(ValueError, match="merges its directions"):
        EncoderDecoder(both, rx.LSTM(2, 3, rngs=rngs), 4, 4, rngs=rngs)
    with pytest.raises(ValueError, match="end=3"):
        greedy(made, tokens(6), 5, 3)
    with pytest.raises(ValueError, match="beams=0"):
        beam_search(made, tokens(6), 5, 0, beams=0)
    with pytest.raises(TypeError, match="got SequenceModel"):
        greedy(rx.SequenceModel(rx.LSTM(2, 3, rngs=rngs), 4, rngs=rngs), tokens(6), 5, 0)  # type: ignore


def copying(count=400):
    """Sources of two to five tokens, which are to be written backwards."""
    random = np.random.RandomState(0)
    sources = [random.randint(1, 5, size=random.randint(2, 6)) for _ in range(count)]
    return datasets.Arrays.padded(sources, [[*source[::-1], 0] for source in sources])


def test_the_task_shifts_targets_and_counts_no_padding():
    arrays = copying(20)
    task = tasks.SequenceToSequence(arrays.split(), end=0)
    example = task.example("test", jnp.asarray(1))
    source, previous = example.inputs
    np.testing.assert_array_equal(previous, np.r_[0, example.targets[:-1]])
    length = int(example.lengths)
    assert example.weights.sum() == length + 1 and np.array_equal(example.targets[:length], source[:length][::-1])
    logits = jnp.where(jnp.arange(len(example.targets))[:, None] > length, jnp.nan, jnp.zeros((len(previous), 5)))
    np.testing.assert_allclose(task.loss(logits, example), np.log(5), rtol=1e-6)
    assert task.source_vocabulary == task.out_features == 5


def test_a_program_that_is_traced_may_be_the_first_to_ask_for_a_size():
    data = copying().split()
    known = tasks.SequenceToSequence(data, end=0)
    found = {}

    def ask(x: jax.Array) -> jax.Array:
        task = tasks.SequenceToSequence(data, end=0)
        found.update(source=task.source_vocabulary, target=task.out_features)
        return x

    jax.jit(ask)(jnp.zeros(()))
    assert found == {"source": known.source_vocabulary, "target": known.out_features}


def test_the_task_refuses_what_it_cannot_use():
    arrays = copying(20)
    with pytest.raises(ValueError, match="ends in the token 0; allowed: end=1"):
        tasks.SequenceToSequence(arrays.split(), end=1)
    with pytest.raises(TypeError, match="token numbers"):
        tasks.SequenceToSequence(datasets.Arrays(np.ones((9, 4, 2)), np.ones((9, 4), int)).split())


@pytest.mark.parametrize("longer", ["sources", "targets"])
def test_pairs_in_batches_by_length_have_the_same_loss_and_are_all_there(longer):
    random = np.random.RandomState(0)
    sizes = random.randint(1, 7, 30)
    others = sizes + random.randint(0, 4, 30)
    short, long = ([random.randint(1, 3, size=n) for n in lengths] for lengths in (sizes, others))
    sources, targets = (long, short) if longer == "sources" else (short, long)
    arrays = datasets.Arrays.padded(sources, [[*target, 0] for target in targets])
    whole = tasks.SequenceToSequence(arrays.split((0.6, 0.2, 0.2)), end=0)
    task = tasks.Bucketed(whole, batch_size=3, shapes=3)
    padded, seen = jax.tree.map(np.asarray, whole.examples("train")), []
    logits = random.normal(size=(18, padded.targets.shape[1], 3)).astype(np.float32)
    expected = jax.vmap(whole.loss)(logits, padded)
    for step in range(task.buckets.epoch):
        numbers, length = task.buckets.place(step)
        batch = task.batches(step)
        for found, full in zip(jax.tree.leaves(batch._replace(lengths=None)), jax.tree.leaves(padded), strict=False):
            np.testing.assert_array_equal(found, full[numbers, :length])
            assert found.shape[1] == min(length, full.shape[1]) and not full[numbers, length:].any()
        np.testing.assert_array_equal(batch.lengths, padded.lengths[numbers])
        found = jax.vmap(task.loss)(logits[numbers, :length], jax.tree.map(jnp.asarray, batch))
        np.testing.assert_allclose(found, expected[numbers], rtol=1e-5)
        seen += numbers.tolist()
    assert set(seen) == set(range(18)) and len(task.buckets.lengths) == 3


def test_pairs_in_batches_by_length_need_lengths():
    arrays = datasets.Arrays(np.ones((9, 3), int), np.zeros((9, 2), int))
    with pytest.raises(ValueError, match="have no lengths"):
        tasks.Bucketed(tasks.SequenceToSequence(arrays.split(), end=0), batch_size=2)


def test_it_learns_to_write_backwards():
    task = tasks.SequenceToSequence(copying().split(), end=0)

    def build(key):
        rngs = nnx.Rngs(key)
        return EncoderDecoder(rx.GRU(8, 24, bidirectional=True, rngs=rngs), rx.GRU(8, 24, rngs=rngs), 5, 5, rngs=rngs)

    plan = training.Plan(steps=200, batch_size=32, chunk=100, held_out=60, seeds=(0,))
    history = training.fit(build, task, training.adam(1e-2, 1.0), plan)
    assert history.test_accuracy[0] > 0.9
    test = task.data.test
    written = greedy(history.best(), test.inputs, 6, 0, seq_lengths=test.lengths)
    assert np.mean(np.all(np.asarray(written) == np.asarray(test.targets), axis=1)) > 0.6
