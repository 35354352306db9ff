"""A hub on this machine: the addresses that an upload asks, and what was sent there."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Hub(ThreadingHTTPServer):
    """It lets in whoever has `token`. repositories: id → {"private", "files": name → bytes, "messages"}."""

    def __init__(self, token: str):
        super().__init__(("127.0.0.1", 0), Handler)
        self.token, self.repositories, self.large = token, dict[str, dict[str, Any]](), dict[str, bytes]()
        self.address = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            found = b""
            while size := int(self.rfile.readline(), 16):
                found += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return found
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, content: Any, status: int = 200) -> None:
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_PUT(self) -> None:  # a large file, where the batch has said to put it
        content = self.body()
        self.server.large[hashlib.sha256(content).hexdigest()] = content
        self.answer({})

    def do_GET(self) -> None:
        name = self.path.removeprefix("/api/models/").partition("?")[0].partition("/revision")[0]
        found = self.server.repositories.get(name)
        if found is None:
            return self.answer({"error": "Repository not found"}, 404)
        self.answer({"id": name, "private": found["private"], "sha": "0" * 40, "siblings": [], "tags": []})

    def do_POST(self) -> None:
        content, hub = self.body(), self.server
        if self.headers.get("Authorization") != f"Bearer {hub.token}":
            return self.answer({"error": "Invalid username or password."}, 401)
        if self.path == "/api/repos/create":
            asked = json.loads(content)
            name = "/".join(filter(None, (asked.get("organization"), asked["name"])))
            if name in hub.repositories:
                return self.answer({"error": "You already have it", "url": f"{hub.address}/{name}"}, 409)
            private = asked.get("private") or asked.get("visibility") == "private"
            hub.repositories[name] = {"private": bool(private), "files": {}, "messages": []}
            return self.answer({"url": f"{hub.address}/{name}", "name": name, "id": name})
        if self.path == "/api/validate-yaml":
            return self.answer({"errors": [], "warnings": []})
        if "/preupload/" in self.path:
            files = json.loads(content)["files"]
            mode = {True: "lfs", False: "regular"}
            return self.answer({"files": [
                {"path": file["path"], "uploadMode": mode[file["path"].endswith(".safetensors")], "shouldIgnore": False}
                for file in files
            ]})  # fmt: skip
        if self.path.endswith("/info/lfs/objects/batch"):
            return self.answer({"transfer": "basic", "objects": [
                {**one, "authenticated": True, "actions": {"upload": {"href": f"{hub.address}/large/{one['oid']}"}}}
                for one in json.loads(content)["objects"]
            ]})  # fmt: skip
        if "/commit/" in self.path:
            name = self.path.removeprefix("/api/models/").partition("/commit")[0]
            files = hub.repositories[name]["files"]
            for line in map(json.loads, content.splitlines()):
                value = line["value"]
                if line["key"] == "header":
                    hub.repositories[name]["messages"].append(value["summary"])
                elif line["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    files[value["path"]] = hub.large[value["oid"]]
            return self.answer({"commitUrl": f"{hub.address}/{name}/commit/1", "commitOid": "1" * 40, "success": True})
        self.answer({"error": self.path}, 404)
