"""The command line of `experiments.initialization`."""

from experiments import lab

if __name__ == "__main__":
    lab.run("experiments.initialization")
