"""The command line of the speed benchmark."""

from experiments import lab

if __name__ == "__main__":
    lab.run("experiments.benchmarks.speed")
