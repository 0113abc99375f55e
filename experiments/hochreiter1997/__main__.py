"""The command line of `experiments.hochreiter1997`."""

from experiments import lab

if __name__ == "__main__":
    lab.run("experiments.hochreiter1997")
