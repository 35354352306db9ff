"""Editors behind an OpenAI-compatible endpoint: POST URL/images/edits.

    endpoint:URL#MODEL[?OPTIONS]   such as http://localhost:8000/v1#Qwen/Qwen-Image-Edit

    key=VARIABLE     of the environment, that holds the key (OPENAI_API_KEY); local servers need none
    seed=no          the server takes no seed, so an edit that is asked for again comes out otherwise
    concurrency=8    calls at a time: by itself, the batch size
    tries=6          for a picture, where the endpoint fails; between them a pause that doubles, and what it asks for
    timeout=300      seconds for a call

Any other option is a field of the request: size=1024x1024, quality=high, num_inference_steps=28.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import os
import random
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urljoin, urlsplit

from PIL import Image

from uip2p.errors import UserError
from uip2p.evaluate.asking import Ask, Refused, Sampling
from uip2p.evaluate.editors import RoundTrip, split_options, told
from uip2p.images import load_image
from uip2p.instructions.failures import asked_to_wait, for_everybody, may_pass, without_key

LARGEST = 64 * 2**20  # bytes of an answer's picture
LONGEST_PAUSE = 60.0  # seconds between two tries
OUR_OPTIONS = ("key", "seed", "concurrency", "tries", "timeout")
MODERATION = ("moderation", "content_policy", "content_filter", "safety")  # in the code or type of such an error
NOT_FIELDS = ("image", "mask", "prompt", "model", "n", "stream")


class Again(Exception):
    """This try failed, another may not. after: seconds that the server asks to wait."""

    def __init__(self, why: str, after: float = 0.0):
        super().__init__(why)
        self.after = after


class Declined(Exception):
    """The endpoint's moderation stops this question."""


def open_editor(reference: str, name: str, device: str | None, dtype: str, batch_size: int) -> Endpoint:
    """UserError: no address or model in the reference, an option out of range, no openai client, or no key."""
    place, options = split_options(reference)
    url, _, model = place.partition("#")
    if urlsplit(url).scheme not in ("http", "https") or not model:
        raise UserError(f"endpoint:{place}: give an address and a model, such as http://localhost:8000/v1#MODEL.")
    if "@" in urlsplit(url).netloc:
        raise UserError("endpoint: the address holds a password: put it into the environment, and give key=VARIABLE.")
    ours = {key: options.pop(key) for key in OUR_OPTIONS if key in options}
    if wrong := [key for key in options if key in NOT_FIELDS]:
        raise UserError(f"endpoint:{place}: {wrong[0]} is not an option: every question has its own, and one answer.")
    seed = ours.get("seed", "yes")
    if seed not in ("yes", "no"):
        raise UserError(f"endpoint:{place}: seed is {seed!r}: give yes or no.")
    return Endpoint(
        name, url, model, {key: _value(text) for key, text in options.items()}, ours.get("key", "OPENAI_API_KEY"),
        seed == "yes", int(_number(place, ours, "concurrency", batch_size)), int(_number(place, ours, "tries", 6)),
        _number(place, ours, "timeout", 300),
    )  # fmt: skip


def _number(place: str, options: dict[str, str], name: str, default: int) -> float:
    text = options.get(name, str(default))
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1 <= value <= 1e5:
        raise UserError(f"endpoint:{place}: {name} is {text!r}: give a number from 1 up.")
    return value


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


