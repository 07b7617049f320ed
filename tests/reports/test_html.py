"""`report.html`: what it says, that it stands alone, and that its script shows the right samples."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from browser import Tree, dom
from fake_run import FakeRun, fake_run, groups, manifest

from harness.types import Completion, Message
from harness_reports.embed import Window, embedded, script_json
from harness_reports.html import html_report
from harness_reports.view import view


def written(run: FakeRun, max_samples: int = 2000) -> str:
    (path,) = html_report(max_samples=max_samples)(run.as_run()).files
    assert path == run.folder / "report.html"
    return path.read_text("utf-8")


def data_of(page: str) -> dict[str, list[object]]:
    (text,) = [text for attributes, text in Tree(page).scripts if attributes.get("id") == "data"]
    data = json.loads(text)
    assert isinstance(data, dict)
    return data


# ---- the page without its script ----------------------------------------------------------------------------


def test_the_summary_reads_without_javascript(tmp_path: Path) -> None:
    run = fake_run(tmp_path, ["one", "two"])
    text = re.sub(r"\s+", " ", Tree(written(run)).text)
    for row in run.corpus:
        if row.score in ("bleu", "rougeL"):
            decimals = 2 if row.score == "bleu" else 3
            value, low, high = (f"{v:.{decimals}f}" for v in (row.value, row.ci_low, row.ci_high) if v is not None)
            assert f"{value} [{low}, {high}]" in text
    for said in (
        "restaurants-quick",
        "sentiment|version:1",
        "weighted_mean",
        "length at least 3",
        "24 rewards were made without an optional term",
        "24 × abstain the language 'lt' is not among those VADER knows (en)",
        "ModuleNotFoundError: No module named 'detoxify'",
        "sha256:7e7e",
        "sacrebleu2.6.0",
        "source: restaurants.jsonl",
        "temperature 0.8",
    ):
        assert said in text, said


def test_the_statuses_are_counted(tmp_path: Path) -> None:
    page = written(fake_run(tmp_path))
    row = re.search(r'<th scope="row"><bdi>sentiment</bdi></th>((?:<td class="[^"]*">\d+</td>)+)', page)
    assert row is not None
    assert re.findall(r">(\d+)<", row[1]) == ["52", "12", "0", "0", "0"]


def test_an_empty_run_makes_a_page(tmp_path: Path) -> None:
    page = written(FakeRun(tmp_path, {}, {}, ()))
    assert data_of(page)["samples"] == []
    assert 'id="reward"' not in page


def test_a_run_without_a_reward_has_no_reward_section(tmp_path: Path) -> None:
    run = fake_run(tmp_path)
    assert 'id="reward"' in written(run)
    assert 'id="reward"' not in written(replace(run, manifest={**run.manifest, "reward": None}))


@pytest.mark.parametrize(("state", "said"), [("generated", True), ("scored", False), ("complete", False)])
def test_only_an_unfinished_run_says_so(tmp_path: Path, state: str, said: bool) -> None:
    run = fake_run(tmp_path)
    page = written(replace(run, manifest={**run.manifest, "state": state}))
    assert ("This run is not complete" in page) is said


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    first = written(fake_run(tmp_path))
    assert written(fake_run(tmp_path)) == first
    scored = fake_run(tmp_path)
    assert written(replace(scored, manifest={**scored.manifest, "state": "scored"})) == first


def test_headings_tables_and_controls_are_labelled(tmp_path: Path) -> None:
    page = written(fake_run(tmp_path))
    tree = Tree(page)
    assert len(tree.having("h1")) == 1
    assert all("scope" in attributes for attributes in tree.having("th"))
    for control in ("q", "task", "model", "status", "sort", "order"):
        assert re.search(rf'<label[^>]*>[^<]+<(?:input|select)[^>]* id="{control}"', page), control
    assert [a for a in tree.having("div", "scroll") if not (a.get("aria-label") or a.get("aria-labelledby"))] == []
    ids = [attributes["id"] for _, attributes in tree.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {attributes["href"].removeprefix("#") for attributes in tree.having("a")}
    assert links <= set(ids)


# ---- it stands alone ----------------------------------------------------------------------------------------


def test_the_policy_allows_this_style_and_this_script_and_nothing_else(tmp_path: Path) -> None:
    tree = Tree(written(fake_run(tmp_path)))
    (policy,) = [a["content"] for a in tree.having("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))

    def hashed(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    (style,) = tree.styles
    (script,) = [text for attributes, text in tree.scripts if "type" not in attributes]
    assert rules == {
        "default-src": "'none'",
        "style-src": hashed(style),
        "script-src": hashed(script),
        "base-uri": "'none'",
        "form-action": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    assert not re.search(r"</style|</script|<!--", style + script, re.IGNORECASE)


def test_nothing_is_fetched(tmp_path: Path) -> None:
    page = written(fake_run(tmp_path))
    tree = Tree(page)
    for tag, attributes in tree.elements:
        assert not {"src", "srcset", "style", "action", "background", "poster"} & set(attributes), tag
        assert attributes.get("href", "#").startswith("#")
    assert not re.search(r"https?://|//[a-z]+\.|url\(|@import|fetch\(|XMLHttpRequest|import\(", page)


# ---- the data -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["</script>", "<!--", "&amp;", "\u2028\u2029", "\"'\\", "日本", "\x00", "\ud800"])
def test_data_in_a_script_element_comes_back_and_holds_no_markup(text: str) -> None:
    made = script_json({"t": text}).encode("utf-8", "backslashreplace").decode("utf-8")
    assert not set("<>&\u2028\u2029") & set(made)
    assert json.loads(made) == {"t": text}


def test_numbers_that_json_lacks_are_an_error() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        script_json([float("nan")])


def test_samples_of_two_models_come_together(tmp_path: Path) -> None:
    run = fake_run(tmp_path, ["one", "two"], samples=3, completions=2)
    data = embedded(list(run.groups()), view(run.as_run()).columns)
    assert data["models"] == ["one", "two"]
    assert [[group["model"] for group in sample["groups"]] for sample in data["samples"]] == [[0, 1]] * 3
    names = [column["name"] for column in data["columns"]]
    assert "self_bleu" not in names  # of corpus scope: no completion has it
    cells = data["samples"][0]["groups"][1]["completions"][1]["cells"]
    stored = run.stored[3].cells[1]
    assert cells == [stored[name].value for name in names]


def test_a_cell_without_a_value_says_why(tmp_path: Path) -> None:
    run = fake_run(tmp_path)
    data = embedded(list(run.groups()), view(run.as_run()).columns)
    index = [column["name"] for column in data["columns"]].index("sentiment")
    status, reason, value = data["samples"][3]["groups"][0]["completions"][0]["cells"][index]
    assert (data["statuses"][status], value) == ("abstain", None)
    assert data["reasons"][reason] == "the language 'lt' is not among those VADER knows (en)"


@pytest.mark.parametrize(
    ("limit", "held"), [(0, [0, 0]), (1, [1, 0]), (5, [3, 2]), (6, [3, 3]), (9, [5, 4]), (99, [5, 5])]
)
def test_the_window_is_shared_evenly_and_never_exceeded(limit: int, held: list[int]) -> None:
    window = Window(limit)
    most = 0
    for group in groups(["one", "two"], 5, 1):
        window.add(group)
        most = max(most, len(window.groups()))
    kept = [group.generation for group in window.groups()]
    assert sorted((sum(g.model == m for g in kept) for m in ("one", "two")), reverse=True) == held
    assert most <= limit
    assert (window.total, window.held) == (10, len(kept))
    for model in ("one", "two"):
        ids = [g.sample.id for g in kept if g.model == model]
        assert ids == [g.generation.sample.id for g in groups([model], 5, 1)][: len(ids)]


def test_the_window_gives_what_a_small_task_leaves_to_the_others() -> None:
    window = Window(6)
    for group in [*groups(["one"], 9, 1), *groups(["two"], 1, 1), *groups(["three"], 9, 1)]:
        window.add(group)
    kept = [group.generation.model for group in window.groups()]
    assert [kept.count(model) for model in ("one", "two", "three")] == [2, 1, 3]


def test_a_page_that_does_not_hold_all_says_so(tmp_path: Path) -> None:
    run = fake_run(tmp_path, samples=16)
    assert len(data_of(written(run, 5))["samples"]) == 5
    assert "This page holds 5 of 16 groups" in written(run, 5)
    assert "This page holds" not in written(run)
    assert run.passes == 3  # one pass over the groups a page


def test_max_samples_must_not_be_negative() -> None:
    with pytest.raises(ValueError, match="max_samples must be 0 or more, not -1"):
        html_report(max_samples=-1)


# ---- in a browser -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> FakeRun:
    return fake_run(tmp_path_factory.mktemp("page"), ["one", "two"], samples=40, chat=True)


def shown(run: FakeRun, fragment: str) -> Tree:
    return Tree(dom(run.folder / "report.html", run.folder / "profile", fragment))


def ids_shown(tree: Tree) -> list[str]:
    return [text for text in tree.texts if re.fullmatch(r"\d{3}-\w+", text)]


def test_the_script_shows_searches_and_turns_pages(run: FakeRun) -> None:
    written(run)
    samples = list(dict.fromkeys(group.generation.sample.id for group in run.stored))
    everything = shown(run, "")
    assert ids_shown(everything) == samples[:25]
    assert "1–25 of 40 samples" in everything.texts
    for text in ("You write short, friendly restaurant descriptions.", run.stored[0].generation.completions[0].text):
        assert text in everything.texts
    assert len(everything.having("li", "completion")) == 25 * 2 * 4
    assert ids_shown(shown(run, "page=2")) == samples[25:]


def test_a_search_shows_what_holds_all_its_words(run: FakeRun) -> None:
    written(run)
    tree = shown(run, "q=KETTLE+indian")
    wanted = [
        g.generation.sample.id
        for g in run.stored
        if g.generation.model == "one" and "Kettle" in str(g.generation) and "Indian" in str(g.generation)
    ]
    assert wanted
    assert ids_shown(tree) == wanted[:25]
    assert tree.having("mark")


def test_filters_and_order_apply_together(run: FakeRun) -> None:
    written(run)
    tree = shown(run, "status=abstain&model=two&sort=reward&order=desc")
    means = {
        g.generation.sample.id: sum(c["reward"].value or 0.0 for c in g.cells) / len(g.cells)
        for g in run.stored
        if g.generation.model == "two" and g.cells[0]["sentiment"].status == "abstain"
    }
    assert len(means) == 8
    assert ids_shown(tree) == sorted(means, key=lambda key: -means[key])
    assert len(tree.having("li", "completion")) == 8 * 4


def test_texts_of_every_script_and_failures_are_shown(tmp_path: Path) -> None:
    stored = groups(["m"], 1, 1)
    (group,) = stored
    completions = (
        Completion("它位于河边。 مطعم على ضفة النهر"),
        Completion(None, "error", "out of memory"),
        Completion(""),
        Completion("a\x00b\u202ec\nd", finish_reason="length"),
    )
    sample = replace(group.generation.sample, prompt=(Message("user", "שלום"),), references=())
    generation = replace(group.generation, sample=sample, completions=completions)
    stored = [replace(group, generation=generation, cells=group.cells * 4)]
    written(FakeRun(tmp_path, manifest(stored), fake_run(tmp_path).infos, (), stored))
    tree = Tree(dom(tmp_path / "report.html", tmp_path / "profile"))
    for said in ("它位于河边。 مطعم على ضفة النهر", "שלום", "no text", "error: out of memory", "(empty)", "none"):
        assert said in tree.texts
    assert "a\\u0000b\\u202ec\nd" in tree.texts
    assert "cut off at the longest length allowed" in tree.texts
    assert all(attributes.get("dir") == "auto" for attributes in tree.having("div", "text"))


def test_a_corpus_value_that_could_not_be_made_is_said(tmp_path: Path) -> None:
    run = fake_run(tmp_path)
    fault = {"task": "restaurants", "model": "m", "score": "self_bleu", "reason": "ZeroDivisionError: <img src=x>"}
    page = written(replace(run, manifest={**run.manifest, "corpus_faults": [fault]}))
    assert "self_bleu of m, restaurants: ZeroDivisionError: <img src=x>" in re.sub(r"\s+", " ", Tree(page).text)


def test_rewards_that_a_guard_made_zero_are_counted(tmp_path: Path) -> None:
    run = fake_run(tmp_path)
    page = written(replace(run, manifest={**run.manifest, "guarded": {"length": 3}}))
    assert "3 rewards are 0 because the guard of length failed." in re.sub(r"\s+", " ", Tree(page).text)
