"""Data sets: the same arrays whatever they are stored in, splits that nothing but content decides, errors that help."""

import gzip
import hashlib
import io
import itertools
import json
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy.io import savemat

from recurrax import datasets
from recurrax.datasets import Dataset, Images, MissingData, idx, music, permutation
from recurrax.datasets.dataset import by_content

SHARED = Path(__file__).parents[2] / "shared" / "data"
RANDOM = np.random.default_rng(0)


def images(count: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    return RANDOM.integers(0, 256, (count, *shape), np.uint8), RANDOM.integers(0, 10, count, np.uint8)


def write_idx(folder: Path, arrays: list[np.ndarray], packed: bool) -> None:
    """The four files of MNIST, in the words of its author: magic 0x0803 or 0x0801, sizes, bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(idx.FILES, arrays, strict=True):
        content = (0x0800 + array.ndim).to_bytes(4, "big")
        content += b"".join(size.to_bytes(4, "big") for size in array.shape) + array.tobytes()
        path = folder / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(content, mtime=0) if packed else content)


@pytest.fixture
def mnist(tmp_path) -> tuple[Path, list[np.ndarray]]:
    """A folder of gzipped IDX files, and their arrays."""
    arrays = [*images(12, (28, 28)), *images(5, (28, 28))]
    write_idx(tmp_path / "idx", arrays, packed=True)
    return tmp_path / "idx", arrays


def rows(split: Images) -> list[bytes]:
    return [np.asarray(x).tobytes() + bytes([int(y)]) for x, y in zip(*split, strict=True)]


@pytest.mark.slow
def test_digits_are_scikit_learns_split_once():
    sklearn = pytest.importorskip("sklearn.datasets", reason="digits need scikit-learn")
    bundled = sklearn.load_digits()
    data = datasets.load("digits")
    assert data.sizes == (1197, 300, 300)
    assert data.train.images.dtype == data.train.labels.dtype == np.uint8 and data.train.images.shape[1:] == (8, 8, 1)
    assert isinstance(data.train.images, jax.Array)
    parts = [rows(split) for split in (data.train, data.validation, data.test)]
    everything = [
        x.astype(np.uint8).tobytes() + bytes([y]) for x, y in zip(bundled.images, bundled.target, strict=True)
    ]
    assert sorted(itertools.chain(*parts)) == sorted(everything)
    assert len({*parts[0]} & {*parts[1]}) == len({*parts[0], *parts[1]} & {*parts[2]}) == 0
    assert data == datasets.load("digits") and hash(data) == hash(datasets.load("digits"))
    assert data.sha256.startswith("3678e9856ef8979d")  # the split that the committed record was made on


def test_the_order_of_the_source_does_not_matter():
    pixels, labels = images(20, (3, 3, 1))
    order = RANDOM.permutation(20)
    for one, other in zip(by_content(pixels, labels), by_content(pixels[order], labels[order]), strict=True):
        np.testing.assert_array_equal(one, other)
    digests = [hashlib.sha256(row).digest() for row in rows(by_content(pixels, labels))]
    assert digests == sorted(digests)


def test_a_data_set_is_known_by_its_bytes():
    one, other = Images(*images(3, (2, 2, 1))), Images(*images(3, (2, 2, 1)))
    data = Dataset("a", "here", one, other, other)
    assert data == Dataset("a", "there", one, other, other)
    assert data != Dataset("a", "here", one, one, other) and data != Dataset("b", "here", one, other, other)
    reshaped = Images(one.images.reshape(3, 4, 1, 1), one.labels)
    assert data.sha256 != Dataset("a", "here", reshaped, other, other).sha256
    with pytest.raises(ValueError, match="a has an empty test split; allowed: one or more"):
        Dataset("a", "here", one, other, Images(*images(0, (2, 2, 1))))


@pytest.mark.parametrize("inside", [False, True])
def test_idx_files_gzipped_or_not(tmp_path, mnist, inside):
    """In the folder given or in ``mnist`` inside it; the files say whether they are the original ones."""
    _, arrays = mnist
    write_idx(tmp_path / "mnist" if inside else tmp_path, arrays, packed=False)
    data = datasets.load("mnist", tmp_path)
    assert data.sizes == (6, 6, 5)  # 5,000 of the real ones are held out; here no more than stay
    assert sorted(rows(data.train) + rows(data.validation)) == sorted(rows(Images(*arrays[:2])))
    assert sorted(rows(data.test)) == sorted(rows(Images(*arrays[2:])))
    assert data == datasets.load("mnist", mnist[0])
    assert data.source.startswith(
        "IDX files, not the original by MD5: train-images-idx3-ubyte, train-labels-idx1-ubyte"
    )


def test_original_files_are_known(mnist, monkeypatch):
    folder, _ = mnist
    contents = {name: gzip.decompress((folder / f"{name}.gz").read_bytes()) for name in idx.FILES}
    monkeypatch.setattr(idx, "FILES", {name: hashlib.md5(content).hexdigest() for name, content in contents.items()})
    assert datasets.load("mnist", folder).source == "IDX files, all four the original ones by MD5"


@pytest.mark.parametrize(
    "content", [b"", b"\0\0\x08", b"\0\0\x08\1\0\0\0\2a", b"\0\0\x0d\1\0\0\0\1abcd", b"\0\0\x08\1\0\0"]
)
def test_broken_idx_files_are_named(mnist, content):
    folder, _ = mnist
    (folder / "t10k-labels-idx1-ubyte").write_bytes(content)  # is found before the gzipped one
    with pytest.raises(ValueError, match="t10k-labels-idx1-ubyte is not a whole IDX file"):
        datasets.load("mnist", folder)


def test_a_damaged_archive_is_named(mnist):
    folder, _ = mnist
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte.gz is damaged .*; allowed: a whole gzip file"):
        datasets.load("mnist", folder)


def checksums(builder, folder: Path, monkeypatch) -> None:
    """Makes the files of a folder those that the builder's checksums are of."""
    checksums = pytest.importorskip("tensorflow_datasets.core.download.checksums")
    infos = {url: checksums.compute_url_info(folder / info.filename) for url, info in builder.url_infos.items()}
    for url, info in infos.items():
        info.filename = builder.url_infos[url].filename
    monkeypatch.setattr(builder, "url_infos", infos)


@pytest.fixture
def offline(monkeypatch):
    """Fails at the first request."""

    def refuse(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    pytest.importorskip("tensorflow_datasets", reason="needs recurrax[data]")
    pytest.importorskip("sklearn", reason="needs recurrax[data]")


@pytest.mark.filterwarnings("default")  # TFDS's own
def test_tfds_without_tensorflow(tmp_path, mnist, monkeypatch, offline, capsys):
    """Prepared from the original files, whose checksums it verifies, it gives what the files give."""
    from recurrax.datasets import builders
    from recurrax.datasets.__main__ import main

    folder, _ = mnist
    command = ["get", "mnist", "--data-dir", str(tmp_path / "tfds"), "--manual-dir", str(folder)]
    assert main(command) == 1  # these are not the original files
    said = capsys.readouterr()
    assert "error: a file is not the original: " in said.err and "wrong checksum" in said.err
    checksums(builders.Mnist, folder, monkeypatch)
    assert main(command) == 0
    data = datasets.load("mnist", tmp_path / "tfds")
    assert data == datasets.load("mnist", folder)
    assert data.source == "TFDS mnist/3.0.1, whose files passed TFDS's checksums when it was prepared"
    assert f"mnist: 6 / 6 / 5 in {tmp_path / 'tfds'}" in capsys.readouterr().out
    assert main(command[:4]) == 0  # it is there, so nothing is asked for
    assert "tensorflow" not in sys.modules
    path = tmp_path / "tfds" / "mnist" / "3.0.1" / "dataset_info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"fileFormat": "tfrecord"}))
    with pytest.raises(ValueError, match=r"'tfrecord', which needs TensorFlow; allowed: 'array_record'"):
        datasets.load("mnist", tmp_path / "tfds")


@pytest.mark.filterwarnings("default")
def test_cifar10_from_its_archive(tmp_path, monkeypatch, offline):
    from recurrax.datasets import builders
    from recurrax.datasets.get import get

    arrays = {f"data_batch_{number}": images(2, (3, 32, 32)) for number in range(1, 6)} | {
        "test_batch": images(3, (3, 32, 32))
    }
    files = {
        f"{name}.bin": b"".join(bytes([y]) + x.tobytes() for x, y in zip(*pair, strict=True))
        for name, pair in arrays.items()
    }
    names = "airplane automobile bird cat deer dog frog horse ship truck".split()
    with tarfile.open(tmp_path / "cifar-10-binary.tar.gz", "w:gz") as archive:
        for name, content in (files | {"batches.meta.txt": "\n".join(names).encode() + b"\n"}).items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    checksums(builders.Cifar10, tmp_path, monkeypatch)
    data = get("cifar10", tmp_path / "tfds", tmp_path)
    assert data.sizes == (5, 5, 3) and data.train.images.shape == (5, 32, 32, 3)
    expected = [Images(x.transpose(0, 2, 3, 1), y) for x, y in arrays.values()]
    assert sorted(rows(data.test)) == sorted(rows(expected[-1]))
    assert sorted(rows(data.train) + rows(data.validation)) == sorted(itertools.chain(*map(rows, expected[:-1])))


@pytest.fixture
def mat(tmp_path) -> tuple[Path, dict[str, list[np.ndarray]]]:
    """A file like that of the JSB chorales, and its pieces."""
    pieces = {
        field: [RANDOM.integers(0, 2, (frames, 88), np.uint8) for frames in lengths]
        for field, lengths in {"train": (4, 2, 3), "valid": (5, 2), "test": (3,)}.items()
    }
    content = {}
    for field, split in pieces.items():
        content[f"{field}data"] = np.empty((1, len(split)), object)
        content[f"{field}data"][0] = split
    savemat(tmp_path / music.FILE, content)
    return tmp_path, pieces


def test_chorales_are_padded(mat):
    folder, pieces = mat
    data = datasets.load("jsb_chorales", folder)
    assert data.sizes == (3, 2, 1) and "not the original" in data.source
    for split, expected in zip((data.train, data.validation, data.test), pieces.values(), strict=True):
        assert split.lengths.tolist() == [len(piece) for piece in expected]
        for roll, piece in zip(np.asarray(split.rolls), expected, strict=True):
            np.testing.assert_array_equal(roll[: len(piece)], piece)
            assert (roll[len(piece) :] == 0).all()


@pytest.mark.filterwarnings("default")
def test_chorales_through_tfds(tmp_path, mat, monkeypatch, offline):
    from recurrax.datasets import builders
    from recurrax.datasets.get import get

    checksums(builders.JsbChorales, mat[0], monkeypatch)
    assert get("jsb_chorales", tmp_path / "tfds", mat[0]) == datasets.load("jsb_chorales", mat[0])


def test_other_mat_files_are_refused(tmp_path):
    savemat(tmp_path / music.FILE, {"traindata": np.zeros((2, 2))})
    with pytest.raises(ValueError, match="does not hold traindata, validdata and testdata"):
        datasets.load("jsb_chorales", tmp_path)


def test_missing_data_name_path_command_and_files(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    for name, file in (("mnist", "t10k-labels-idx1-ubyte"), ("cifar10", "array_record"), ("jsb_chorales", music.FILE)):
        with pytest.raises(MissingData) as missing:
            datasets.load(name)
        said = str(missing.value)
        assert f"no data set '{name}' in {tmp_path}, {tmp_path / name}; allowed" in said and file in said
        assert f"`python -m recurrax.datasets get {name} --data-dir {tmp_path}`" in said
    with pytest.raises(ValueError, match="data set 'minst'; allowed: digits, mnist, cifar10, jsb_chorales"):
        datasets.load("minst")


def test_without_network_the_command_ends_at_once(tmp_path, offline, capsys):
    from recurrax.datasets.__main__ import main

    assert main(["get", "mnist", "--data-dir", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "cannot be had (no network); allowed: a network that reaches it" in said
    assert "--manual-dir" in said and not list(tmp_path.rglob("*"))


@pytest.mark.slow
def test_loading_imports_no_tfds():
    """It takes as long as all of recurrax."""
    code = "import sys; from recurrax import datasets, tasks; sys.exit('tensorflow_datasets' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    "size, start", [(64, [33, 6, 51, 12]), (784, [358, 180, 198, 763]), (1024, [59, 16, 787, 980])]
)
def test_the_permutation_is_the_shipped_one(size, start):
    order = permutation(size)
    assert sorted(order.tolist()) == list(range(size)) and order[:4].tolist() == start
    assert hashlib.sha256(order.astype("<u2").tobytes()).hexdigest() == datasets.PERMUTATIONS[size]


def test_another_permutation_is_refused(monkeypatch):
    monkeypatch.setitem(datasets.PERMUTATIONS, 9, "0" * 64)
    with pytest.raises(RuntimeError, match="the permutation of 9 has SHA-256"):
        permutation(9)


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "mnist").exists(), reason="no MNIST files beside the checkout")
def test_real_mnist():
    data = datasets.load("mnist", SHARED)
    assert data.sizes == (55_000, 5_000, 10_000)
    assert np.bincount(data.test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    doubt = data.source.removeprefix("IDX files, ")
    assert doubt in ("all four the original ones by MD5", "not the original by MD5: train-images-idx3-ubyte")


@pytest.mark.skipif(not (SHARED / "jsb").exists(), reason="no JSB chorales beside the checkout")
def test_real_chorales():
    data = datasets.load("jsb_chorales", SHARED / "jsb")
    assert data.sizes == (229, 76, 77) and data.source == f"{music.FILE}, the original by SHA-256"
    assert int(data.test.lengths.sum()) == 4725
