"""What happens on the page, without a page: real edits by the shipped model."""

from __future__ import annotations

import asyncio
import io
import time

import numpy as np
import pytest
from PIL import Image

from uip2p.editing.editor import Editor
from uip2p.editing.instructions import UnknownWord
from uip2p.errors import UserError
from uip2p.safety.policy import load_policy
from uip2p.safety.refused import Refused
from uip2p.serving.asking import Cancelled, Limits
from uip2p.serving.service import Service
from uip2p.serving.ui import views
from uip2p.serving.ui.desk import MAX_TEXT, Asked, Desk, suggestions
from uip2p.serving.ui.examples import examples
from uip2p.serving.ui.session import Sessions


@pytest.fixture(scope="module")
def desk():
    service = Service(Editor.from_pretrained("mini", "cpu"), Limits(steps=500))
    yield Desk(service, Sessions(), examples(service.editor.parts), shipped=True)
    service.drain(2)


@pytest.fixture
def session(desk):
    session = desk.sessions.get("page")
    desk.example(session, 0)
    yield session
    desk.sessions.close("page")


def edit(desk, session, *args, **options) -> list[str]:
    async def all_of() -> list[str]:
        return [said async for said in desk.edit(session, Asked(*args, **options))]

    return asyncio.run(all_of())


def encoded(picture: Image.Image, form: str, **options) -> bytes:
    content = io.BytesIO()
    picture.save(content, form, **options)
    return content.getvalue()


def test_an_edit_is_the_next_state_and_says_how_far_it_is(desk, session):
    said = edit(desk, session, "make the bus red", steps=8)
    assert any("Step " in one and "of 16" in one for one in said[1:])
    shot = session.current.content
    assert (session.history.at, session.before.number, shot.title) == (1, 0, "make the bus red")
    assert [one.word for one in shot.edited.attention] == ["make", "the", "bus", "red"]
    assert shot.edited.check.reversed.size == (64, 64) and session.job is None
    assert "score" in views.describe(shot.edited) and 'data-act="word"' in views.words(session)


def test_candidates_stand_side_by_side_and_each_can_be_gone_on_from(desk, session):
    edit(desk, session, "make the bus red", count=3, seed=5)
    scores = [shot.edited.check.score for shot in session.candidates]
    best = scores.index(max(scores))
    assert session.current.content is session.candidates[best] and len(set(scores)) > 1
    html = views.candidates(session)
    assert html.count("u-badge") == 1 and html.count('aria-pressed="true"') == 1 and html.count("<img") == 3
    other = (best + 1) % 3
    desk.choose(session, other)
    assert session.current.content.edited.seed == 5 + other and len(session.history.states) == 3
    desk.choose(session, best)
    assert session.history.at == 1 and len(session.history.states) == 3  # it was chosen before
    session.history = session.history.undo()
    assert views.candidates(session)
    desk.example(session, 1)
    assert not views.candidates(session)


