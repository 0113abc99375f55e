"""Page."""


def page(record):
    """Page."""
    return ["t", ["f"]]


def draw(record):
    """Figure."""
    import matplotlib.pyplot as plt

    return plt.figure()
