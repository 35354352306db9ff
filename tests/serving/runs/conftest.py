from pathlib import Path

import pytest
from trained_runs import make_runs


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> Path:
    """See `make_runs`. Do not change it."""
    return make_runs(tmp_path_factory.mktemp("runs"))
