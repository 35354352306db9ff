"""A batch that fails: who it costs, and what it leaves."""

from __future__ import annotations

import weakref

import pytest
import torch

from uip2p.serving import making
from uip2p.serving.asking import Failed, OutOfMemory, Request
from uip2p.serving.memory import release


def too_large_for(most: int):
    """A hook: more pictures than that need a petabyte, and the real allocator says what it says."""

    def allocate(unet, args, kwargs, *_):
        if (args[0] if args else kwargs["sample"]).shape[0] > most:
            torch.empty(10**15)

    return allocate


def test_out_of_memory_is_answered_and_gone_with_the_next(start, pictures, tiny_editor):
    service = start()
    hook = tiny_editor.parts.unet.register_forward_hook(too_large_for(0), with_kwargs=True)
    with pytest.raises(OutOfMemory, match="not enough memory") as declined:
        service.submit(Request(pictures[0], "add a dog")).result()
    assert declined.value.status == 503 and declined.value.retry_after
    hook.remove()
    assert service.submit(Request(pictures[0], "add a dog")).result().edits
    assert service.out_of_memory == 1


def test_a_batch_too_large_for_the_memory_is_made_in_halves(start, pictures, tiny_editor):
    evaluations = tiny_editor.edit(pictures[0], "add a dog")[0].evaluations
    service = start()
    hook = tiny_editor.parts.unet.register_forward_hook(too_large_for(2 * evaluations), with_kwargs=True)
    try:
        answer = service.submit(Request(pictures[0], "add a dog", count=4)).result()
        assert [edit.seed for edit in answer.edits] == list(range(4))
        assert service.out_of_memory == 1 and service.batches == {4: 1}
        service.submit(Request(pictures[0], "add a dog", count=4)).result()
        assert service.out_of_memory == 1 and service.batches == {4: 1, 2: 2}  # it has learned
    finally:
        hook.remove()


def test_the_fault_of_one_edit_fails_only_that_one(start, gate, pictures, tiny_editor, caplog):
    def black(encoder, args):
        if (args[0].flatten(1) == -1).all(1).any():
            raise ValueError("a secret of the log")

    hook = tiny_editor.vae.encoder.register_forward_pre_hook(black)
    try:
        service = start()
        service.submit(Request(pictures[0], "add a dog"))
        assert gate.entered.wait(10)
        jobs = [service.submit(Request(pictures[i], "add a car")) for i in (0, 1, 4, 2)]
        gate.open.set()
        for job in (jobs[0], jobs[1], jobs[3]):
            assert job.result().edits
        with pytest.raises(Failed) as failed:
            jobs[2].result()
        assert "secret" not in str(failed.value) and "secret" in caplog.text
    finally:
        hook.remove()


def test_what_is_made_again_counts_again(start, pictures, tiny_editor):
    """Progress and the words of a deadline: 12 steps are 12 steps, whatever fails on the way."""
    service, told, calls = start(), [], []

    def second_step(unet, args, kwargs, *_):
        calls.append(None)
        if len(calls) == 2:
            torch.empty(10**15)

    hook = tiny_editor.parts.unet.register_forward_hook(second_step, with_kwargs=True)
    try:
        service.submit(Request(pictures[0], "add a dog", count=4), told.append).result()
    finally:
        hook.remove()
    assert [one.done for one in told] == [4, 2, 4, 6, 8, 10, 12]


def test_nothing_is_kept_of_a_batch_that_failed():
    kept = []

    def fails():
        tensor = torch.zeros(3)
        kept.append(weakref.ref(tensor))
        try:
            tensor.view(2)
        except RuntimeError:
            raise ValueError("another") from None

    try:
        fails()
    except ValueError as error:
        assert kept[0]() is not None
        release(error)
        assert kept[0]() is None and error.__traceback__ is None is error.__context__.__traceback__


def test_a_listener_that_raises_costs_nobody_an_edit(start, gate, pictures, caplog):
    service, heard = start(), []

    def broken(progress):
        heard.append(progress.done)
        raise ValueError("not now")

    service.submit(Request(pictures[2], "add a dog"))
    assert gate.entered.wait(10)
    jobs = [service.submit(Request(pictures[i], "add a car"), listener) for i, listener in enumerate((broken, None))]
    gate.open.set()
    assert [job.result().batch for job in jobs] == [2, 2]
    assert gate.calls == 6 and heard == [1]  # two batches of three steps: nothing was made twice
    assert "a listener failed" in caplog.text


def test_a_fault_in_how_a_fault_is_met_is_answered_too(start, pictures, tiny_editor, monkeypatch, caplog):
    """As when the device is lost: then its cache cannot be emptied either."""
    service = start()

    def lost():
        raise RuntimeError("the device is lost")

    monkeypatch.setattr(making, "empty_caches", lost)
    hook = tiny_editor.parts.unet.register_forward_hook(too_large_for(0), with_kwargs=True)
    job = service.submit(Request(pictures[0], "add a dog"))
    with pytest.raises(Failed):
        job.result()
    hook.remove()
    assert service.submit(Request(pictures[0], "add a dog")).result().edits and service.ready
    assert "the device is lost" in caplog.text
