"""Can a recurrent net read a digit pixel by pixel, and is it worth it?

    python -m experiments.sequential_digits              # 2 CPU cores, about five minutes
    python -m experiments.sequential_digits --help
    python -m experiments.sequential_digits --data mnist --data-dir data --orders rows

scikit-learn's 8 x 8 digits pixel by pixel (64 steps), in a fixed random order, and row by row (8 steps); with `--data`
also MNIST (784 steps, `--preset accelerator`) or CIFAR-10. Every cell by the same grid and budget, chosen on the
validation split and tested once on the test split, beside a linear classifier of the same pixels, which needs no
memory, and the majority class. MNIST has published numbers, printed beside ours.
"""
