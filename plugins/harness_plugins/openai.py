"""`openai:MODEL@BASE_URL`: any server with the OpenAI chat HTTP interface (vLLM, llama.cpp, hosted models).

`openai:qwen@http://127.0.0.1:8000/v1`; without `@BASE_URL` it is https://api.openai.com/v1. Options:
`concurrency` (requests in flight), `retries` (of 429, 5xx and lost connections, with growing pauses or the
server's Retry-After), `timeout` (seconds for one answer), `key_env` (the environment variable that holds the
key; none is fine for servers that ask for none), `max_tokens_field` (`max_completion_tokens` for hosted
reasoning models).

One HTTP request per completion, each with its own seed, since not every server knows `n`. What a seed means
is the server's business: equal seeds are not promised to give equal texts. `top_k` and `repetition_penalty`
are sent where they are set, under the names vLLM knows; a server that ignores them cannot be told from one
that obeys.

The key is read when requests are sent, goes into one header, and is struck out of everything that comes back.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal

from harness import Completion, HarnessError, Request, Settings, UsageError, clean_text, hookimpl, require
from harness_plugins.openai_parts import Address, Secret, address_of, completion_of, server_message

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Sequence

    import httpx

    from harness import Message, RegisterModel

MAX_BODY = 8 * 2**20
"""Bytes of one answer; more is refused before it is parsed."""

_KEY_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*_API_KEY")
_LONGEST_PAUSE = 60.0
_RETRIED = frozenset((408, 409, 429))
_FATAL = {
    401: "refuses the key",
    402: "asks for payment",
    403: "forbids this",
    404: "knows no such model or address",
}


@hookimpl
def register_models(register: RegisterModel) -> None:
    register("openai", openai)


def openai(
    rest: str,
    *,
    concurrency: int = 8,
    retries: int = 5,
    timeout: float = 60.0,
    key_env: str = "OPENAI_API_KEY",
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens",
) -> OpenAIModel:
    """A model behind an OpenAI-compatible chat server, as MODEL@BASE_URL."""
    require("openai: models over HTTP", ("httpx",), "'reward-harness[openai]'")
    address = address_of(rest)
    for name, value, low, high in (
        ("concurrency", concurrency, 1, 1024),
        ("retries", retries, 0, 100),
        ("timeout", timeout, 0.001, 86400),
    ):
        if not low <= value <= high:
            raise ValueError(f"{name} {value} is not between {low} and {high}")
    if not _KEY_NAME.fullmatch(key_env):
        # A suite from elsewhere could otherwise send any secret of the environment to any address.
        raise ValueError("key_env must be the name of an environment variable that ends in _API_KEY")
    if max_tokens_field not in ("max_tokens", "max_completion_tokens"):
        raise ValueError(f"max_tokens_field {max_tokens_field!r} is neither max_tokens nor max_completion_tokens")
    return OpenAIModel(f"openai:{rest}", address, Policy(concurrency, retries, timeout), key_env, max_tokens_field)


@dataclass(frozen=True, slots=True)
class Policy:
    """Requests in flight, further tries after the first, seconds for one answer, seconds of the first
    pause.
    """

    concurrency: int = 8
    retries: int = 5
    timeout: float = 60.0
    first_pause: float = 0.5


@dataclass(frozen=True, slots=True)
class _Again:
    """A try that failed and may be repeated: why, how long the server asked to wait, whether it was
    reached.
    """

    reason: str
    wait: float = 0.0
    reached: bool = True


class OpenAIModel:
    """See the module. Holds no connection between calls and never the key."""

    def __init__(
        self, name: str, address: Address, policy: Policy, key_env: str, max_tokens_field: str = "max_tokens"
    ) -> None:
        self.name = name
        self._address, self._policy = address, policy
        self._key_env, self._max_tokens_field = key_env, max_tokens_field

    @property
    def fingerprint(self) -> str:
        """Model and server; what weights the server holds under that name cannot be known from here."""
        return f"openai:1:{self._address.model}@{self._address.base_url}"

    def generate(self, requests: Sequence[Request], settings: Settings) -> Iterator[tuple[int, tuple[Completion, ...]]]:
        """See `Model.generate`.

        Raises `UsageError` for beam search, and `HarnessError` where no request can succeed: the server
        refuses the key, does not know the model, sends elsewhere, or cannot be reached.
        """
        if settings.num_beams > 1:
            raise UsageError("openai: the chat interface has no beam search; leave num_beams at 1")
        secret = Secret.from_environment(self._key_env)
        jobs = [(request, seed) for request in requests for seed in request.seeds]
        answers = iter(_run(self._all(_client_library(), jobs, settings, secret)))
        for index, request in enumerate(requests):
            yield index, tuple(next(answers) for _ in request.seeds)

    async def _all(
        self, http: Any, jobs: Sequence[tuple[Request, int]], settings: Settings, secret: Secret
    ) -> list[Completion]:
        policy = self._policy
        client = http.AsyncClient(
            timeout=http.Timeout(policy.timeout, connect=min(10.0, policy.timeout)),
            limits=http.Limits(max_connections=policy.concurrency, max_keepalive_connections=policy.concurrency),
            follow_redirects=False,
            trust_env=not self._address.is_loopback,
        )
        sender = _Sender(client, self._address, policy, secret)
        gate = asyncio.Semaphore(policy.concurrency)

        async def one(request: Request, seed: int) -> Completion:
            if request.sample.prompt is None:
                return Completion(None, status="error", reason="the sample has no prompt")
            async with gate:
                return await sender.complete(self._payload(request.sample.prompt, seed, settings))

        async with client:
            tasks = [asyncio.create_task(one(request, seed)) for request, seed in jobs]
            try:
                return await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def _payload(self, prompt: str | tuple[Message, ...], seed: int, settings: Settings) -> bytes:
        turns = [("user", prompt)] if isinstance(prompt, str) else [(m.role, m.content) for m in prompt]
        payload: dict[str, object] = {
            "model": self._address.model,
            "messages": [{"role": role, "content": clean_text(content)} for role, content in turns],
            "temperature": settings.temperature,
            self._max_tokens_field: settings.max_new_tokens,
            "seed": seed & 0x7FFFFFFF,
        }
        if settings.top_p < 1.0:
            payload["top_p"] = settings.top_p
        if settings.stop:
            payload["stop"] = list(settings.stop)
        if settings.top_k > 0:
            payload["top_k"] = settings.top_k
        if settings.repetition_penalty != 1.0:
            payload["repetition_penalty"] = settings.repetition_penalty
        return json.dumps(payload).encode()


class _Sender:
    """Sends one completion's request until it has an answer, a reason, or no tries left."""

    def __init__(self, client: httpx.AsyncClient, address: Address, policy: Policy, secret: Secret) -> None:
        self._client, self._address, self._policy, self._secret = client, address, policy, secret
        self._headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "User-Agent": "reward-harness",
            **secret.headers(),
        }

    async def complete(self, payload: bytes) -> Completion:
        tries = self._policy.retries + 1
        failure = _Again("not tried")
        for count in range(tries):
            outcome = await self._try(payload)
            if isinstance(outcome, Completion):
                return outcome
            failure = outcome
            if count + 1 < tries:
                await asyncio.sleep(self._pause(count, failure.wait))
        if not failure.reached:
            raise HarnessError(
                f"openai: cannot reach {self._address.base_url} after {tries} tries: {failure.reason}. Is the"
                " server running? What is recorded so far is kept; run again to go on"
            )
        return _failed(f"{failure.reason} ({tries} tries)")

    def _pause(self, count: int, asked: float) -> float:
        """Doubling from the first pause with jitter, so that many clients do not come back at once."""
        grown = min(self._policy.first_pause * 2.0**count, _LONGEST_PAUSE)
        return max(grown * random.uniform(0.5, 1.0), min(asked, _LONGEST_PAUSE))

    async def _try(self, payload: bytes) -> Completion | _Again:
        http = _client_library()
        try:
            async with asyncio.timeout(self._policy.timeout):
                return await self._exchange(payload)
        except (http.ConnectError, http.ConnectTimeout) as error:
            return _Again(self._said("no connection", error), reached=False)
        except (TimeoutError, http.TimeoutException):
            reason = f"no answer within {self._policy.timeout:g} s"
            return Completion(None, status="timeout", reason=reason)
        except http.TransportError as error:
            return _Again(self._said("connection lost", error))
        except http.HTTPError as error:
            return _failed(self._said("request failed", error))

    def _said(self, what: str, error: Exception) -> str:
        return self._secret.scrubbed(f"{what}: {error or type(error).__name__}", limit=200)

    async def _exchange(self, payload: bytes) -> Completion | _Again:
        url = f"{self._address.base_url}/chat/completions"
        async with self._client.stream("POST", url, content=payload, headers=self._headers) as response:
            body = await _capped(response)
            if response.is_success:
                return completion_of(body, self._secret) if body is not None else _failed(_TOO_LARGE)
            return self._refused(response, body or b"")

    def _refused(self, response: httpx.Response, body: bytes) -> Completion | _Again:
        status = response.status_code
        where = self._address.base_url
        if 300 <= status < 400:
            target = self._secret.scrubbed(response.headers.get("location", "nowhere"), limit=200)
            raise HarnessError(
                f"openai: {where} redirects to {target!r}, which is not followed; if that address is "
                "right, give it in the model's name"
            )
        said = server_message(body, self._secret)
        if status in _FATAL:
            hint = f"the key is read from {self._secret.variable}" if status in (401, 403) else said
            raise HarnessError(
                f"openai: {where} {_FATAL[status]} (HTTP {status}), model {self._address.model!r}: {hint}"
            )
        reason = f"HTTP {status}: {said}" if said else f"HTTP {status}"
        if status in _RETRIED or status >= 500:
            return _Again(reason, _retry_after(response.headers.get("retry-after")))
        return _failed(reason)


_TOO_LARGE = f"the answer is larger than {MAX_BODY // 2**20} MiB"


async def _capped(response: httpx.Response) -> bytes | None:
    """The body as sent, or `None` as soon as it exceeds `MAX_BODY`. Nothing is decompressed: none was
    asked for.
    """
    parts, size = [], 0
    async for part in response.aiter_raw():
        size += len(part)
        if size > MAX_BODY:
            return None
        parts.append(part)
    return b"".join(parts)


def _retry_after(header: str | None) -> float:
    """Seconds from a Retry-After header (a number or a date); 0 where it says nothing usable."""
    if not header:
        return 0.0
    try:
        seconds = float(header)
    except ValueError:
        try:
            date = parsedate_to_datetime(header)
        except ValueError:
            return 0.0
        seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - datetime.now(UTC).timestamp()
    return max(seconds, 0.0) if math.isfinite(seconds) else 0.0


def _run(work: Coroutine[Any, Any, list[Completion]]) -> list[Completion]:
    """Runs `work` to its end, also where a loop runs already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def _client_library() -> Any:
    """At first use: it is slow to import, and an extra."""
    import httpx

    return httpx


def _failed(reason: str) -> Completion:
    return Completion(None, status="error", reason=reason)
