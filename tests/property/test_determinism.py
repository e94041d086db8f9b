"""A replay gives the same frames and documents to the last bit, however many threads polars has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECORDINGS = ("scanner/demo/aave-v3.6.rec", "tests/recordings/aave-v3.0.rec")

REPLAY = """
import hashlib, sys
from dataclasses import replace
from pathlib import Path
import scanner
from scanner.export.documents import accounts_json, scan_json

result = scanner.scan(replay=Path(sys.argv[1]), extent="accounts", verify="none")
result = replace(result, snapshot=replace(result.snapshot, seconds={}))
texts = {name: frame.write_json().encode() for name, frame in result.frames.items()}
texts |= {"scan": scan_json(result), "accounts document": accounts_json(result)}
for name, text in texts.items():
    print(name, hashlib.sha256(text).hexdigest())
"""


def replay(recording: str, threads: int) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", REPLAY, str(ROOT / recording)],
        env={**os.environ, "POLARS_MAX_THREADS": str(threads)},
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize("recording", RECORDINGS)
def test_a_replay_is_the_same_with_one_thread_and_with_many(recording: str) -> None:
    one, many = replay(recording, 1), replay(recording, 4)
    assert len(one) == 14
    assert one == many
