"""Small data of the kinds that the experiments on sound and movement read, made and not recorded."""

from __future__ import annotations

import numpy as np

TEXTS = "one two three four five six seven eight nine zero yes no stop go left right".split()


def prompts(rate: int = 2000) -> dict[str, np.ndarray]:
    """Each letter is a tone; one text is said twice, one is too long, and one is no text."""
    said = [*TEXTS, TEXTS[0], "much too long", "..."]
    random, sounds = np.random.RandomState(0), []
    for text in said:
        seconds = 0.05 * len(text) if text in TEXTS else 3.0
        time = np.arange(int((0.3 + seconds) * rate)) / rate
        sounds.append(8000 * np.sin(2 * np.pi * 40 * (ord(text[0]) - 90) * time) + random.normal(0, 100, len(time)))
    starts = np.concatenate([[0], np.cumsum([len(sound) for sound in sounds])])
    audio = np.concatenate(sounds).astype(np.int16)
    return {"audio": audio, "starts": starts, "texts": np.array(said), "rate": np.array(rate)}


def vowels(speakers: int = 3, each: int = 12) -> dict[str, np.ndarray]:
    """Frames whose mean tells the speaker."""
    random, labels = np.random.RandomState(0), np.tile(np.arange(speakers), each)
    lengths = random.randint(3, 7, len(labels))
    inputs = random.normal(0, 0.3, (len(labels), 6, 3)) + np.eye(speakers)[labels][:, None, :3]
    inputs[np.arange(6) >= lengths[:, None]] = 0
    return {"inputs": inputs, "lengths": lengths, "labels": labels, "train": np.arange(len(labels)) < len(labels) // 2}


def watch(people: int = 4, exercises: int = 3, steps: int = 260) -> dict[str, np.ndarray]:
    """Each exercise has a frequency, each person an offset."""
    random, recordings, labels, owners = np.random.RandomState(0), [], [], []
    for person in range(people):
        for exercise in range(exercises):
            phase = np.arange(steps)[:, None] * (0.05 + 0.1 * exercise) + np.arange(6)
            recordings.append(np.sin(phase) + 0.2 * person + random.normal(0, 0.05, (steps, 6)))
            labels.append(exercise)
            owners.append(person + 1)
    starts = np.arange(len(labels) + 1) * steps
    return {
        "samples": np.concatenate(recordings).astype(np.float32),
        "starts": starts,
        "labels": np.array(labels),
        "people": np.array(owners),
        "names": np.array([f"exercise {n}" for n in range(exercises)]),
    }
