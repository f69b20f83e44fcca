"""``python -m tests.make_goldens FOLDER KIND``."""

import sys
from pathlib import Path

from tests.make_goldens import write

if __name__ == "__main__":
    print(write(Path(sys.argv[1]), sys.argv[2]))
