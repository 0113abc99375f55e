"""The command line of `experiments.translation`."""

from experiments import lab

if __name__ == "__main__":
    lab.run("experiments.translation")
