"""What holds for every bundled metric as a plugin: what it registers, says of itself and imports, and what the host gets.

`test_common_metrics.py` has what holds whatever the text.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from dataclasses import replace

import pytest

import harness
from harness import Completion, Generation, Sample
from harness.options import option_problems, options_of
from harness.registry import GROUP, Registry
from harness.types import Spec

from . import common_metrics as common
from .common_metrics import CASES, OPTIONS, groups_of, make, module

NAMES = sorted(OPTIONS)
HEAVY = """torch transformers tokenizers safetensors huggingface_hub accelerate bert_score pandas pyarrow datasets sacrebleu
    rouge_score nltk vaderSentiment scipy krippendorff jieba langdetect regex httpx pydantic""".split()


@pytest.fixture(scope="module")
def registry():
    return Registry.load()


@pytest.fixture(scope="module")
def everything(request):
    """All metrics with all options, as `harness.score` takes them, each under a name of its own."""
    found = []
    for name, options in CASES:
        try:
            options = common.resolved(name, options, request)
        except pytest.skip.Exception:
            continue  # without the package that these options need
        found.append({name: options, "as": f"{name}-{len(found)}"})
    return found


def metrics_of(points):
    """What the modules of entry points register as metrics, by the entry point's name."""
    found = {}
    for name, path in points.items():
        register = getattr(importlib.import_module(path), "register_metrics", None)
        if register is not None:
            register(lambda own, factory, scores=(), name=name: found.setdefault(name, []).append(own))
    return found


def test_every_metric_of_the_project_is_tested_here(root):
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    points = project["entry-points"][GROUP]
    assert metrics_of(points) == {name: [name] for name in NAMES}
    assert {name: points[name] for name in NAMES} == {name: f"harness_plugins.{name}" for name in NAMES}
    installed = importlib.metadata.entry_points(group=GROUP)
    assert {p.name: p.value for p in installed if p.dist.name == "reward-harness"} == points


@pytest.mark.parametrize("name", NAMES)
def test_registration_names_all_scores(name, registry, request):
    """In their order; a family such as `human.*` stands for any number of them."""
    entry = registry.find("metric", name)
    metrics = [make(name, common.resolved(name, options, request)) for options in OPTIONS[name]]
    found = [info.name for metric in metrics for info in metric.infos]
    assert [own for own in found if not entry.gives(own)] == []
    plain = [own for own in entry.scores if not own.endswith(".*")]
    assert [own for own in plain if own not in found] == []
    assert [own for own in entry.scores if not any(replace(entry, scores=(own,)).gives(f) for f in found)] == []
    for metric in metrics:
        order = [info.name for info in metric.infos if info.name in plain]
        assert order == [own for own in plain if own in order]


@pytest.mark.parametrize("name", NAMES)
def test_a_host_can_read_the_types_of_the_options(name, registry):
    factory = registry.find("metric", name).factory
    options, takes_any = options_of(factory)
    assert not takes_any
    assert {option for some in OPTIONS[name] for option in some} <= set(options)
    for option in options.values():
        assert not option.required, option.name
        assert option_problems(factory, {option.name: {"no": "such"}}), f"{option.name}: anything is taken"
        assert option_problems(factory, {option.name: option.default}) == []


@pytest.mark.parametrize("name", NAMES)
def test_infos_are_what_comes_back(name, request):
    for options in OPTIONS[name]:
        metric = make(name, common.resolved(name, options, request))
        (batch,) = common.batches(groups_of(4, count=2), 2)
        scores = metric(batch)
        assert [info.name for info in metric.infos if not info.by_over] == list(scores)
        for info in metric.infos:
            assert info.low < info.high
            assert 0 <= info.tolerance < 0.1
            assert (info.corpus == "statistics") <= hasattr(metric, "corpus_from")
            assert info.by_over <= hasattr(metric, "over")
        for own, found in [*scores.items(), *(metric.over([batch]) if hasattr(metric, "over") else {}).items()]:
            assert found.info in metric.infos
            assert found.info.name == own
            for signature in filter(None, (found.signature, found.corpus_signature)):
                assert signature.startswith(f"{own}|"), signature
                assert not re.search(r"[\n\r]|version:\d+\.", signature), signature


