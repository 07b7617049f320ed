"""The HTTP adapter against real servers on the loopback address: good, slow, broken and hostile ones."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from harness import Completion, HarnessError, Message, PluginError, Request, Sample, Settings, UsageError
from harness_plugins import openai as plugin
from harness_plugins.openai import OpenAIModel, Policy, _retry_after, openai
from harness_plugins.openai_parts import DEFAULT_URL, Secret, address_of

pytest.importorskip("httpx")

CANARY = "sk-canary-5f3a9c1e77b24d08"


@dataclass
class Reply:
    """What the server sends: a status, headers and a body, after a pause; `body` None closes the connection."""

    body: bytes | None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pause: float = 0.0


Answer = Callable[[int, dict[str, Any]], Reply]


def chat(text: Any = "hello", **more: Any) -> bytes:
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return json.dumps({"choices": [choice], "usage": {"completion_tokens": 3}} | more).encode()


class Server:
    """Answers by `answer(number of the request, its body)` and remembers what came and how much at once."""

    def __init__(self, answer: Answer) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.most_at_once = 0
        self._now = 0
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer._lock:
                    outer._now += 1
                    outer.most_at_once = max(outer.most_at_once, outer._now)
                    number = len(outer.requests)
                    outer.requests.append(body)
                    outer.headers.append(dict(self.headers))
                    outer.paths.append(self.path)
                try:
                    self.send(answer(number, body))
                finally:
                    with outer._lock:
                        outer._now -= 1

            def do_GET(self) -> None:
                outer.paths.append(f"GET {self.path}")
                self.send(Reply(chat("followed")))

            def send(self, reply: Reply) -> None:
                time.sleep(reply.pause)
                if reply.body is None:
                    self.close_connection = True
                    self.connection.close()
                    return
                try:
                    self.send_response(reply.status)
                    for name, value in ({"Content-Length": str(len(reply.body))} | reply.headers).items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(reply.body)
                except OSError:
                    self.close_connection = True

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def serve() -> Iterator[Callable[[Answer | Reply], Server]]:
    servers: list[Server] = []

    def start(answer: Answer | Reply) -> Server:
        servers.append(Server((lambda number, body: answer) if isinstance(answer, Reply) else answer))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    return CANARY


def model(
    server: Server | str, name: str = "m", *, concurrency: int = 8, retries: int = 5, timeout: float = 5
) -> OpenAIModel:
    url = server if isinstance(server, str) else server.base_url
    policy = Policy(concurrency, retries, timeout, first_pause=0.005)
    return OpenAIModel(f"openai:{name}@{url}", address_of(f"{name}@{url}"), policy, "OPENAI_API_KEY")


def ask(
    model: OpenAIModel, prompts: list[Any], settings: Settings | None = None, n: int = 1
) -> list[tuple[Completion, ...]]:
    asked = [Request(Sample(str(i), p), tuple(10 * i + k for k in range(n))) for i, p in enumerate(prompts)]
    found = dict(model.generate(asked, settings or Settings(n=n)))
    return [found[i] for i in range(len(prompts))]


def one(model: OpenAIModel, prompt: Any = "hi") -> Completion:
    ((completion,),) = ask(model, [prompt])
    return completion


# --- what is sent and what comes back -----------------------------------------------------------------------


def test_each_completion_is_a_request_of_its_own(serve: Any) -> None:
    server = serve(lambda number, body: Reply(chat(f"{body['messages'][-1]['content']} {body['seed']}")))
    found = ask(model(server), ["a", (Message("system", "s"), Message("user", "b")), None], n=3)
    assert [[c.text for c in group] for group in found] == [
        ["a 0", "a 1", "a 2"],
        ["b 10", "b 11", "b 12"],
        [None, None, None],
    ]
    assert found[0][0] == Completion("a 0", finish_reason="stop", tokens=3)
    assert {c.reason for c in found[2]} == {"the sample has no prompt"}
    assert len(server.requests) == 6
    assert set(server.paths) == {"/v1/chat/completions"}
    assert {"role": "system", "content": "s"} in [m for body in server.requests for m in body["messages"]]


def test_settings_on_the_wire(serve: Any) -> None:
    server = serve(Reply(chat()))
    asked = [Request(Sample("1", "hi"), (2**62 + 5,))]
    plain = Settings(max_new_tokens=9)
    every = Settings(temperature=0.7, top_p=0.9, top_k=5, repetition_penalty=1.1, stop=("x", "y"), max_new_tokens=4)
    for settings in (plain, every):
        list(model(server, "org/model:tag@v2").generate(asked, settings))
    message = [{"role": "user", "content": "hi"}]
    base = {"model": "org/model:tag@v2", "messages": message, "seed": 5}
    assert server.requests[0] == base | {"temperature": 0.0, "max_tokens": 9}
    assert server.requests[1] == base | {
        "temperature": 0.7, "max_tokens": 4, "top_p": 0.9, "top_k": 5, "repetition_penalty": 1.1, "stop": ["x", "y"],
    }  # fmt: skip
    renamed = openai(f"m@{server.base_url}", max_tokens_field="max_completion_tokens")
    list(renamed.generate(asked, plain))
    assert server.requests[2]["max_completion_tokens"] == 9
    assert "max_tokens" not in server.requests[2]


def test_beam_search_is_refused(serve: Any) -> None:
    server = serve(Reply(chat()))
    with pytest.raises(UsageError, match="num_beams"):
        ask(model(server), ["a"], Settings(num_beams=2))
    assert server.requests == []


def test_no_more_at_once_than_asked_for(serve: Any) -> None:
    server = serve(Reply(chat(), pause=0.03))
    ask(model(server, concurrency=3), ["a"] * 12)
    assert server.most_at_once == 3
    assert len(server.requests) == 12


def test_waiting_for_a_turn_does_not_count_as_waiting_for_an_answer(serve: Any) -> None:
    server = serve(Reply(chat(), pause=0.15))
    found = ask(model(server, concurrency=1, timeout=0.4), ["a"] * 5)
    assert [c.status for (c,) in found] == ["ok"] * 5


def test_works_inside_a_running_loop(serve: Any) -> None:
    server = serve(Reply(chat("inside")))

    async def notebook() -> Completion:
        return one(model(server))

    assert asyncio.run(notebook()).text == "inside"


def test_odd_texts_are_mended(serve: Any) -> None:
    body = rb'{"choices": [{"message": {"content": "a \ud800 b \ud83d\ude00"}, "finish_reason": null}], "usage": null}'
    got = one(model(serve(Reply(body))))
    assert got == Completion("a \ufffd b \U0001f600")


# --- trouble that passes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503])
def test_passing_trouble_is_tried_again(serve: Any, status: int) -> None:
    server = serve(lambda number, body: Reply(b"busy", status) if number < 2 else Reply(chat("at last")))
    assert one(model(server)).text == "at last"
    assert len(server.requests) == 3


def test_a_lost_connection_is_tried_again(serve: Any) -> None:
    server = serve(lambda number, body: Reply(None) if number < 2 else Reply(chat("at last")))
    assert one(model(server)).text == "at last"
    assert len(server.requests) == 3


def test_trouble_that_stays_is_an_error_with_its_reason(serve: Any) -> None:
    server = serve(Reply(json.dumps({"error": {"message": "over\n  loaded"}}).encode(), 503))
    got = one(model(server, retries=2))
    assert (got.text, got.status, got.reason) == (None, "error", "HTTP 503: over loaded (3 tries)")
    assert len(server.requests) == 3


def test_retry_after_is_waited_for(serve: Any) -> None:
    server = serve(
        lambda number, body: Reply(b"", 429, {"Retry-After": "0.4"}) if number == 0 else Reply(chat("later"))
    )
    start = time.monotonic()
    assert one(model(server)).text == "later"
    assert time.monotonic() - start >= 0.4


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [
        (None, 0, 0), ("", 0, 0), ("3", 3, 3), ("1.5", 1.5, 1.5), ("-4", 0, 0), ("nan", 0, 0), ("inf", 0, 0),
        ("soon", 0, 0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0), ("Fri, 01 Jan 2100 00:00:00 GMT", 1e8, 1e10),
    ],
)  # fmt: skip
def test_retry_after_headers(header: str | None, low: float, high: float) -> None:
    assert low <= _retry_after(header) <= high


def test_pauses_grow_and_are_bounded() -> None:
    sender = plugin._Sender(None, address_of("m"), Policy(first_pause=0.5), Secret("X_API_KEY", ""))  # type: ignore[arg-type]
    for count, most in ((0, 0.5), (1, 1.0), (2, 2.0), (3, 4.0), (50, 60.0)):
        pauses = [sender._pause(count, 0.0) for _ in range(50)]
        assert all(most / 2 <= pause <= most for pause in pauses)
        assert len(set(pauses)) > 1, "without jitter all clients would come back at once"
    assert sender._pause(0, 7.0) == 7.0
    assert sender._pause(0, 1e9) == 60.0


# --- trouble that stays -------------------------------------------------------------------------------------


def test_no_answer_in_time_is_a_timeout(serve: Any) -> None:
    server = serve(lambda number, body: Reply(chat("late"), pause=1.0 if body["seed"] == 0 else 0.0))
    start = time.monotonic()
    (slow,), (fast,) = ask(model(server, timeout=0.3), ["a", "b"])
    assert (slow.text, slow.status, slow.reason) == (None, "timeout", "no answer within 0.3 s")
    assert fast.text == "late"
    assert time.monotonic() - start < 0.9
    assert len(server.requests) == 2, "a server still at work is not asked again"


def test_an_answer_that_drips_is_a_timeout() -> None:
    """A byte now and then keeps every read within its limit; the limit is on the whole answer."""
    listener = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            try:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                for _ in range(40):
                    connection.sendall(b" ")
                    time.sleep(0.05)
            except OSError:
                return

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    start = time.monotonic()
    got = one(model(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", timeout=0.3))
    assert got.status == "timeout"
    assert time.monotonic() - start < 1.0
    listener.close()
    thread.join(3)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>oops</html>", "is not JSON: <html>oops</html>"),
        (b"", "is not JSON: nothing"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is not JSON"),
        (b"{}", "has no text"),
        (b"[1, 2]", "has no text"),
        (b'{"choices": []}', "has no text"),
        (b'{"choices": {"0": 1}}', "has no text"),
        (b'{"choices": [{"message": null}]}', "has no text"),
        (chat(None), "has no text"),
        (chat([{"type": "text", "text": "x"}]), "has no text"),
        (chat(5), "has no text"),
    ],
)
def test_garbage_is_an_error_with_a_short_reason(serve: Any, body: bytes, words: str) -> None:
    server = serve(Reply(body))
    got = one(model(server))
    assert (got.text, got.status) == (None, "error")
    assert words in (got.reason or "")
    assert len(got.reason or "") < 220
    assert (got.reason or "").isprintable()
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "usage", [None, 5, {}, {"completion_tokens": "3"}, {"completion_tokens": -1}, {"completion_tokens": True}]
)
def test_odd_usage_is_no_count(serve: Any, usage: Any) -> None:
    got = one(model(serve(Reply(chat("x", usage=usage)))))
    assert (got.text, got.tokens) == ("x", None)


def test_a_huge_answer_is_refused_while_it_comes(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "MAX_BODY", 50_000)
    small, large = chat("x" * 40_000), chat("x" * 60_000)
    server = serve(lambda number, body: Reply(large if body["seed"] == 0 else small))
    (refused,), (taken,) = ask(model(server), ["a", "b"])
    assert refused.status == "error"
    assert "larger than" in (refused.reason or "")
    assert len(taken.text or "") == 40_000


def test_compressed_answers_are_not_unpacked(serve: Any) -> None:
    import gzip

    server = serve(Reply(gzip.compress(chat("bomb")), headers={"Content-Encoding": "gzip"}))
    assert one(model(server)).status == "error"
    assert server.headers[0]["Accept-Encoding"] == "identity"


def test_a_bad_request_is_that_completions_error(serve: Any) -> None:
    said = json.dumps({"error": {"message": "context of 2048 exceeded " + "x" * 500}}).encode()
    server = serve(lambda number, body: Reply(said, 400) if body["seed"] == 0 else Reply(chat("fine")))
    (bad,), (good,) = ask(model(server), ["a", "b"])
    assert (bad.reason or "").startswith("HTTP 400: context of 2048 exceeded xxx")
    assert len(bad.reason or "") < 220
    assert good.text == "fine"
    assert len(server.requests) == 2


@pytest.mark.parametrize(("status", "words"), [(401, "refuses the key"), (403, "forbids"), (404, "no such model")])
def test_what_no_request_can_pass_stops_the_run(serve: Any, status: int, words: str) -> None:
    server = serve(Reply(json.dumps({"error": f"no, {CANARY}"}).encode(), status))
    with pytest.raises(HarnessError, match=words) as raised:
        ask(model(server, concurrency=2), ["a"] * 50)
    assert "'m'" in str(raised.value)
    assert CANARY not in str(raised.value)
    if status == 401:
        assert "OPENAI_API_KEY" in str(raised.value)
    assert len(server.requests) < 10, "the other requests are given up"


def test_no_server_stops_the_run() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(HarnessError, match=rf"cannot reach http://127\.0\.0\.1:{port}/v1 after 3 tries"):
        one(model(f"http://127.0.0.1:{port}/v1", retries=2))


@pytest.mark.parametrize("target", ["/elsewhere", "http://169.254.169.254/latest/meta-data", "file:///etc/passwd"])
def test_redirects_are_not_followed(serve: Any, target: str) -> None:
    server = serve(Reply(b"", 307 if target == "/elsewhere" else 302, {"Location": target}))
    with pytest.raises(HarnessError, match="redirects to") as raised:
        one(model(server))
    assert target in str(raised.value)
    assert server.paths == ["/v1/chat/completions"]


# --- addresses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rest", "name", "url"),
    [
        ("gpt-4o", "gpt-4o", DEFAULT_URL),
        ("m@http://127.0.0.1:8000/v1", "m", "http://127.0.0.1:8000/v1"),
        ("m@http://127.0.0.1:8000/v1/", "m", "http://127.0.0.1:8000/v1"),
        ("org/m:tag@rev@https://host/v1", "org/m:tag@rev", "https://host/v1"),
        ("m@http://[::1]:80/v1", "m", "http://[::1]:80/v1"),
    ],
)
def test_addresses(rest: str, name: str, url: str) -> None:
    address = address_of(rest)
    assert (address.model, address.base_url) == (name, url)
    assert openai(rest).name == f"openai:{rest}"
    assert openai(rest).fingerprint == f"openai:1:{name}@{url}"


@pytest.mark.parametrize(
    "rest",
    [
        "", "@http://h/v1", "m@", "m@localhost:8000/v1", "m@ftp://h/v1", "m@file:///etc/passwd", "m@http://",
        "m@http:///v1", "m@http://h:99999/v1", "m@http://h:x/v1", "m@http://h/v1?key=1", "m@http://h/v1#x",
        "m@http://h /v1", "m@http://h\n/v1", "m@javascript://x",
        "m@http://169.254.169.254/v1", "m@http://2852039166/v1", "m@http://0xA9FEA9FE/v1", "m@http://[fe80::1]/v1",
        "m@http://[::ffff:169.254.169.254]/v1",
    ],
)  # fmt: skip
def test_bad_addresses(rest: str) -> None:
    with pytest.raises(ValueError):
        openai(rest)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValueError, match="no user name or password") as raised:
        openai("m@http://me:hunter2@host/v1")
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    "options",
    [
        {"concurrency": 0}, {"retries": -1}, {"timeout": 0.0}, {"timeout": float("nan")}, {"key_env": "PATH"},
        {"key_env": "AWS_SECRET_ACCESS_KEY"}, {"key_env": "sk-pasted-here"}, {"max_tokens_field": "n"},
    ],
)  # fmt: skip
def test_bad_options(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))) as raised:
        openai("m", **options)
    assert "pasted" not in str(raised.value)


# --- the key ------------------------------------------------------------------------------------------------


def test_the_key_goes_into_one_header_and_nowhere_else(
    serve: Any, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    replies = [
        Reply(chat(f"you sent {CANARY}", choices=[{"message": {"content": f"key {CANARY}"}, "finish_reason": CANARY}])),
        Reply(json.dumps({"error": {"message": "x" * 190 + CANARY}}).encode(), 400),
        Reply(f"plain {CANARY}".encode(), 422),
        Reply(f"<p>{CANARY}</p>".encode()),
        *[Reply((" " * spaces + CANARY).encode(), 418) for spaces in (390, 1990, 1195)],
        Reply(json.dumps({"detail": CANARY}).encode(), 500),
    ]
    server = serve(lambda number, body: replies[body["seed"] // 10])
    adapter = model(server, retries=1)
    found = ask(adapter, ["a"] * len(replies))
    assert all(headers["Authorization"] == f"Bearer {CANARY}" for headers in server.headers)
    told = [repr(found), repr(adapter), str(vars(adapter)), adapter.name, adapter.fingerprint, caplog.text]
    errors = [
        Reply(CANARY.encode(), 401),
        Reply(CANARY.encode(), 404),
        Reply(b"", 302, {"Location": f"http://x/?k={CANARY}"}),
    ]
    for reply in errors:
        with pytest.raises(HarnessError) as raised:
            one(model(serve(reply)))
        told += [str(raised.value), repr(raised.value), repr(raised.value.__cause__)]
    told += [repr(Secret.from_environment("OPENAI_API_KEY")), *capfd.readouterr()]
    assert found[0][0].text == "key ***"
    for text in told:
        assert CANARY not in text
        assert CANARY[:12] not in text, "nor a part of it"


def test_without_a_key_no_header_is_sent(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(Reply(chat("EMPTY is a word")))
    monkeypatch.delenv("OPENAI_API_KEY")
    assert one(model(server)).text == "EMPTY is a word"
    assert "Authorization" not in server.headers[0]
    monkeypatch.setenv("OPENAI_API_KEY", "EMPTY")
    assert one(model(server)).text == "EMPTY is a word", "a stand-in for a key is no secret"
    assert server.headers[1]["Authorization"] == "Bearer EMPTY"


def test_another_variable_may_hold_the_key(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(Reply(chat()))
    monkeypatch.setenv("TEAM_API_KEY", "the-team's-key\n")
    one(openai(f"m@{server.base_url}", key_env="TEAM_API_KEY"))
    assert server.headers[0]["Authorization"] == "Bearer the-team's-key"


def test_a_key_that_is_no_header_is_named_not_shown(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-snowman-☃-secret")
    with pytest.raises(UsageError, match="OPENAI_API_KEY") as raised:
        one(model(serve(Reply(chat()))))
    assert "snowman" not in str(raised.value)


def test_missing_httpx_is_found_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(PluginError, match=r"httpx is missing: pip install 'reward-harness\[openai\]'"):
        openai("m@http://127.0.0.1:1/v1")


def test_registers_under_its_name() -> None:
    found: dict[str, Any] = {}
    plugin.register_models(lambda name, factory: found.update({name: factory}))
    assert found == {"openai": openai}
