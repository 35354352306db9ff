"""What a form's fields mean for the picture."""

from __future__ import annotations

import pytest

from uip2p.serving.http.errors import BadRequest
from uip2p.serving.http.forms import wanted_size


def test_a_result_keeps_the_pictures_proportions():
    assert wanted_size("auto", (90, 60)) == (90, 60)
    for size in ("90x60", "45x30", "900x600", "899x600", "1x1"):
        width, height = wanted_size(size, (90, 60))
        assert f"{width}x{height}" == size
    for size, said in (("60x90", "proportions"), ("890x600", "proportions"), ("9000x6000", "25 mega"),
                       ("x", "give"), ("0x0", "give"), ("９0x60", "give"), ("-9x-6", "give")):  # fmt: skip
        with pytest.raises(BadRequest, match=said):
            wanted_size(size, (90, 60))
