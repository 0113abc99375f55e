"""The command line of `experiments.memory_capacity`."""

from experiments import lab

if __name__ == "__main__":
    lab.run("experiments.memory_capacity")
