"""Experiments on pairs of texts, on small synthetic data: baselines against slow ones, splits, leaks, small runs."""

from __future__ import annotations

import importlib
import itertools
import json
import math
import sys

import jax
import numpy as np
import pytest

pytest.importorskip("tyro", reason="the experiments need recurrax[experiments]")
pytest.importorskip("matplotlib", reason="the experiments need recurrax[experiments]")
pytest.importorskip("sklearn", reason="the experiments need recurrax[experiments]")
pytest.importorskip("sacrebleu", reason="the experiments need recurrax[experiments]")

from experiments import lab
from experiments.baselines import graphones
from experiments.baselines.dictionary import IBM1, recall
from experiments.baselines.ngram import NGram
from experiments.pronunciation import lexicon as spelling
from experiments.translation import training, verses
from recurrax import datasets

SOUND = {"a": "AE1", "b": "B", "c": "K", "d": "D", "e": "EH0", "f": "F", "x": "K S", "h": ""}
WORD = {
    "el": "the",
    "rey": "king",
    "vino": "came",
    "pan": "bread",
    "y": "and",
    "dijo": "said",
    "no": "not",
    "luz": "light",
}


def dictionary(count: int = 400) -> dict[str, np.ndarray]:
    """Words whose letters have one sound each, and a few that nobody can use."""
    random = np.random.RandomState(0)
    words = sorted({"".join(random.choice(list(SOUND), random.randint(3, 8))) for _ in range(count)})
    spoken = [" ".join(filter(None, (SOUND[letter] for letter in word))) for word in words]
    extra = [("it's", "IH1 T S"), ("a" * 13, "AE1"), ("able", "AE1 B EH0"), ("able", "AE0 B EH1"), ("able", "B EH1")]
    return {
        "words": np.array([*words, *(word for word, _ in extra)]),
        "phonemes": np.array([*spoken, *(sound for _, sound in extra)]),
    }


def bible(count: int = 400) -> dict[str, np.ndarray]:
    """Verses that are translated word by word; some are repeated, some are too long."""
    random = np.random.RandomState(1)
    spanish = [list(random.choice(list(WORD), random.randint(3, 13))) for _ in range(count)]
    spanish += [*spanish[:20], ["el"] * 40]
    english = [[WORD[word] for word in verse] for verse in spanish]
    for verse in english[count : count + 10]:  # the same Spanish, another English
        verse.append("!")
    return {"spanish": np.array(list(map(" ".join, spanish))), "english": np.array(list(map(" ".join, english)))}


MADE = {"cmudict": dictionary(), "kjv-es": bible()}


def alignments(letters: int, sounds: list[int]) -> list[list[tuple[int, ...]]]:
    """Every way to give each of so many letters none, one or two of the sounds in order."""
    if not letters:
        return [[]] if not sounds else []
    return [
        [tuple(sounds[:k]), *rest]
        for k in range(min(2, len(sounds)) + 1)
        for rest in alignments(letters - 1, sounds[k:])
    ]


def number(phonemes: tuple[int, ...]) -> int:
    a, b = (*phonemes, 0, 0)[:2]
    return graphones.BASE * a + b


def padded(rows: list[list[int]]) -> np.ndarray:
    found = np.zeros((len(rows), max(map(len, rows))), int)
    for place, row in zip(found, rows, strict=True):
        place[: len(row)] = row
    return found


def test_graphones_against_all_alignments():
    """One step of EM, and the likeliest alignments after it."""
    words, sounds = [[1, 2, 3], [2, 1], [3, 4, 1, 2]], [[5, 6], [7, 5, 6], [6, 5]]
    theta = np.random.RandomState(0).uniform(0.1, 1, (graphones.LETTERS, graphones.BASE**2))
    counts = np.zeros(theta.shape)
    likeliest = []
    for word, sound in zip(words, sounds, strict=True):
        ways = alignments(len(word), sound)
        weights = [
            math.prod(theta[letter, number(part)] for letter, part in zip(word, way, strict=True)) for way in ways
        ]
        likeliest.append([number(part) for part in ways[int(np.argmax(weights))]])
        for way, weight in zip(ways, weights, strict=True):
            for letter, part in zip(word, way, strict=True):
                counts[letter, number(part)] += weight / sum(weights)
    np.testing.assert_allclose(graphones._expected(padded(words), padded(sounds), theta), counts, atol=1e-12)
    found = graphones._best(padded(words), padded(sounds), theta)
    for row, expected in zip(found, likeliest, strict=True):
        np.testing.assert_array_equal(row[: len(expected)], expected)
        assert (row[len(expected) :] == -1).all()