def test_what_cannot_be_done_is_said_and_nothing_changes(desk, session):
    before = session.history
    for asked, says in (
        (("make the buss red",), "Did you mean 'bus'"), (("",), "is empty"), (("make the bus red", 99), "1 to 8"),
        (("make the bus red", 1, -1), "seed is -1"), (("make the bus red", 1, 0, False, 501), "1 to 500"),
        (("make the bus red", 1, 0, False, 2, 1e9), "0 to 100"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=says):
            edit(desk, session, *asked)
    assert session.history is before and session.job is None
    with pytest.raises(UserError, match="no picture yet"):
        edit(desk, desk.sessions.get("empty"), "make the bus red")
    with pytest.raises(UserError, match="beside the caption"):  # half a pair of captions
        edit(desk, session, "make the bus red", edited_caption="a red bus by a lake in words")


def test_a_word_that_is_not_known_brings_instructions_that_would_do(desk, session):
    with pytest.raises(UnknownWord) as unknown:
        edit(desk, session, "Make the bus, redd!")
    assert "Make the bus, red" in suggestions(unknown.value, "Make the bus, redd!")
    with pytest.raises(UnknownWord) as unknown:
        edit(desk, session, "make the zeppelin red")
    assert desk.told(unknown.value).endswith("Its words are listed on this page.")  # and not in a file of the model's
    assert suggestions(UserError("redd"), "redd") == []


def test_cancelled_between_steps(desk, session):
    async def begin_and_cancel() -> float:
        running = desk.edit(session, Asked("make the bus red", 8, steps=500))
        await anext(running)
        await anext(running)
        cancelled = time.monotonic()
        session.cancel()
        with pytest.raises(Cancelled):
            async for _ in running:
                pass
        return time.monotonic() - cancelled

    assert asyncio.run(begin_and_cancel()) < 5
    assert session.history.at == 0 and session.job is None
    edit(desk, session, "make the bus red")
    assert session.history.at == 1


def test_a_page_that_closes_takes_its_edit_along(desk):
    session = desk.sessions.get("closing")
    desk.example(session, 0)

    async def begin_and_leave():
        running = desk.edit(session, Asked("make the bus red", 8, steps=500))
        await anext(running)
        job = session.job
        with pytest.raises(UserError, match="one edit is on its way"):
            await anext(desk.edit(session, Asked("make it night")))
        desk.sessions.close("closing")
        return job

    job = asyncio.run(begin_and_leave())
    assert isinstance(job.future.exception(timeout=5), Cancelled)


def test_whoever_stops_listening_cancels(desk, session):
    async def listen_once():
        running = desk.edit(session, Asked("make the bus red", 8, steps=500))
        await anext(running)
        job = session.job
        await running.aclose()
        return job

    assert isinstance(asyncio.run(listen_once()).future.exception(timeout=5), Cancelled)


def test_a_model_without_an_encoder_edits_and_says_why_unchecked_and_a_policy_is_asked(tiny_folder):
    service = Service(Editor.from_pretrained(tiny_folder, "cpu"), check_prompt=load_policy().check)
    desk = Desk(service, Sessions(), examples(service.editor.parts), shipped=False)
    session = desk.sessions.get("page")
    desk.example(session, 0)
    edit(desk, session, "as a watercolour", 2, steps=1)
    assert session.current.content.edited.check is None and "score" not in views.candidates(session)
    with pytest.raises(Refused, match="Rule '"):
        edit(desk, session, "undress her", steps=1)
    assert desk.remark(Asked("as a watercolour")) == ""
    said = desk.remark(Asked("as a watercolour", 2, check=False))
    assert said.startswith("Not checked: a check needs an image") and "'tiny'" in said
    assert str(tiny_folder) not in said + views.about(desk.parts, False)
    service.drain(1)


def test_a_picture_comes_in_upright_without_metadata_and_only_as_png_jpeg_or_webp(desk):
    session = desk.sessions.get("bringing")
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a secret place"
    wide = Image.fromarray(np.zeros((20, 40, 3), np.uint8))
    desk.bring(session, encoded(wide, "JPEG", exif=exif))
    picture = session.current.content.picture
    assert picture.size == (20, 40) and not picture.info and not picture.getexif()
    desk.bring(session, encoded(wide, "WEBP"))
    for content in (encoded(wide, "GIF"), encoded(wide, "TIFF"), b"<svg onload='x'/>", b"", b"\x89PNG\r\n\x1a\n"):
        with pytest.raises(UserError):
            desk.bring(session, content)
    with pytest.raises(UserError, match="megapixels"):
        desk.bring(session, encoded(Image.new("L", (6000, 6000)), "PNG"))
    with pytest.raises(UserError, match="MB"):
        desk.bring(session, bytes(21 << 20))
    assert len(session.history.states) == 2
    desk.sessions.close("bringing")


def test_a_file_that_is_taken_along_says_that_it_was_edited(desk, session, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    edit(desk, session, "make the bus red")
    edit(desk, session, "make it night")
    for form in ("png", "jpeg", "webp"):
        content = desk.file(session.token, 2, form)
        assert Image.open(io.BytesIO(content)).format == form.upper()
        assert content.count(b"c2pa.edited") > desk.file(session.token, 1, form).count(b"c2pa.edited") > 0  # two turns
        assert b"compositeWithTrainedAlgorithmicMedia" in content and b"make the bus red" not in content
    for token, number, form in (  # not edited, not there, not theirs, not ours
        (session.token, 0, "png"), (session.token, 9, "png"), ("other", 1, "png"), (session.token, 1, "gif"),
    ):  # fmt: skip
        with pytest.raises(KeyError):
            desk.file(token, number, form)


def test_what_no_page_of_ours_sends_is_refused():
    good = ["make it night", 1.0, 0, False, 2.0, 1, 1.5, True, True, "", None, ""]
    assert Asked.of(good) == Asked("make it night", 1, 0, False, 2, 1, 1.5)
    assert isinstance(Asked.of(good).count, int)
    for bad in ([], good[:-1], [*good, 1], [{}, *good[1:]], ["x" * (MAX_TEXT + 1), *good[1:]], [["a"], *good[1:]]):
        with pytest.raises(UserError):
            Asked.of(bad)


def test_the_examples_work(desk):
    """What a page offers has to come out: each is nearer to its exact answer than a copy is. The photograph has none,
    and ends without colour."""
    from uip2p.scenes.answers import answer
    from uip2p.scenes.world import World
    from uip2p.serving.ui.examples import SCENES, SEED

    assert len(desk.examples) == len(SCENES) + 1
    pictures, texts = [one.picture for one in desk.examples], [one.instruction for one in desk.examples]
    made = [np.asarray(one.image).astype(float) for one in desk.service.editor.edit(pictures, texts)]
    for (kind, index, _), result in zip(SCENES, made, strict=False):
        drawn = answer(World(SEED, "test").edit(index, kind))
        copied = np.abs(drawn.source.astype(float) - drawn.target)[drawn.mask].mean()
        assert np.abs(result - drawn.target)[drawn.mask].mean() < 0.8 * copied, (kind, index)
    assert np.ptp(made[-1], axis=-1).mean() < 0.35 * np.ptp(np.asarray(pictures[-1]).astype(float), axis=-1).mean()
