"""What tests share: where real data lies, and tiny records."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Before torch is imported: its threads wait by spinning, and several test processes then slow each other down many times.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data beside the project (or at HARNESS_SHARED_DATA): read in place, never copied."""
    folder = Path(os.environ.get("HARNESS_SHARED_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"real data is not at {folder} (set HARNESS_SHARED_DATA)")
    return folder
