"""One call of an OpenAI-compatible endpoint: what is sent, what an error means, what it cost."""

from __future__ import annotations

import functools
import json
import os
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from uip2p.errors import UserError
from uip2p.instructions.answers import InvalidAnswer
from uip2p.instructions.endpoint_config import ChatConfig
from uip2p.instructions.failures import asked_to_wait, for_everybody, may_pass, without_key


@dataclass(frozen=True)
class Question:
    """What one call asks. messages: of OpenAI's chat API; a content is a text, or a list of texts and pictures. name,
    schema: of the JSON that is wanted. picture_tokens: the most that its pictures count for, all together."""

    messages: Sequence[Mapping[str, Any]]
    name: str
    schema: Mapping[str, Any]
    picture_tokens: int = 0

    def told(self, with_schema: bool) -> list[dict[str, Any]]:
        """The messages. with_schema: the first says what JSON is wanted, for a server that does not hold the model to
        a schema."""
        told = [dict(message) for message in self.messages]
        if with_schema:
            if told[0]["role"] != "system":
                told.insert(0, {"role": "system", "content": ""})
            note = "Answer with one JSON object of this schema, and nothing else:\n" + json.dumps(self.schema)
            told[0]["content"] = f"{told[0]['content']}\n\n{note}".lstrip()
        return told

    def most_tokens(self, messages: Sequence[Mapping[str, Any]]) -> int:
        """Of a prompt with these messages: a token is at least one byte of text."""
        contents = [message["content"] for message in messages]
        parts = [part for content in contents for part in ([content] if isinstance(content, str) else content)]
        texts = (part if isinstance(part, str) else part.get("text", "") for part in parts)
        return sum(len(text.encode()) for text in texts) + self.picture_tokens


@dataclass(frozen=True)
class Reply:
    """refused: why the model, or a filter around it, would not answer."""

    text: str
    refused: str
    tokens_in: int
    tokens_out: int


class Retry(Exception):
    """The call failed, and asking again may help. after: seconds that the server wants us to wait. away: it is the
    endpoint that is away or overrun, whatever the question."""

    def __init__(self, reason: str, after: float = 0.0, away: bool = False):
        super().__init__(reason)
        self.after, self.away = after, away


class Declined(Exception):
    """The endpoint will not answer this question, however often it is asked."""


class Budget:
    """What was spent, and the caps on it. A call sets aside the most that it can cost, and gives back what it did not,
    so the cap holds with any number of calls at a time. One thread.

    calls, tokens_in, tokens_out: what the run has spent already, in a life before."""

    def __init__(self, config: ChatConfig, calls: int = 0, tokens_in: int = 0, tokens_out: int = 0):
        self.config, self.calls, self.aside = config, calls, 0.0
        self.cost = self.price(tokens_in, tokens_out)

    def price(self, tokens_in: int, tokens_out: int) -> float:
        return (tokens_in * (self.config.price_in or 0.0) + tokens_out * (self.config.price_out or 0.0)) / 1e6

    def take(self, tokens_in: int) -> float:
        """Before a call of at most so many tokens → what is set aside for it. UserError: it might pass a cap."""
        most = self.price(tokens_in, self.config.max_tokens)
        config = self.config
        if config.max_calls is not None and self.calls >= config.max_calls:
            raise UserError(
                f"the cap of {config.max_calls} calls is reached: go on with the same command and a higher cap."
            )
        if config.max_cost is not None and self.cost + self.aside + most > config.max_cost:
            raise UserError(
                f"{self.cost:.4f} of the cap of {config.max_cost} is spent, and the next call could pass it: go on "
                "with the same command and a higher cap."
            )
        self.calls += 1
        self.aside += most
        return most

    def settle(self, aside: float, cost: float) -> None:
        """After a call: what it cost of what was set aside."""
        self.aside -= aside
        self.cost += cost


@functools.cache
def certificates() -> ssl.SSLContext:
    """Whom TLS trusts, as httpx has it: read once, since that takes longer than many a call."""
    import httpx

    return httpx.create_ssl_context()


