"""Sound and its transcription: log-mel features, the CTC task, and what the best path says."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import recurrax as rx
from recurrax.audio import hertz, log_mel, mel, mel_filters, stack_frames
from recurrax.datasets import Arrays
from recurrax.layers import LSTM, SequenceModel, ctc_greedy
from recurrax.tasks import Bucketed, Transcription

RATE = 8000


def tone(frequency: float, seconds: float = 0.5) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(int(seconds * RATE)) / RATE)


@pytest.mark.parametrize("frequency", [300, 1000, 2500])
def test_a_tone_is_loudest_in_the_triangle_that_holds_its_frequency(frequency):
    features = log_mel(tone(frequency), RATE)
    assert features.shape == (48, 40) and features.dtype == np.float32
    centres = hertz(np.linspace(0, mel(RATE / 2), 42))[1:-1]
    assert np.abs(centres[features.mean(axis=0).argmax()] - frequency) <= np.diff(centres).max()


def test_twice_the_amplitude_is_four_times_the_energy():
    louder, quiet = log_mel(2 * tone(440), RATE), log_mel(tone(440), RATE)
    loud = quiet > -10  # far from the floor
    np.testing.assert_allclose((louder - quiet)[loud], np.log(4), rtol=1e-4)


def test_energy_of_white_noise_is_its_variance_times_the_area_of_the_triangle():
    noise = np.random.RandomState(0).normal(0, 0.1, 40 * RATE)
    energy = np.exp(log_mel(noise, RATE).astype(float)).mean(axis=0)
    np.testing.assert_allclose(energy, 0.01 * mel_filters(RATE, 256).sum(axis=1), rtol=0.1)


def test_triangles_overlap_so_that_each_frequency_between_the_centres_counts_once():
    bank = mel_filters(RATE, 512, 20)
    centres = hertz(np.linspace(0, mel(RATE / 2), 22))
    frequencies = np.arange(257) * RATE / 512
    between = (frequencies >= centres[1]) & (frequencies <= centres[-2])
    np.testing.assert_allclose(bank[:, between].sum(axis=0), 1)
    assert bank.min() == 0 and bank.max() <= 1


def test_mel_is_htk_s():
    assert mel(1000) == pytest.approx(1000, abs=0.1)
    np.testing.assert_allclose(hertz(mel(np.array([0.0, 440, 3999]))), [0, 440, 3999], atol=1e-9)


def test_log_mel_against_torch():
    torch = pytest.importorskip("torch", reason="the independent oracle is torch.stft")
    signal = np.random.RandomState(1).uniform(-1, 1, 3000)
    window = torch.hann_window(200, periodic=True, dtype=torch.float64)
    padded = torch.nn.functional.pad(window, (0, 56))  # torch would put the window into the middle of the frame
    spectrum = torch.stft(torch.tensor(signal), 256, 80, 256, padded, center=False, return_complex=True)
    power = spectrum.abs().numpy() ** 2 / float((window**2).sum())
    expected = np.log(np.maximum(mel_filters(RATE, 256) @ power, 1e-10)).T
    np.testing.assert_allclose(log_mel(signal, RATE)[: len(expected)], expected, rtol=1e-5)


def test_integers_and_batches_of_signals():
    signal = (tone(700) * 20_000).astype(np.int16)
    one = log_mel(signal, RATE)
    np.testing.assert_allclose(one, log_mel(signal / 32767, RATE), rtol=1e-6)
    np.testing.assert_array_equal(log_mel(np.stack([signal, signal]), RATE)[1], one)
    np.testing.assert_allclose(log_mel(np.zeros(400), RATE), np.log(1e-10), rtol=1e-6)


def test_stacked_frames_keep_their_order_and_drop_the_rest():
    frames = np.arange(14).reshape(7, 2)
    np.testing.assert_array_equal(stack_frames(frames, 3), [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]])
    with pytest.raises(ValueError, match="count=8 for 7 frames; allowed: from 1 to 7"):
        stack_frames(frames, 8)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"signal": np.zeros(100)}, "N >= 200"),
        ({"signal": np.full(400, np.nan)}, "not finite"),
        ({"window": 1e-5}, "allowed: a window of 2 or more"),
        ({"floor": 0.0}, "allowed: a positive number"),
        ({"high": 5000.0}, "half of the rate"),
        ({"mels": 200}, "Take fewer mels or a longer window"),
    ],
)
def test_what_cannot_be_heard_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        log_mel(**{"signal": np.zeros(400), "rate": RATE} | options)


def collapse(path) -> tuple[int, ...]:
    """By the definition: repeats merged, then blanks (0) dropped."""
    return tuple(token for token, _ in itertools.groupby(path) if token)


@pytest.mark.parametrize(
    ("path", "said"),
    [([0, 1, 1, 0, 1, 2, 2], [1, 1, 2]), ([0, 0], []), ([3], [3]), ([1, 2, 1, 0], [1, 2, 1]), ([2, 2, 2], [2])],
)
def test_the_best_path_by_hand(path, said):
    tokens, length = ctc_greedy(jax.nn.one_hot(jnp.array(path), 4))
    assert tokens.tolist() == said + [0] * (len(path) - len(said)) and int(length) == len(said)


def test_the_best_path_by_brute_force_in_batches_with_lengths_and_nan_after_them():
    T, V = 4, 3
    logits = np.random.RandomState(0).normal(size=(5, 2, T, V)).astype(np.float32)
    lengths = np.random.RandomState(1).randint(1, T + 1, (5, 2))
    logits[np.arange(T) >= lengths[..., None]] = np.nan
    tokens, counts = ctc_greedy(jnp.asarray(logits), lengths)
    for place in np.ndindex(5, 2):
        n = lengths[place]
        paths = itertools.product(range(V), repeat=int(n))
        best = max(paths, key=lambda path: sum(logits[place][t, k] for t, k in enumerate(path)))
        assert tuple(tokens[place][: counts[place]].tolist()) == collapse(best)


def test_another_blank():
    tokens, length = ctc_greedy(jax.nn.one_hot(jnp.array([2, 0, 0, 2, 0, 1]), 3), blank=2)
    assert tokens[:length].tolist() == [0, 0, 1] and tokens[length:].tolist() == [2, 2, 2]
    with pytest.raises(ValueError, match="a blank from 0 to V - 1"):
        ctc_greedy(jnp.zeros((3, 2)), blank=2)


def spoken(labels=None, frames=None, size: int = 12) -> rx.datasets.Dataset:
    """Frames that say their label: one-hot with noise, three frames a label."""
    random = np.random.RandomState(0)
    labels = labels or [random.randint(1, 4, random.randint(1, 4)).tolist() for _ in range(size)]
    frames = frames or [np.eye(4)[np.repeat(one, 3)] + random.normal(0, 0.1, (3 * len(one), 4)) for one in labels]
    arrays = Arrays.padded(frames, labels)
    return arrays.split_at(range(size - 4), range(size - 4, size - 2), range(size - 2, size))


def brute_force(logits: np.ndarray, labels: tuple[int, ...]) -> float:
    """-ln of the sum over all paths that say these labels."""
    log_p = np.asarray(jax.nn.log_softmax(logits), np.float64)
    T, V = log_p.shape
    paths = (path for path in itertools.product(range(V), repeat=T) if collapse(path) == labels)
    return -np.log(sum(np.exp(sum(log_p[t, k] for t, k in enumerate(path))) for path in paths))


def test_the_loss_is_the_sum_over_all_paths_for_each_label():
    task = Transcription(spoken([[1, 2], [2, 2], [1]] * 4, [np.ones((4, 2)), np.ones((5, 2)), np.ones((3, 2))] * 4))
    examples = task.examples("train")
    logits = np.random.RandomState(2).normal(size=(8, 5, 3)).astype(np.float32)
    losses = jax.vmap(task.loss)(jnp.asarray(logits), examples)
    for n in range(3):
        labels = tuple(np.asarray(examples.targets[n])[np.asarray(examples.weights[n]) > 0].tolist())
        expected = brute_force(logits[n, : examples.lengths[n]], labels) / len(labels)
        assert losses[n] == pytest.approx(expected, rel=1e-4)


def test_nan_in_padding_reaches_neither_loss_nor_gradient():
    task = Transcription(spoken())
    example = jax.tree.map(lambda leaf: leaf[0], task.examples("train"))
    clean = jnp.asarray(np.random.RandomState(3).normal(size=(task.sequence_length, 4)), jnp.float32)
    assert example.lengths < task.sequence_length
    dirty = jnp.where(jnp.arange(task.sequence_length)[:, None] < example.lengths, clean, jnp.nan)
    for f in (task.loss, jax.grad(task.loss)):
        got, expected = f(dirty, example), f(clean, example)
        assert np.isfinite(got).all()
        np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_a_split_s_loss_counts_labels_and_not_sequences():
    task = Transcription(spoken())
    model = SequenceModel(LSTM(4, 3, rngs=nnx.Rngs(0)), task.out_features, rngs=nnx.Rngs(0))
    examples = task.examples("train")
    losses = jax.vmap(task.loss)(task.apply(model, examples), examples)
    expected = np.average(losses, weights=np.asarray(examples.weights).sum(axis=1))
    assert rx.training.evaluate(model, task, "train")["loss"] == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("bucketed", [False, True])
def test_it_learns_to_read_labels_from_frames(bucketed):
    inner = Transcription(spoken(size=40))
    task = Bucketed(inner, batch_size=8, shapes=2) if bucketed else inner

    def build(key):
        rngs = nnx.Rngs(key)
        return SequenceModel(LSTM(4, 12, bidirectional=True, rngs=rngs), inner.out_features, rngs=rngs)

    plan = rx.training.Plan(steps=120, batch_size=8, chunk=120, seeds=(0,), devices=1)
    history = rx.training.fit(build, task, rx.training.adam(2e-2, clip_norm=1.0), plan)
    assert history.test_loss[0] < 0.5 * history.loss[0, 0]
    examples = inner.examples("train")
    tokens, lengths = ctc_greedy(inner.apply(history.best(), examples), examples.lengths)
    said = [row[:n].tolist() for row, n in zip(np.asarray(tokens), lengths, strict=True)]
    meant = [
        np.asarray(row)[np.asarray(w) > 0].tolist() for row, w in zip(examples.targets, examples.weights, strict=True)
    ]
    assert np.mean([a == b for a, b in zip(said, meant, strict=True)]) > 0.5


@pytest.mark.parametrize(
    ("labels", "lengths", "words"),
    [
        ([[1, 1, 2], [1]], [3, 2], "3 frames for 3 labels and 1 blanks between equal ones"),
        ([[1, 0], [1]], [4, 4], "label 0 in the train split with blank=0"),
        ([[1, -1], [1]], [4, 4], "label -1"),
    ],
)
def test_labels_that_cannot_be_said_are_refused(labels, lengths, words):
    data = [np.zeros((n, 2)) for n in lengths] * 6
    with pytest.raises(ValueError, match=words):
        Transcription(spoken(labels * 6, data))


def test_other_data_are_refused():
    with pytest.raises(TypeError, match="got a train split of Images"):
        Transcription(rx.datasets.load("digits"))
    arrays = Arrays(np.zeros((6, 5, 2)), np.ones(6, int)).split_at([0, 1], [2, 3], [4, 5])
    with pytest.raises(ValueError, match=r"targets integers \[N, L\]"):
        Transcription(arrays)
    weights = np.array([[0.0, 1.0]] * 6)
    arrays = Arrays(np.zeros((6, 5, 2)), np.ones((6, 2), int), weights=weights).split_at([0, 1], [2, 3], [4, 5])
    with pytest.raises(ValueError, match="1 for one or more labels and then 0"):
        Transcription(arrays)
