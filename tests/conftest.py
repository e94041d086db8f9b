"""What holds for every test process, before anything is imported."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # The workers share the cores already; programs that a test starts with an environment of its own have all threads.
    os.environ.setdefault("POLARS_MAX_THREADS", "1")


@pytest.fixture(autouse=True)
def data_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep what one test learns of its node from the next one, whose node may have the same port."""
    folder = tmp_path_factory.mktemp("data")
    monkeypatch.setenv("LIQBANDS_DATA_DIR", str(folder))
    return folder
