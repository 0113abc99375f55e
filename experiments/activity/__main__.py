"""The command line of `experiments.activity`."""

from experiments import lab

if __name__ == "__main__":
    lab.run("experiments.activity")
