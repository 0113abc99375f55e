"""The command line of `experiments.vanishing_gradients`."""

import os

# Small programs run as fast with few of LLVM's optimisations, and are compiled in about half the time.
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=1"

from experiments import lab

if __name__ == "__main__":
    lab.run("experiments.vanishing_gradients")
