"""What `openai` needs besides sending: addresses, the key, and reading answers that may hold anything."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from harness import Completion, UsageError, clean_text

DEFAULT_URL = "https://api.openai.com/v1"
_SHORTEST_SECRET = 8
"""Shorter keys are stand-ins such as EMPTY, which are no secret and may be words of an answer."""


@dataclass(frozen=True, slots=True)
class Address:
    """A model's name on its server and the server's base URL, without a slash at its end."""

    model: str
    base_url: str

    @property
    def is_loopback(self) -> bool:
        host = urlsplit(self.base_url).hostname or ""
        address = _ip(host)
        return host == "localhost" or (address is not None and address.is_loopback)


def address_of(rest: str) -> Address:
    """Splits `MODEL@BASE_URL` at its last `@`. Raises `ValueError`, which never repeats what may be a
    password.
    """
    model, _at, url = rest.rpartition("@") if "@" in rest else (rest, "", DEFAULT_URL)
    if not model:
        raise ValueError("openai needs a model: openai:MODEL or openai:MODEL@BASE_URL")
    if "://" in model:
        raise ValueError("BASE_URL must hold no user name or password (no '@'); the key is read from key_env")
    if any(character.isspace() or not character.isprintable() for character in rest):
        raise ValueError("MODEL@BASE_URL must hold no spaces or control characters")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"BASE_URL must start with http:// or https:// and name a host, not {url!r}")
    if parts.query or parts.fragment:
        raise ValueError("BASE_URL must end with its path, without '?' or '#'")
    _ = parts.port  # raises ValueError where it is none
    address = _ip(parts.hostname)
    if address is not None and address.is_link_local:
        raise ValueError(f"BASE_URL names a link-local address, {parts.hostname}: no model is served there")
    return Address(model, parts.geturl().rstrip("/"))


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that `host` spells out, in any of the ways a resolver takes, or `None` for a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except OSError:
            return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


@dataclass(frozen=True, slots=True)
class Secret:
    """A key that shows itself to nobody but the header it goes into."""

    variable: str
    _value: str = field(repr=False)

    @classmethod
    def from_environment(cls, variable: str) -> Secret:
        value = os.environ.get(variable, "").strip()
        if not (value.isascii() and value.isprintable()):
            raise UsageError(f"openai: {variable} holds characters that no HTTP header can carry")
        return cls(variable, value)

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._value}"} if self._value else {}

    def scrubbed(self, text: str, limit: int | None = None) -> str:
        """`text` without the key; with a `limit`, as one line of at most so many characters."""
        # Cutting comes after striking out: a cut through the key would leave a part of it standing.
        kept = text.replace(self._value, "***") if len(self._value) >= _SHORTEST_SECRET else text
        if limit is None:
            return kept
        shown = "".join(c if c.isprintable() else " " for c in clean_text(kept[: 10 * limit]))
        line = " ".join(shown.split())
        return line if len(line) <= limit else f"{line[: limit - 1]}…"


def completion_of(body: bytes, secret: Secret) -> Completion:
    """The completion in a chat answer; an error where the answer is not what the interface promises."""
    answer = _parsed(body)
    choice = _item(_item(answer, "choices"), 0)
    text = _item(_item(choice, "message"), "content")
    if not isinstance(text, str):
        what = "is not JSON" if answer is None else "has no text in choices[0].message.content"
        said = secret.scrubbed(body.decode("utf-8", "replace"), limit=120)
        return Completion(None, status="error", reason=f"the answer {what}: {said or 'nothing'}")
    finish = _item(choice, "finish_reason")
    tokens = _item(_item(answer, "usage"), "completion_tokens")
    return Completion(
        secret.scrubbed(clean_text(text)),
        finish_reason=secret.scrubbed(finish, limit=64) if isinstance(finish, str) else None,
        tokens=tokens if isinstance(tokens, int) and not isinstance(tokens, bool) and tokens >= 0 else None,
    )


def server_message(body: bytes, secret: Secret) -> str:
    """What a server says went wrong, as one short line without the key."""
    answer = _parsed(body)
    error = _item(answer, "error")
    for candidate in (_item(error, "message"), error, _item(answer, "message"), _item(answer, "detail")):
        if isinstance(candidate, str) and candidate.strip():
            return secret.scrubbed(candidate, limit=200)
    return secret.scrubbed(body.decode("utf-8", "replace"), limit=200)


def _parsed(body: bytes) -> object:
    try:
        parsed: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return parsed


def _item(value: object, key: str | int) -> object:
    """`value[key]` where there is such a thing, else `None`."""
    if isinstance(value, dict):
        return value.get(key)
    if isinstance(value, list) and isinstance(key, int) and key < len(value):
        return value[key]
    return None