class Connection:
    """The client and what was learned about its server. `learn` first, and `close` at last, in the same event loop."""

    def __init__(self, config: ChatConfig, budget: Budget):
        try:
            import openai
        except ImportError:
            raise UserError("to ask an endpoint, install the openai client: pip install 'uip2p[llm]'.") from None

        self.openai, self.config, self.budget = openai, config, budget
        self.key = os.environ.get(config.api_key_env, "").strip()
        if not self.key and not config.base_url and not os.environ.get("OPENAI_BASE_URL"):
            raise UserError(
                f"the environment has no {config.api_key_env}: put the key of your account into it, or give base_url, "
                "the address of another endpoint."
            )
        self.structured = "json_schema" if config.structured == "auto" else config.structured
        self.options: dict[str, Any] = {"temperature": config.temperature, "max_tokens": config.max_tokens}
        self.sends_seed, self.learned = True, False
        self.client: Any = None

    def open(self) -> None:
        """A client of the running event loop. An empty key would make it look for another in the environment."""
        self.client = self.openai.AsyncOpenAI(
            api_key=self.key or "none", base_url=self.config.base_url or None, timeout=self.config.timeout,
            max_retries=0, http_client=self.openai.DefaultAsyncHttpxClient(verify=certificates()),
        )  # fmt: skip

    async def close(self) -> None:
        if self.client is not None:
            await self.client.close()

    async def learn(self, example: Question) -> None:
        """One question about an example, so that what the server does not take is found once, before all others: a
        schema (then "json_object" is tried, then plain text), a seed, a temperature, `max_tokens`. Retry: as `ask`.
        UserError: it refuses the plainest question too."""
        while not self.learned:
            try:
                await self.ask(example, seed=0)
            except InvalidAnswer:
                pass  # taken, if badly answered
            except Declined as error:
                if self._adapt(str(error)):
                    continue
                raise UserError(f"{self._where()} refuses an example too: {error}. Check model and base_url.") from None
            self.learned = True

    def _adapt(self, message: str) -> bool:
        """Leave out what a refusal names, or else ask for less structure → whether there was anything left to do."""
        if "seed" in message and self.sends_seed:
            self.sends_seed = False
        elif "temperature" in message and "temperature" in self.options:
            del self.options["temperature"]
        elif "max_tokens" in message and "max_tokens" in self.options:
            self.options["max_completion_tokens"] = self.options.pop("max_tokens")
        elif self.config.structured == "auto" and self.structured != "text":
            self.structured = "json_object" if self.structured == "json_schema" else "text"
        else:
            return False
        return True

    async def ask(self, question: Question, seed: int) -> Reply:
        """One call. Retry, Declined, InvalidAnswer (no chat completion), or UserError: nobody will be answered."""
        messages = question.told(with_schema=self.structured != "json_schema")
        options = self.options | ({"seed": seed} if self.sends_seed else {})
        if self.structured == "json_schema":
            named = {"name": question.name, "schema": dict(question.schema), "strict": True}
            options["response_format"] = {"type": "json_schema", "json_schema": named}
        elif self.structured == "json_object":
            options["response_format"] = {"type": "json_object"}
        aside = self.budget.take(question.most_tokens(messages))
        cost = 0.0
        try:
            answer = await self.client.chat.completions.create(model=self.config.model, messages=messages, **options)
            reply = self._read(answer)
            cost = self.budget.price(reply.tokens_in, reply.tokens_out)
            return reply
        except InvalidAnswer:
            raise
        except self.openai.APITimeoutError:
            cost = aside  # it may have been answered, and charged
            raise Retry(f"no answer within {self.config.timeout:g} s") from None
        except self.openai.APIConnectionError as error:
            raise Retry(f"no connection ({self._said(error.__cause__ or error)})", away=True) from None
        except self.openai.APIStatusError as error:
            raise self._meaning(error) from None
        except (self.openai.APIError, ValueError) as error:  # its body is no JSON, or not the API's
            raise InvalidAnswer(f"the endpoint's answer cannot be read ({self._said(error)})") from None
        finally:
            self.budget.settle(aside, cost)

    def _read(self, answer: Any) -> Reply:
        """Of a ChatCompletion, whose fields the client does not check. InvalidAnswer: it is none."""
        try:
            choice = answer.choices[0]
            text = choice.message.content or ""
            refused = getattr(choice.message, "refusal", None) or ""
            if choice.finish_reason == "content_filter":
                refused = refused or "its content filter"
            usage = answer.usage
            tokens = (int(usage.prompt_tokens), int(usage.completion_tokens)) if usage is not None else (0, 0)
        except (AttributeError, IndexError, TypeError, ValueError):
            raise InvalidAnswer("the endpoint's answer is no chat completion") from None
        if usage is None and self.config.max_cost is not None:
            raise UserError(
                f"{self._where()} does not say how many tokens it used: give max_calls in place of max_cost."
            )
        return Reply(str(text), str(refused), *tokens)

    def _meaning(self, error: Any) -> Exception:
        """What an HTTP status says: for this try (Retry), for this question (Declined), or for all (UserError, which
        may be raised too)."""
        status, said = error.status_code, self._said(error)
        if ends := for_everybody(error, self._where(), self.config.api_key_env, said):
            return ends
        if status == 404:
            return UserError(
                f"{self._where()} has no model {self.config.model!r}, or is the address of something else ({said}): "
                "check model and base_url."
            )
        if may_pass(status):
            after = asked_to_wait(error, self.config.longest_pause, self._where(), said)
            return Retry(f"HTTP {status}: {said}", after, away=status in (429, 502, 503, 504))
        return Declined(f"HTTP {status}: {said}")

    def _where(self) -> str:
        return self.config.base_url or "the endpoint"

    def _said(self, error: BaseException) -> str:
        return without_key(error, self.key)
