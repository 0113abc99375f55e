"""Can a recurrent net warn of low blood sugar half an hour before it comes?

    recurrax datasets get glucose
    python -m experiments.glucose                       # one LSTM, 2 CPU cores, about three minutes
    python -m experiments.glucose --preset table        # RNN, GRU and LSTM, three seeds: about ten minutes
    python -m experiments.glucose --help

The glucose of one patient, a reading every five minutes for half a year: a cell reads three hours and gives quantiles
of every reading of the next hour, which are shifted so that they are right on the validation part. An alarm is raised
where the 5% quantile of the next 30 minutes falls low. Persistence, linear extrapolation, ridge regression and gradient
boosting stand in the same table. Nothing here is medical advice.

Expected: the cells are as good as ridge regression 30 minutes ahead or a little better, and their alarms too.
"""

from experiments.glucose.figures import draw as draw
from experiments.glucose.pages import page as page
from experiments.glucose.training import PRESETS as PRESETS
from experiments.glucose.training import Config as Config
from experiments.glucose.training import parts as parts
