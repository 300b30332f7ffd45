"""What a command that a test runs needs in its environment for its lines to count in `make coverage`; else nothing."""

from __future__ import annotations

import os

MEASURED = {name: os.environ[name] for name in ("COVERAGE_PROCESS_CONFIG", "COVERAGE_CORE") if name in os.environ}
