"""The command line of `experiments.glucose`."""

from experiments import lab

if __name__ == "__main__":
    lab.run("experiments.glucose")
