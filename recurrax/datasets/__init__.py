"""Real data in memory, split once into training, validation and test, and identified by SHA-256.

Your own data give three splits, from which you build a task of `recurrax.tasks`:

    data = Arrays.padded(sequences, labels, groups=people).split(seed=0)        # no person is in two splits
    data = Series(values).split(gap=48).scaled().windows(length=336, horizon=48)    # in order of time
    text = Text.contiguous(book)                                                # characters, bytes or words

Data sets by name, with uint8 arrays:

    from recurrax import datasets
    digits = datasets.load("digits")                 # bundled with scikit-learn, offline
    mnist = datasets.load("mnist", "data")           # prepared by `get`, or a folder with the IDX files

    recurrax datasets get mnist --data-dir data       # the only command that uses the network

    name          arrays                      train / validation / test  origin
    digits        images 8 x 8, 17 levels     1,197 / 300 / 300          bundled with scikit-learn (Alpaydin, 1998)
    mnist         images 28 x 28, 256 levels  55,000 / 5,000 / 10,000    TFDS's mnist, or IDX files (LeCun, 1998)
    cifar10       images 32 x 32 x 3          45,000 / 5,000 / 10,000    TFDS's cifar10 (Krizhevsky, 2009)
    jsb_chorales  piano rolls of 88 keys      229 / 76 / 77              the .mat of Bai et al. (2018), or TFDS

Data shipped in packages, as a dict of NumPy arrays. `recurrax datasets list` describes them, and `READY` lists their
arrays and licences. They cover language, speech, electricity demand, weather, flights, share prices and health:

    recurrax datasets get electricity
    demand = datasets.read("electricity")["demand"]

The test split is the published one if there is one. Other held-out examples are chosen by content: those with the
smallest SHA-256 of pixels and label, so that the choice does not depend on the file or the order.
"""

from recurrax.datasets.arrays import Arrays as Arrays
from recurrax.datasets.batching import Buckets as Buckets
from recurrax.datasets.dataset import SPLITS as SPLITS
from recurrax.datasets.dataset import Dataset as Dataset
from recurrax.datasets.dataset import Images as Images
from recurrax.datasets.dataset import Rolls as Rolls
from recurrax.datasets.dataset import Steps as Steps
from recurrax.datasets.load import DATASETS as DATASETS
from recurrax.datasets.load import load as load
from recurrax.datasets.missing import MissingData as MissingData
from recurrax.datasets.packaged import read as read
from recurrax.datasets.padding import segment as segment
from recurrax.datasets.permutation import PERMUTATIONS as PERMUTATIONS
from recurrax.datasets.permutation import permutation as permutation
from recurrax.datasets.ready import READY as READY
from recurrax.datasets.scale import scale as scale
from recurrax.datasets.scaler import Scaler as Scaler
from recurrax.datasets.scaler import Scalers as Scalers
from recurrax.datasets.series import Series as Series
from recurrax.datasets.series_splits import SeriesSplits as SeriesSplits
from recurrax.datasets.text import Text as Text
from recurrax.datasets.vocabulary import Tokenizer as Tokenizer
from recurrax.datasets.vocabulary import Vocabulary as Vocabulary
