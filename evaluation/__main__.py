"""``python -m evaluation`` lists this package's commands."""

from corpora.commands import show

if __name__ == "__main__":
    show("evaluation")
