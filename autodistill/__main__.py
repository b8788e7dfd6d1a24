"""``python -m autodistill`` is ``autodistill``."""

from __future__ import annotations

import sys

from autodistill.cli import main

if __name__ == "__main__":
    sys.exit(main())
