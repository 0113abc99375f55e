"""``python -m recurrax`` runs the command `recurrax`."""

from recurrax.cli import main

if __name__ == "__main__":
    main()
