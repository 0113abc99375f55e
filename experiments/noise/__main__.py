"""The command line of `experiments.noise`."""

from experiments import lab

if __name__ == "__main__":
    lab.run("experiments.noise")
