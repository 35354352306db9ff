"""One run that most of the tests read; they do not change it."""

import pytest
from drawn_runs import CAREFUL, WILD, make_run


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "first", [CAREFUL, WILD])
