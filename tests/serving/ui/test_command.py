"""`uip2p ui`, the command."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest

from uip2p.errors import UserError
from uip2p.serving.ui import command

needs_gradio = pytest.mark.skipif(find_spec("gradio") is None, reason="the page needs it: pip install 'uip2p[ui]'")


def parse(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(given)


def test_by_default_it_is_for_this_machine_and_opens_nothing():
    args = parse()
    assert (args.model, args.host, args.port, args.open, args.runs) == ("mini", "127.0.0.1", 7860, False, None)
    with pytest.raises(SystemExit):
        parse("--share")  # there are no tunnels


@pytest.mark.parametrize(("given", "says"), [
    (["--host", "0.0.0.0"], "--password FILE"), (["--queue", "0"], "--queue is 0"), (["--port", "70000"], "0 to 65535"),
    (["--password", "none.txt"], "cannot be read"), (["--key", "x.pem"], "without --certificate"),
    (["--policy", "none.toml"], "none.toml: there is no such file"), (["--runs", "none"], "--runs none: there is no"),
])  # fmt: skip
def test_what_is_wrong_is_said_before_anything_is_loaded(given, says):
    with pytest.raises(UserError, match=says):
        command.run(parse(*given))


def test_a_port_that_is_taken_is_said():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UserError, match="Address already in use"):
        command.run(parse("--port", str(taken.getsockname()[1])))


def status(url: str, form: bytes) -> int:
    try:
        with urllib.request.urlopen(url, form) as reply:
            return reply.status
    except urllib.error.HTTPError as error:
        return error.code


@needs_gradio
@pytest.mark.slow
def test_it_prints_its_address_answers_and_ends_well_leaving_nothing(tmp_path):
    """With a password: who has none sees a form, and nothing else."""
    people = tmp_path / "people.txt"
    people.write_text("anna:secret\n")
    began = time.monotonic()
    environment = {**os.environ, "TMPDIR": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    asks = [sys.executable, "-m", "uip2p.cli", "ui", "--port", "0", "--password", str(people)]
    with subprocess.Popen(asks, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            line = process.stdout.readline()
            assert line.startswith("http://127.0.0.1:") and "edits pictures with mini" in line
            with urllib.request.urlopen(line.split()[0]) as reply:
                page = reply.read().decode()
            assert '"auth_required":true' in page.replace(" ", "") and "u-gallery" not in page
            for password, expected in (("secret", 200), ("Secret", 400)):
                form = urllib.parse.urlencode({"username": "anna", "password": password}).encode()
                assert status(f"{line.split()[0]}/login", form) == expected
            print(f"from the command to the page: {time.monotonic() - began:.1f} s")
            assert list(Path(tmp_path).glob("uip2p-ui-*"))
            process.send_signal(signal.SIGTERM)
            told, complaints = process.communicate(timeout=30)
            assert (process.returncode, told) == (0, "Stopped.\n")
            said = complaints.splitlines()  # what is declined is said, and nothing else
            assert said[0] == "Loading mini …" and len(said) == 3 and "not looked at" in said[2], complaints
        finally:
            process.kill()
    assert not list(Path(tmp_path).glob("uip2p-ui-*"))


def test_the_tab_shows_the_usual_folder_of_runs_where_there_is_one(tmp_path, monkeypatch):
    from uip2p.serving.ui.command import runs_folder

    monkeypatch.chdir(tmp_path)
    assert runs_folder(None) is None and runs_folder(Path("mine")) == Path("mine")
    Path("runs").mkdir()
    assert runs_folder(None) == Path("runs")
