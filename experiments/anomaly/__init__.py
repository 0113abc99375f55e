"""Does the surprise of a forecast find the days on which flights were disrupted?

    recurrax datasets get flights
    python -m experiments.anomaly                      # one GRU, 2 CPU cores, about a minute
    python -m experiments.anomaly --preset table       # RNN, GRU and LSTM, three seeds: about five minutes
    python -m experiments.anomaly --help

A cell reads the delays and the departures of an airport hour by hour for a week and forecasts every hour of the next
day. The score of a day is its mean negative log likelihood under the forecast of the evening before. A day counts as
disrupted if more than 5% of its flights were cancelled, which is neither an input nor used in training. Simple
scores stand in the same table.

Expected: the cells find most disrupted days, and the distance from the median of four same weekdays as many.
"""

from experiments.anomaly.figures import draw as draw
from experiments.anomaly.pages import page as page
from experiments.anomaly.training import PRESETS as PRESETS
from experiments.anomaly.training import Config as Config
from experiments.anomaly.training import parts as parts
