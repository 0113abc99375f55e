"""The engine `Pallas`, which runs the whole recurrence in one kernel on a GPU or a TPU."""

from recurrax.engines.pallas.engine import Pallas as Pallas
