"""The queue under the web page and the API, over a real tiny editor."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest

from uip2p.errors import UserError
from uip2p.serving.asking import Busy, Cancelled, Draining, Expired, Request


def wait_until(true, seconds: float = 10.0) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.005)


def largest_difference(one, other) -> int:
    return int(np.abs(np.asarray(one).astype(int) - np.asarray(other)).max())


# ---- batches -------------------------------------------------------------------------------------


def test_only_what_goes_together_is_made_together(start, gate, pictures):
    service = start(batch=4)
    first = service.submit(Request(pictures[0], "add a dog"))
    assert gate.entered.wait(10)
    together = [service.submit(Request(picture, f"make the {what} blue", seed=seed))
                for seed, (picture, what) in enumerate(zip(pictures[:3], ("car", "dog", "car"), strict=True))]
    apart = [
        service.submit(Request(pictures[0], "add a car", steps=2)),
        service.submit(Request(pictures[0], "add a car", guidance_scale=4.0)),
        service.submit(Request(pictures[3], "add a car")),
    ]
    gate.open.set()
    assert [job.result().batch for job in (first, *together, *apart)] == [1, 3, 3, 3, 1, 1, 1]
    assert service.batches == {1: 4, 3: 1} and service.outcomes == {"ok": 7}


def test_an_edit_does_not_depend_on_the_batch_it_is_in(start, gate, pictures, tiny_editor):
    service = start()
    service.submit(Request(pictures[0], "add a dog"))
    assert gate.entered.wait(10)
    asked = [Request(pictures[1], "make the car blue", seed=5, count=2), Request(pictures[2], "add a dog", seed=9)]
    jobs = [service.submit(request) for request in asked]
    gate.open.set()
    answers = [job.result() for job in jobs]
    assert [answer.batch for answer in answers] == [3, 3]
    alone = [*tiny_editor.edit(pictures[1], "make the car blue", seed=[5, 6]),
             *tiny_editor.edit(pictures[2], "add a dog", seed=9)]  # fmt: skip
    for shared, own in zip([edit for answer in answers for edit in answer.edits], alone, strict=True):
        assert shared.seed == own.seed
        assert largest_difference(shared.image, own.image) <= 1
    assert largest_difference(alone[0].image, alone[1].image) > 1  # else the seeds could be mixed up unseen


def test_a_job_larger_than_a_batch_is_made_in_several(start, gate, pictures):
    """And one that has to wait for room keeps its place among the waiting."""
    service = start(batch=2, queue=2)
    large = service.submit(Request(pictures[0], "add a dog", count=4))
    assert gate.entered.wait(10)
    assert (service.waiting, service.working) == (0, 2)
    small = service.submit(Request(pictures[0], "add a dog"))
    assert service.waiting == 1
    gate.open.set()
    assert [edit.seed for edit in large.result().edits] == [0, 1, 2, 3]
    assert small.result().queued > 0 and service.batches == {2: 2, 1: 1}


def test_progress_counts_every_step_of_every_result(start, pictures):
    service, told = start(), []
    service.submit(Request(pictures[0], "add a dog", count=2, steps=4, seed=7, previews=2), told.append).result()
    assert [(one.done, one.total) for one in told] == [(2, 8), (4, 8), (6, 8), (8, 8)]
    assert [sorted(one.previews) for one in told] == [[], [7, 8], [], []]  # the last step's is the result
    assert told[1].previews[7].size == (32, 32)


# ---- what is declined ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"instruction": " "}, "the instruction is empty"), ({"count": 9}, "the number of results is 9"),
        ({"count": 0}, "takes 1 to 8"), ({"steps": 51}, "steps is 51: this service takes 1 to 50"),
        ({"seed": -1}, "seed is -1"), ({"seed": 2**63 - 1, "count": 2}, "seed is"),
        ({"guidance_scale": float("nan")}, "guidance is nan"), ({"deadline": 0.0}, "deadline"),
        ({"check": True}, "add a dog|encoder"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_said_at_once(start, pictures, asked, said):
    service = start(steps=50)
    with pytest.raises(UserError, match=said):
        service.submit(Request(**{"picture": pictures[0], "instruction": "add a dog", **asked}))
    assert service.waiting == 0


def test_a_full_queue_declines_with_a_time_to_come_back(start, gate, pictures):
    service = start(queue=2)
    jobs = [service.submit(Request(pictures[0], "add a dog"))]
    assert gate.entered.wait(10)
    jobs += [service.submit(Request(pictures[0], "add a car")) for _ in range(2)]
    with pytest.raises(Busy, match="2 edits are waiting") as busy:
        service.submit(Request(pictures[0], "add a car"))
    assert busy.value.retry_after >= 1 and busy.value.status == 429
    with pytest.raises(Busy):
        service.admit()
    jobs[1].cancel()  # who has gone takes no place
    jobs.append(service.submit(Request(pictures[0], "add a car")))
    gate.open.set()
    assert [len(job.result().edits) for job in (jobs[0], *jobs[2:])] == [1, 1, 1]


def test_refusals_of_words_and_of_pictures(start, pictures):
    class No(UserError):
        code = "no"

    def words(*texts):
        if "red" in " ".join(text for text in texts if text):
            raise No("not red")

    def looks(made):
        return [No("not this") if len(made) > 1 else None for _ in made]

    service = start(options={"check_prompt": words, "refuse_pictures": looks})
    with pytest.raises(No, match="not red"):
        service.submit(Request(pictures[0], "make the car red"))
    with pytest.raises(No, match="not this"):
        service.submit(Request(pictures[0], "add a dog", count=2)).result()
    assert service.submit(Request(pictures[0], "add a dog")).result().edits
    assert service.outcomes == {"no": 1, "ok": 1}


# ---- time ----------------------------------------------------------------------------------------


def test_a_deadline_is_kept_in_work_and_in_the_queue(start, gate, pictures):
    service = start()
    began = time.monotonic()
    in_work = service.submit(Request(pictures[0], "add a dog", deadline=0.3))
    assert gate.entered.wait(10)
    waiting = service.submit(Request(pictures[0], "add a car", deadline=0.1))
    with pytest.raises(Expired, match=r"within 0.1 seconds \(while it waited\)"):
        waiting.result()
    with pytest.raises(Expired, match=r"within 0.3 seconds \(after 0 of 3 steps\)"):
        in_work.result()
    assert time.monotonic() - began < 3
    gate.open.set()
    assert service.submit(Request(pictures[0], "add a car")).result().edits
    wait_until(lambda: service.working == 0)
    assert service.outcomes == {"deadline": 2, "ok": 1}


def test_a_cancelled_batch_stops_at_its_next_step(start, gate, pictures):
    service, jobs = start(), []

    def leave(progress):
        if progress.done == 2:
            jobs[0].cancel()

    jobs.append(service.submit(Request(pictures[0], "add a dog", steps=50), leave))
    gate.open.set()
    with pytest.raises(Cancelled):
        jobs[0].result()
    wait_until(lambda: service.working == 0)
    assert gate.calls <= 3  # of 50
    assert service.submit(Request(pictures[0], "add a dog")).result().edits


def test_a_batch_goes_on_for_those_who_stay(start, gate, pictures):
    service = start()
    service.submit(Request(pictures[0], "add a dog"))
    assert gate.entered.wait(10)
    leaves, stays = (service.submit(Request(pictures[i], "add a car", steps=6)) for i in (0, 1))
    leaves.listener = lambda progress: leaves.cancel()
    gate.open.set()
    assert stays.result().edits
    with pytest.raises(Cancelled):
        leaves.result()


def test_a_task_that_is_cancelled_cancels_its_job(start, gate, pictures):
    service = start()

    async def ask():
        job = service.submit(Request(pictures[0], "add a dog"))

        async def wait():
            return await job

        task = asyncio.create_task(wait())
        while not gate.entered.is_set():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return job

    job = asyncio.run(ask())
    with pytest.raises(Cancelled):
        job.result()


# ---- the end -------------------------------------------------------------------------------------


def test_drain_finishes_what_it_has_taken(start, gate, pictures):
    service = start()
    jobs = [service.submit(Request(pictures[0], text)) for text in ("add a dog", "add a car")]
    assert gate.entered.wait(10)
    jobs.append(service.submit(Request(pictures[1], "add a car", steps=2)))
    jobs[2].cancel()  # nothing to wait for
    gate.open.set()
    began = time.monotonic()
    assert service.drain(8.0) and time.monotonic() - began < 4
    assert all(job.result().edits for job in jobs[:2])
    assert not service.ready
    with pytest.raises(Draining):
        service.submit(Request(pictures[0], "add a dog"))


def test_drain_answers_what_it_cannot_finish(start, gate, pictures):
    service = start()
    jobs = [service.submit(Request(pictures[0], text)) for text in ("add a dog", "add a car")]
    assert gate.entered.wait(10)
    assert not service.drain(0.2)
    for job in jobs:
        with pytest.raises(Draining, match="ask again"):
            job.result()
    gate.open.set()
    service._worker.join(5)
    assert not service._worker.is_alive() and gate.calls == 1
