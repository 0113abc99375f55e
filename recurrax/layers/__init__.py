"""Layers, which run cells over batches of sequences: in both directions, stacked, and with a head.

They are batch-major by default, ``[*batch, T, D]``, take any number of batch axes, and use Flax's argument names and
meanings.
"""

from recurrax.layers.attention import AdditiveAttention as AdditiveAttention
from recurrax.layers.bidirectional import Bidirectional as Bidirectional
from recurrax.layers.block import Block as Block
from recurrax.layers.convolution import ShortConvolution as ShortConvolution
from recurrax.layers.ctc import ctc_greedy as ctc_greedy
from recurrax.layers.decoding import beam_search as beam_search
from recurrax.layers.decoding import greedy as greedy
from recurrax.layers.encoder_decoder import EncoderDecoder as EncoderDecoder
from recurrax.layers.generate import generate as generate
from recurrax.layers.model import SequenceModel as SequenceModel
from recurrax.layers.rnn import RNN as RNN
from recurrax.layers.sequences import flip_sequences as flip_sequences
from recurrax.layers.stack import Stack as Stack
from recurrax.layers.standard import GRU as GRU
from recurrax.layers.standard import LSTM as LSTM
from recurrax.layers.standard import SimpleRNN as SimpleRNN
