"""What the command line makes of warnings."""

from __future__ import annotations

from pathlib import Path

import uip2p
from uip2p.cli import warning_line


def test_our_warnings_are_a_sentence_and_those_of_others_stay_as_they_are():
    ours = str(Path(uip2p.__file__).parent / "provenance" / "writer.py")
    assert warning_line("no signature.", UserWarning, ours, 1) == "uip2p: warning: no signature.\n"
    assert warning_line("old.", DeprecationWarning, ours, 7, "").startswith(f"{ours}:7: DeprecationWarning: old.")
    assert warning_line("theirs.", UserWarning, "theirs.py", 3, "").startswith("theirs.py:3: UserWarning: theirs.")
