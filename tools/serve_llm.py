"""An OpenAI-compatible server in front of transformers: a small real peer, for where vLLM or llama.cpp is too much.

    python tools/serve_llm.py MODEL [--port 8000] [--batch-size 8] [--dtype fp32]

MODEL: a hub id, a folder or a .gguf file. It answers POST /v1/chat/completions on this machine alone; calls that come
together are answered in one batch. It holds no answer to a schema, and says so: 400 to any response_format but text.
"""

from __future__ import annotations

import argparse
import json
import queue
import threading
import time
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from uip2p.instructions.local import Completion, LanguageModel

Call = tuple[str, int, int, float, Future]  # prompt, seed, max_tokens, temperature, the Completion to come


class Batches(threading.Thread):
    """Takes what is waiting, and answers it together."""

    def __init__(self, llm: LanguageModel, size: int):
        super().__init__(daemon=True)
        self.llm, self.size = llm, size
        self.waiting: queue.Queue[Call] = queue.Queue()

    def ask(self, prompt: str, seed: int, max_tokens: int, temperature: float) -> Completion:
        future: Future = Future()
        self.waiting.put((prompt, seed, max_tokens, temperature, future))
        return future.result()

    def run(self) -> None:
        while True:
            calls = [self.waiting.get()]
            time.sleep(0.05)  # for those that come with it
            while len(calls) < self.size and not self.waiting.empty():
                calls.append(self.waiting.get())
            for temperature in {call[3] for call in calls}:
                alike = [call for call in calls if call[3] == temperature]
                try:
                    prompts, seeds, limits = ([call[part] for call in alike] for part in (0, 1, 2))
                    made = self.llm.complete(prompts, seeds, max(limits), temperature)
                    for call, one in zip(alike, made, strict=True):
                        call[4].set_result(one)
                except Exception as error:
                    for call in alike:
                        call[4].set_exception(error)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    batches: Batches
    model: str

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path != "/v1/chat/completions":
            return self.send(404, {"error": {"message": f"there is no {self.path}"}})
        if request.get("response_format", {"type": "text"})["type"] != "text":
            return self.send(400, {"error": {"message": "response_format: this server gives text alone"}})
        limit = int(request.get("max_tokens") or 256)
        prompt = self.batches.llm.render(request["messages"])
        made = self.batches.ask(prompt, int(request.get("seed") or 0), limit, float(request.get("temperature") or 0))
        message = {"role": "assistant", "content": made.text}
        finish = "length" if made.tokens_out >= limit else "stop"
        usage = {"prompt_tokens": made.tokens_in, "completion_tokens": made.tokens_out}
        self.send(200, {
            "id": "chatcmpl", "object": "chat.completion", "created": int(time.time()), "model": self.model,
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {**usage, "total_tokens": made.tokens_in + made.tokens_out},
        })  # fmt: skip

    def send(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--port", type=int, default=8000, help="0: any that is free (default: 8000)")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--dtype", default="fp32")
    args = parser.parse_args()
    Handler.batches, Handler.model = Batches(LanguageModel.load(args.model, args.dtype), args.batch_size), args.model
    Handler.batches.start()
    server = ThreadingHTTPServer(("127.0.0.1", args.port), Handler)
    print(f"http://127.0.0.1:{server.server_address[1]}/v1", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
