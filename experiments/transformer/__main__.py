"""The command line of `experiments.transformer`."""

from experiments import lab

if __name__ == "__main__":
    lab.run("experiments.transformer")
