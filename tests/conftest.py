"""What holds for every test process, before anything is imported."""

from __future__ import annotations

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    # The workers share the cores already; programs that a test starts with an environment of its own have all threads.
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
