"""The command line of `experiments.pronunciation`."""

from experiments import lab

if __name__ == "__main__":
    lab.run("experiments.pronunciation")
