"""What open pages keep on the server, and when it goes."""

from __future__ import annotations

import base64
import io
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from uip2p.serving.ui.session import SHOWN, Bounds, Sessions, show, take


def picture(side: int = 64, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8))


def decoded(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_a_small_picture_is_enlarged_pixel_by_pixel_and_a_large_one_reduced():
    small = picture()
    shown = decoded(show(small))
    assert shown.size == (384, 384)
    assert (np.asarray(shown.convert("RGB"))[3::6, 3::6] == np.asarray(small)).all()
    assert decoded(show(picture(1500))).size == (SHOWN[1], SHOWN[1])
    assert decoded(show(picture(500))).size == (500, 500)
    assert decoded(take(picture(500)).thumbnail).size == (128, 128)


def test_pages_know_nothing_of_each_other_and_go_when_they_close():
    sessions = Sessions()
    one, other = sessions.get("one"), sessions.get("other")
    one.history = one.history.add(take(picture()))
    assert other.current is None and sessions.get("one") is one
    assert sessions.find(one.token) is one and sessions.find("") is None and one.token != other.token
    sessions.close("one")
    assert len(sessions) == 1 and sessions.find(one.token) is None and sessions.get("one").current is None
    sessions.close("one"), sessions.close("never"), sessions.close(None)


def test_one_page_asks_from_several_threads_and_stays_one():
    """A browser sends several requests at a time. With a thread's turn of a microsecond the old race was lost in every
    fourth round."""
    turn = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(100):
            sessions, barrier = Sessions(), threading.Barrier(4)

            def ask(sessions=sessions, barrier=barrier) -> set[str]:
                barrier.wait()
                return {sessions.get("one").token for _ in range(20)}

            with ThreadPoolExecutor(4) as pool:
                tokens = set().union(*(asked.result() for asked in [pool.submit(ask) for _ in range(4)]))
            assert len(tokens) == 1
    finally:
        sys.setswitchinterval(turn)


def test_the_page_used_longest_ago_goes_first():
    sessions = Sessions(Bounds(pages=2))
    one, other = sessions.get("one"), sessions.get("other")
    sessions.get("one"), sessions.get("third")
    assert sessions.get("one") is one and sessions.find(other.token) is None


def test_pictures_of_all_pages_are_bounded():
    size = take(picture()).size
    sessions = Sessions(Bounds(all_size=int(2.5 * size)))
    for name in "abc":
        session = sessions.get(name)
        session.history = session.history.add(take(picture()))
        sessions.keep(session)
    assert len(sessions) == 2 and sum(one.size for one in sessions) == pytest.approx(2 * size, rel=0.1)


def test_an_idle_page_goes_when_another_comes():
    sessions = Sessions(Bounds(idle=0.0))
    one = sessions.get("one")
    sessions.get("other")
    assert sessions.find(one.token) is None


def test_the_states_of_one_page_are_bounded_and_what_was_made_of_them_is_forgotten():
    sessions = Sessions(Bounds(states=2))
    session = sessions.get("one")
    session.history = session.history.add(take(picture()))
    session.candidates, session.candidates_of, session.chosen = (take(picture()),), 0, {}
    for _ in range(3):
        session.history = session.history.add(take(picture()), session.history.at)
        sessions.keep(session)
    assert [state.number for state in session.history.states] == [2, 3]
    assert (session.candidates, session.candidates_of) == ((), None)