@pytest.mark.parametrize("name", NAMES)
def test_docstrings_say_what_the_numbers_are(name, request):
    """The first score's signature, and those of the whole corpus, are there as they are made by default."""
    text = " ".join(module(name).__doc__.split())
    for words in ("Signature", "Corpus", "https://" if name != "length" else "UAX 29"):
        assert words in text, words
    assert re.search(r"(higher|lower) is better|neither better nor worse|higher is more diverse", text)
    metric = make(name, common.resolved(name, OPTIONS[name][0], request))
    for info in metric.infos:
        assert f"`{info.name}`" in text or f"`{info.name.partition('.')[0]}.DIM`" in text, info.name
    (batch,) = common.batches([Generation(Sample("1"), "m", ())], 1)
    first = metric(batch)[metric.infos[0].name].signature
    whole = metric.over([batch]) if hasattr(metric, "over") else {}
    if name == "perplexity":  # the example is of the packaged model, this one is tiny
        text, first = (re.sub(r"model:[^|`]*", "model:", some) for some in (text, first))
    assert f"`{first}`" in text
    for signature in (scores.corpus_signature for scores in whole.values()):
        assert f"{signature.partition('|')[2]}`" in text, signature


def test_importing_the_plugins_imports_no_heavy_package():
    code = f"""
import json, sys
for name in {NAMES!r}:
    __import__("harness_plugins." + name)
print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (json.loads(done.stdout), done.stderr) == ([], "")


BARE = [
    Generation(Sample("0"), "m", (Completion("A good dog, and 猫."), Completion(""))),
    Generation(Sample("1"), "m", (Completion(None, status="error", reason="no answer"),)),
    Generation(Sample("2", prompt="Go on."), "m", (Completion("A bad dog."),)),
    Generation(Sample("3", references=("A good dog.",)), "m", (Completion("A bad dog."),)),
    Generation(Sample("4", prompt=(), language="xx-nowhere"), "m", ()),
]
LACKING = {"0": {"prompt", "references", "ratings", "preferences"}, "1": set()}
LACKING |= {"2": LACKING["0"] - {"prompt"}, "3": LACKING["0"] - {"references"}}
ROWS = ("0", "0", "1", "2", "3")


def test_what_a_sample_lacks_is_a_reason_and_no_error(everything):
    """No references, prompt, metadata, ratings, preferences or language."""
    for own, scores in harness.score(BARE, everything).items():
        if scores.info.by_over:
            continue
        assert len(scores.segment) == len(ROWS)
        for row, sample in enumerate(ROWS):
            status, reason = scores.status_of(row), scores.reasons.get(row)
            missing = sorted(scores.info.needs & LACKING[sample])
            if sample == "1":
                assert (status, reason) == ("error", "no text: no answer")
            elif missing:
                assert (status, reason) == ("abstain", f"the sample has no {' and no '.join(missing)}")
            else:
                assert status in ("ok", "abstain"), (own, sample, reason)
                assert (reason is None) == (status == "ok"), (own, sample)


@pytest.mark.parametrize("generations", [[], [Generation(Sample("1"), "m", ())], BARE[1:2]])
def test_nothing_to_score_is_no_error(everything, generations):
    for own, scores in harness.score(generations, everything).items():
        assert scores.corpus is None, own
        assert "ok" not in [scores.status_of(row) for row in range(len(scores.values))], own


def test_chunks_of_any_size_change_nothing_beyond_the_tolerance(everything):
    groups = groups_of(17, count=12)
    whole = harness.score(groups, everything, chunk=len(groups))
    for size in (1, 8):
        parts = harness.score(groups, everything, chunk=size)
        assert list(parts) == list(whole)
        for own, scores in parts.items():
            other = whole[own]
            assert (scores.signature, scores.corpus_signature) == (other.signature, other.corpus_signature)
            assert dict(scores.reasons) == dict(other.reasons), own
            for pair in [*zip(scores.segment, other.segment, strict=True), (scores.corpus, other.corpus)]:
                assert common.same(*pair, scores.info), own


def test_the_host_finds_no_fault_in_what_awkward_texts_get(everything):
    """The host checks each answer, and says `error` of a metric that raises. All but the longest texts."""
    groups = [g for g in common.awkward_groups() if len(g.completions[0].text) + len(str(g.sample.prompt)) < 20_000]
    for own, scores in harness.score(groups, everything).items():
        for row, reason in scores.reasons.items():
            assert scores.status_of(row) in ("abstain", "invalid"), (own, reason)
        assert scores.corpus is None or scores.info.low <= scores.corpus <= scores.info.high, own


def test_options_are_accepted_before_any_work(everything, registry):
    for entry in everything:
        name = next(iter(entry))
        assert registry.problems(Spec("metric", name, options=entry[name])) == [], name
