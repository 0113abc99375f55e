"""The command line of `experiments.benchmarks.token_cost`."""

from experiments import lab

if __name__ == "__main__":
    lab.run("experiments.benchmarks.token_cost")
