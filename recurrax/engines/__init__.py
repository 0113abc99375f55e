"""Engines, which run a cell over a sequence. Every engine equals `Scan` in values and in gradients."""

from recurrax.engines.adjoint import Adjoint as Adjoint
from recurrax.engines.associative import Associative as Associative
from recurrax.engines.chunkwise import Chunkwise as Chunkwise
from recurrax.engines.engine import Engine as Engine
from recurrax.engines.newton import Newton as Newton
from recurrax.engines.newton import Solution as Solution
from recurrax.engines.pallas import Pallas as Pallas
from recurrax.engines.scan import Scan as Scan
from recurrax.engines.unroll import ENGINES as ENGINES
from recurrax.engines.unroll import unroll as unroll
