"""Does a recurrent net forecast better than what is simple, and are its intervals right?

    recurrax datasets get electricity     # likewise weather, stocks
    python -m experiments.forecasting                         # electricity, one GRU: 2 CPU cores, two minutes
    python -m experiments.forecasting --preset table          # all series and cells, three seeds: half an hour at most
    python -m experiments.forecasting --help

Three series: electricity demand of the next 48 half-hours, temperature of the next 24 hours, and tomorrow's return of
shares. A cell reads the past and gives five quantiles of every step ahead at once. Its settings are chosen on the
validation part; the test part, which is the latest, is used once. Persistence, seasonal naive forecasts, ridge
regression and STL + AR stand in the same table.

Expected: the weekly naive forecast with a correction wins on electricity, ridge regression and the cells are close on
the weather, and nothing has skill on the shares.
"""

from experiments.forecasting.figures import draw as draw
from experiments.forecasting.pages import page as page
from experiments.forecasting.training import PRESETS as PRESETS
from experiments.forecasting.training import Config as Config
from experiments.forecasting.training import parts as parts
