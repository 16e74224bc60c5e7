"""``python -m ai_infra`` is ``ai-infra``."""

import sys

from ai_infra.cli import main

if __name__ == "__main__":
    sys.exit(main())
