"""Texts that try to become markup, and a run that carries each of them in every field."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fake_run import FakeRun, no, ok, status_counts

from harness import CorpusRow, Group
from harness.types import Completion, Generation, Json, Message, Sample, ScoreInfo

RUN = "document.documentElement.setAttribute('data-violation','1')"

PAYLOADS = (
    f"<script>{RUN}</script>",
    f"</script><script>{RUN}</script>",
    f"<!--<script>{RUN}</script>",
    f"<!--<script></script><script>{RUN}//-->",
    f"--><img src=x onerror=\"{RUN}\">",
    f"\"><img src=x onerror={RUN}>",
    f"'><svg onload={RUN}>",
    f"<svg/onload={RUN}>",
    f"<svg><script>{RUN}</script></svg>",
    f"\" autofocus onfocus=\"{RUN}\" x=\"",
    f"' onmouseover='{RUN}' x='",
    f"` onclick={RUN} x=`",
    f"</title><script>{RUN}</script>",
    f"</style><script>{RUN}</script>",
    f"</pre></noscript></textarea></select></option><iframe srcdoc=\"<script>parent.{RUN}</script>\">",
    f"javascript:{RUN}",
    f"<a href=\"javascript:{RUN}\">x</a>",
    "<base href=\"https://example.org/\"><link rel=stylesheet href=//example.org/x>",
    "<meta http-equiv=refresh content=\"0;url=https://example.org\">",
    f"<math><mtext><table><mglyph><style><img src=x onerror={RUN}></style></mglyph></table></mtext></math>",
    "<form action=https://example.org><button formaction=javascript:1>x</button></form>",
    f"&lt;script&gt;{RUN}&lt;/script&gt; &#60;b&#62; &amp;lt;",
    f"{{{{ {RUN} }}}} {{% raw %}} {{# x #}} ${{{RUN}}} <%= 1 %>",
    "\\u003cscript\\u003e \\x3cb\\x3e \\",
    f"\u2028{RUN}\u2029\"}};{RUN}",
    "]]><b>x</b><![CDATA[",
    "<plaintext>",
    "__proto__",
    "constructor",
    "\u202e<b>\u0000\u001b[31m\ud800\ufeff",
)  # fmt: skip


def hostile_run(folder: Path, payloads: Sequence[str] = PAYLOADS) -> FakeRun:
    """One task, sample, model, score, reason ... per payload; every text of the run is a payload."""
    stored = [_group(index, payload, payloads) for index, payload in enumerate(payloads)]
    names = dict.fromkeys(payloads)
    infos = {name: ScoreInfo(name) for name in names}
    corpus = tuple(
        CorpusRow(payload, payload, name, 0.5, 0.25, 0.75, 1, payload) for payload in payloads for name in names
    )
    return FakeRun(folder, _manifest(stored, payloads), infos, corpus, stored)


def _group(index: int, payload: str, payloads: Sequence[str]) -> Group:
    chat = (Message(payload, payload), Message("user", payload))
    prompt: str | tuple[Message, ...] = payload if index % 2 else chat
    sample = Sample(payload, prompt, (payload, payload), payload, payload)
    texts = (Completion(payload, finish_reason=payload), Completion(None, "error", payload))
    cells = {name: no("error", payload) if name == payload else ok(0.5) for name in payloads}
    return Group(Generation(sample, payload, texts), (cells, cells))


def _manifest(stored: Sequence[Group], payloads: Sequence[str]) -> dict[str, Json]:
    everything = "\n".join(payloads)
    each = {payload: payload for payload in payloads}
    return {
        "name": everything,
        "state": everything,
        "suite": {"text": everything, "resolved": {"nested": each}},
        "identity": dict(each),
        "tasks": [{"name": p, "samples": 1, "source": p, "language": p} for p in payloads],
        "models": [
            {"name": p, "fingerprint": p, "plugin": p, "distribution": p, "version": p, "options": {p: p}}
            for p in payloads
        ],
        "settings": dict(each),
        "plugins": [{"name": p, "distribution": p, "version": p, "state": "broken", "error": p} for p in payloads],
        "libraries": dict(each),
        "reward": {
            "combine": everything,
            "terms": [{"name": p, "score": p, "weight": p, "range": [p, p], "required": p} for p in payloads],
            "guard": [{"score": p, "min": p, "max": p} for p in payloads],
        },
        "counts": dict.fromkeys(payloads, 1),
        "statuses": status_counts(stored),
    }