def test_a_word_with_too_many_sounds_has_no_alignment():
    aligned = graphones.align(np.array([[1, 0], [1, 2]]), np.array([[5, 6, 7], [5, 6, 0]]))
    assert (aligned[0] == -1).all() and (aligned[1] >= 0).all()


def test_what_depends_on_a_letter_alone_is_learnt_by_counting():
    words = spelling.lexicon(MADE["cmudict"])
    letters = words.letters("train")
    aligned = graphones.align(letters, words.firsts("train"))
    for method in (graphones.Windows(letters, aligned, 0), graphones.JointNGram(letters, aligned, 2)):
        judged = spelling.judge(method(words.letters("test")), words, "test")
        assert judged["PER"] == judged["WER"] == 0 and judged["intervals"]["PER"].tolist() == [0, 0]


def test_ngrams_of_pairs_against_all_sequences():
    """Enough beams find the best of all ways to pronounce a word."""
    random = np.random.RandomState(0)
    words = random.randint(1, 4, (60, 4))
    sounds = np.where(random.random((60, 4)) < 0.5, words, words + 3)
    aligned = graphones.BASE * sounds
    model = graphones.JointNGram(words, aligned, order=3, beams=100)
    asked = np.array([[1, 2, 3, 1], [3, 3, 2, 0]])
    for row, found in zip(asked, model(asked), strict=True):
        options = [model.options[letter][model.options[letter] > 0] for letter in row[row > 0]]
        best = max(itertools.product(*options), key=lambda tokens: score(model.model, tokens))
        assert found == graphones.spell(model.pairs[np.array(best) - 1] % graphones.BASE**2)


def score(model: NGram, tokens: tuple[int, ...]) -> float:
    text = np.array([0] * (model.order - 1) + list(tokens) + [0])
    return float(model.log_probabilities(text)[-1][model.order - 1 :].sum())


def test_no_word_is_in_two_splits_and_unusable_ones_are_in_none():
    words = spelling.lexicon(MADE["cmudict"])
    numbers = np.concatenate(list(words.splits.values()))
    assert sorted(numbers) == list(range(len(words.words))) and len(set(words.words)) == len(words.words)
    assert not {"it's", "a" * 13} & set(words.words)
    place = words.words.index("able")
    assert [words.spoken(sound) for sound in words.sounds[place]] == ["AE B EH", "B EH"]  # stress makes no other sound


def test_an_answer_is_compared_with_the_nearest_pronunciation():
    words = spelling.lexicon(MADE["cmudict"])._replace(splits={"test": np.array([0])})
    words.sounds[0] = [(1, 2, 3), (1, 2)]
    found = spelling.judge([[1, 2, 4]], words, "test")
    assert found["PER"] == pytest.approx(100 / 3) and found["WER"] == 100
    assert spelling.judge([[1, 2]], words, "test")["PER"] == 0


def test_ibm_1_against_a_slow_loop():
    random = np.random.RandomState(0)
    sources = [random.choice(list("abcd"), random.randint(1, 5)).tolist() for _ in range(30)]
    targets = [random.choice(list("uvwx"), random.randint(1, 5)).tolist() for _ in range(30)]
    t = {(e, f): 1.0 for e in "uvwx" for f in ("", *"abcd")}
    for _ in range(4):
        counts = dict.fromkeys(t, 0.0)
        for source, target in zip(sources, targets, strict=True):
            for e in target:
                total = sum(t[e, f] for f in ("", *source))
                for f in ("", *source):
                    counts[e, f] += t[e, f] / total
        totals = {f: sum(counts[e, f] for e in "uvwx") for f in ("", *"abcd")}
        t = {(e, f): count / totals[f] for (e, f), count in counts.items()}
    found = IBM1(sources, targets, rounds=4)
    for (e, f), probability in t.items():
        assert found.probability(e, f) == pytest.approx(probability, abs=1e-12)
    assert found(["a", "?"]) == [max("uvwx", key=lambda e: t[e, "a"]), "?"]


def test_the_translation_memory_finds_the_most_similar_verse():
    """A verse that it has seen, in any order, and otherwise one that shares the rarest words."""
    sources = [["el", "rey", "vino"], ["el", "pan"], ["dijo", "el", "rey"], ["no", "vino", "luz"]]
    targets = [["a"], ["b"], ["c"], ["d"]]
    assert recall(sources, targets, [source[::-1] for source in sources]) == targets
    assert recall(sources, targets, [["luz"], ["el", "el", "pan", "?"], ["vino", "el", "rey"]]) == [["d"], ["b"], ["a"]]


