"""The command line of `experiments.anomaly`."""

from experiments import lab

if __name__ == "__main__":
    lab.run("experiments.anomaly")
