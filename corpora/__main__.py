"""``python -m corpora`` lists this package's commands."""

from .commands import show

if __name__ == "__main__":
    show("corpora")