def test_no_verse_is_in_two_splits():
    found = verses.verses(MADE["kjv-es"])
    for language in (found.spanish, found.english):
        texts = [{" ".join(verse) for verse in language[split]} for split in verses.SPLITS]
        assert not texts[0] & texts[1] and not texts[0] & texts[2] and not texts[1] & texts[2]
    assert found.taken_out > 0 and found.shared() == {"spanish": 0, "english": 0}
    assert max(len(verse) for verse in found.spanish["test"]) <= verses.LONGEST


def test_bleu_of_its_counts_is_that_of_the_corpus():
    found = verses.verses(MADE["kjv-es"])
    english, spanish = found.english["test"], found.spanish["test"]
    written = [verse[: max(1, len(verse) - 2)] for verse in english]
    judged = verses.judge(written, english, spanish)
    texts = ([" ".join(verse) for verse in rows] for rows in (written, english))
    assert verses.bleu(verses.counts(*texts)) == pytest.approx(judged["BLEU"])
    assert judged["interval"][0] < judged["BLEU"] < judged["interval"][1]
    assert verses.judge(english, english, spanish)["BLEU"] == pytest.approx(100)
    assert judged["chance"] < judged["BLEU"] / 2


def test_sources_are_shuffled_or_all_the_same():
    pairs = verses.verses(MADE["kjv-es"])
    data = pairs.dataset(*pairs.vocabularies(20, 20))
    shuffled, one = (training._with_sources(data, which) for which in ("shuffled", "one"))
    for split in verses.SPLITS:
        true, mixed, same = (getattr(source, split) for source in (data, shuffled, one))
        assert sorted(map(bytes, np.asarray(mixed.inputs))) == sorted(map(bytes, np.asarray(true.inputs)))
        assert (np.asarray(mixed.inputs) != np.asarray(true.inputs)).any(axis=1).mean() > 0.5
        assert not np.asarray(same.inputs).any() and (np.asarray(same.lengths) == 1).all()
        np.testing.assert_array_equal(mixed.targets, true.targets)
        np.testing.assert_array_equal((np.asarray(mixed.inputs) > 0).sum(axis=1) <= mixed.lengths, True)


@pytest.mark.slow
def test_a_network_learns_nothing_from_shuffled_pairs():
    """It is as good without a source; with the true pairs it is better."""
    sizes = {"spanish_words": 20, "english_words": 20, "embedding": 16, "hidden": 16, "batch_size": 16, "shapes": 1}
    config = training.Config(control_steps=250, learning_rate=0.02, **sizes)
    found = training.look_for_leaks(config, verses.verses(MADE["kjv-es"]))["loss"]
    assert found["true pairs"] < found["no source"] - 0.1
    assert found["shuffled pairs"] > found["no source"] - 0.05


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", ["pronunciation", "translation"])
def test_a_small_run_writes_a_page_and_figures(name, tmp_path, monkeypatch, capsys):
    """And both are made from the record alone."""
    first = jax.devices()[:1]
    monkeypatch.setattr(jax, "devices", lambda: first)
    monkeypatch.setattr(datasets, "read", lambda name, data_dir=None: MADE[name])
    monkeypatch.setattr(sys, "argv", [f"experiments.{name}", "--preset", "smoke", "--out", str(tmp_path)])
    lab.run(f"experiments.{name}")
    (path,) = tmp_path.glob("*.json")
    record = json.loads(path.read_text())
    assert record["complete"] and path.stat().st_size < 300_000
    experiment = importlib.import_module(f"experiments.{name}")
    assert lab.document(experiment, record) == path.with_suffix(".md").read_text()
    assert path.with_suffix(".png").stat().st_size > 20_000
    assert "## In short, for a reader of an article on LSTMs" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["pronunciation", "translation"])
def test_what_cannot_be_run_is_told(name, tmp_path, monkeypatch):
    experiment = importlib.import_module(f"experiments.{name}")
    with pytest.raises(datasets.MissingData, match="datasets get"):
        experiment.parts(experiment.Config(data_dir=tmp_path))
    monkeypatch.setattr(datasets, "read", lambda name, data_dir=None: MADE[name])
    with pytest.raises(ValueError, match="--hidden"):
        experiment.parts(experiment.Config(hidden=5))
