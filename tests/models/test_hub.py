"""A hub that does not answer, or says no: a real server on this machine, the real client in its own process."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from uip2p.errors import UserError
from uip2p.models import hub
from uip2p.models.folder import load_pipeline

SCRIPT = """
import sys, time
time.sleep = lambda seconds: None  # the client waits 23 seconds between its tries
from uip2p.errors import UserError
from uip2p.models import hub
for name in sys.argv[1:]:
    try:
        hub.download(name, ["*/*.json", "unet/x.safetensors"])
        print("no error")
    except UserError as error:
        print(error)
"""
ANSWERS = {
    "broken": (500, ""),
    "gone": (404, "RepoNotFound"),
    "gated": (401, "GatedRepo"),
    "old": (404, "RevisionNotFound"),
}


class Hub(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status, code = next((answer for name, answer in ANSWERS.items() if name in self.path), (404, ""))
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *args):
        pass


def say(endpoint: str, home: Path, *names: str) -> list[str]:
    """What `hub.download` says of each name, a line each."""
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"}
    done = subprocess.run([sys.executable, "-c", SCRIPT, *names], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_hub_that_is_not_there(tmp_path):
    (line,) = say("http://127.0.0.1:9", tmp_path, hub.SD15)
    revision = hub.REVISIONS[hub.SD15]
    assert line == (
        f"{hub.SD15}: there is no such folder here, and the hub did not answer ([Errno 111] Connection refused): check "
        f"the connection and try again. Or download it elsewhere (hf download {hub.SD15} --revision {revision} "
        "--include '*/*.json' --include 'unet/x.safetensors' --local-dir DIR) and give DIR in its place."
    )


def test_a_hub_that_says_no(tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    broken, gone, gated, old = say(endpoint, tmp_path, "owner/broken", "owner/gone", "owner/gated", "owner/old@abc")
    server.shutdown()
    assert "the hub did not answer (Server error '500 Internal Server Error'" in broken
    assert "the hub has no such model, or it is private: check the name, or log in with hf auth login" in gone
    assert f"those who accept the licence: do so on {endpoint}/owner/gated, then log in with hf auth login" in gated
    assert "the hub has no revision 'abc' of it: give owner/name@revision" in old
    for line in (broken, gone, gated, old):
        assert "(hf download owner/" in line and "--local-dir DIR) and give DIR in its place." in line


def test_short_names_are_ids_and_a_single_file_says_where_its_configuration_goes(tiny_folder, tmp_path):
    """HF_HUB_OFFLINE, as the tests have it, is a hub that does not answer."""
    with pytest.raises(UserError, match=f"{hub.INSTRUCT_PIX2PIX}: there is no such folder here, and the hub did not"):
        load_pipeline("instruct-pix2pix")
    import torch

    from uip2p.models.single_file import save_single_file

    save_single_file(load_pipeline(tiny_folder), tmp_path / "x.safetensors", torch.float32, {}, tmp_path / "elsewhere")
    with pytest.raises(UserError, match=rf"{hub.SD15}: .+ --local-dir DIR\) and name the folder {tmp_path / 'x'}\."):
        load_pipeline(tmp_path / "x.safetensors")