@dataclass(frozen=True)
class Endpoint:
    """url: up to /v1. request: more fields of every request. pause: seconds before the second try, see above.

    `Sampling.size` resizes the picture that is sent; what the server makes of it is the server's. It has no other
    setting of `Sampling`: a request's fields go by the server's own names."""

    name: str
    url: str
    model: str
    request: dict[str, Any]
    key_variable: str = "OPENAI_API_KEY"
    sends_seed: bool = True
    concurrency: int = 8
    tries: int = 6
    timeout: float = 300.0
    size: int | None = None
    pause: float = 1.0

    tunable = frozenset(("size",))

    def describe(self) -> dict[str, Any]:
        sampling = {**dict.fromkeys(Sampling.__dataclass_fields__), "size": self.size}
        return {
            "adapter": "endpoint", "url": self.url, "model": self.model, "request": self.request,
            "seed": self.sends_seed, "sampling": sampling,
        }  # fmt: skip

    def sampled(self, sampling: Sampling) -> Endpoint:
        return replace(self, size=told(sampling, self).size or self.size)

    def round_trip(self) -> RoundTrip | None:
        return None

    def edit(self, asks: Sequence[Ask]) -> list[Image.Image | Refused]:
        """Refused: what the endpoint's moderation stops. UserError: the endpoint takes no such request, wants a key or
        money, or has failed as often as it may."""
        try:
            import openai
        except ImportError:
            raise UserError("to ask an endpoint, install the openai client: pip install 'uip2p[llm]'.") from None
        from uip2p.instructions.connection import certificates

        stop = threading.Event()
        client = openai.OpenAI(
            api_key=self._key() or "none", base_url=self.url, timeout=self.timeout, max_retries=0,
            http_client=openai.DefaultHttpxClient(verify=certificates()),
        )  # fmt: skip
        with client, ThreadPoolExecutor(self.concurrency) as pool:
            calls = [pool.submit(self._patiently, client, ask, stop) for ask in asks]
            try:
                wait(calls)
            finally:
                stop.set()
        failures = [failure for call in calls if (failure := call.exception()) is not None]
        if failures:
            raise next((failure for failure in failures if not isinstance(failure, Again)), failures[0])
        return [call.result() for call in calls]

    def _key(self) -> str:
        return os.environ.get(self.key_variable, "").strip()

    def _patiently(self, client: Any, ask: Ask, stop: threading.Event) -> Image.Image | Refused:
        """The answer of the first try that has one. stop: nobody waits for it any more, so Again is raised; or set
        here, with the UserError that ends all."""
        draw = random.Random(f"{ask.key} {ask.seed}")
        for failed in range(1, self.tries + 1):
            if stop.is_set():
                raise Again("another question cannot be answered")
            try:
                return self._ask(client, ask)
            except Declined as refusal:
                return Refused(str(refusal))
            except UserError:
                stop.set()
                raise
            except Again as failure:
                if failed == self.tries:
                    stop.set()
                    raise UserError(
                        f"{self.url}: {ask.key}: no edit in {failed} tries ({failure}): start the server, or wait, "
                        "then go on with the same command."
                    ) from None
                stop.wait(failure.after + draw.uniform(0, min(LONGEST_PAUSE, self.pause * 2.0 ** (failed - 1))))
        raise AssertionError("tries is at least 1")

    def _ask(self, client: Any, ask: Ask) -> Image.Image:
        """One call. Again, Declined, or UserError."""
        import openai

        picture = ask.image if self.size is None else ask.image.resize((self.size, self.size), Image.Resampling.LANCZOS)
        png = io.BytesIO()
        picture.save(png, "PNG")
        more = self.request | ({"seed": ask.seed} if self.sends_seed else {})
        try:
            answer = client.images.edit(
                model=self.model, image=("image.png", png.getvalue(), "image/png"), prompt=ask.instruction, n=1,
                extra_body=more,
            )  # fmt: skip
        except openai.APITimeoutError:
            raise Again(f"no answer within {self.timeout:g} s") from None
        except openai.APIConnectionError as error:
            raise Again(f"no connection ({self._said(error.__cause__ or error)})") from None
        except openai.APIStatusError as error:
            raise self._meaning(error, ask) from None
        except (openai.APIError, ValueError) as error:
            raise Again(f"its answer cannot be read ({self._said(error)})") from None
        try:
            return load_image(self._content(answer))
        except UserError as error:  # cut short, or no picture at all
            raise Again(f"its answer is no picture: {error}") from None

    def _content(self, answer: Any) -> bytes:
        """The bytes of the picture, from the answer or from where it says that they lie."""
        try:
            data = answer.data[0]
            inside, where = data.b64_json, data.url
        except (AttributeError, IndexError, TypeError):
            raise Again("its answer holds no picture") from None
        if inside:
            if len(inside) > LARGEST * 4 // 3 + 4:
                raise Again(f"its picture has more than {LARGEST >> 20} MiB")
            try:
                return base64.b64decode(inside, validate=True)
            except (binascii.Error, ValueError):
                raise Again("its answer is no base64") from None
        if not where:
            raise Again("its answer holds no picture")
        return self._download(urljoin(f"{self.url}/", where))

    def _download(self, url: str) -> bytes:
        """Without our key: the picture may lie on another's server."""
        if urlsplit(url).scheme not in ("http", "https"):
            raise Again(f"its picture lies at {url[:80]}, which is no address on the web")
        try:
            with urllib.request.urlopen(url, timeout=self.timeout) as response:
                content: bytes = response.read(LARGEST + 1)
        except (OSError, ValueError) as error:
            raise Again(f"its picture cannot be downloaded ({self._said(error)})") from None
        if len(content) > LARGEST:
            raise Again(f"its picture has more than {LARGEST >> 20} MiB")
        return content

    def _meaning(self, error: Any, ask: Ask) -> Exception:
        """What an HTTP status says: another try (Again), or none (UserError, which may be raised too)."""
        status, said = error.status_code, self._said(error)
        if ends := for_everybody(error, self.url, self.key_variable, said):
            return ends
        if status == 404:
            return UserError(
                f"{self.url} has no model {self.model!r} that edits, or is the address of something else ({said})."
            )
        if may_pass(status):
            return Again(f"HTTP {status}: {said}", asked_to_wait(error, LONGEST_PAUSE, self.url, said))
        if self.sends_seed and "seed" in said:
            return UserError(f"{self.url} takes no seed ({said}): give the option seed=no.")
        if any(word in f"{error.code} {error.type}" for word in MODERATION):
            return Declined(f"HTTP {status}: {said}")
        return UserError(f"{self.url}: {ask.key}: refused, HTTP {status}: {said}")

    def _said(self, error: BaseException) -> str:
        return without_key(error, self._key())
