"""The data of the bundled suites: written by hand, without near-duplicates, and true to their own constraints."""

from __future__ import annotations

import itertools
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files

import pytest

from harness import Completion, Generation, Sample, Suite, load_suite, score
from harness.tasks import load_samples
from harness_plugins.words import primary, words
from harness_tasks import bundled

KINDS = ("instructions", "summaries", "translation", "dialogue", "data_to_text", "keywords")
TASKS = {
    kind: ("translation_zh_en", "translation_en_zh") if kind == "translation" else (f"{kind}_en", f"{kind}_zh")
    for kind in KINDS
}
NAMES = tuple(itertools.chain.from_iterable(TASKS.values()))
LEAST, LEAST_OF_ALL = 22, 240
CONTEXT = 8192  # SmolLM2's, in tokens; it is a byte-level tokenizer, so that a text has at most as many as bytes
TEMPLATE = 256  # more than its chat template adds, default system message included
PROMPTS_ALIKE, REFERENCES_ALIKE, WORDINGS_ALIKE = 0.3, 0.2, 0.7
DERIVED = {"basketball-quarter-scores": {"14", "55", "69"}, "river-levels": {"60", "70"}, "phone-spec-compare": {"35"}}
"""Numbers that references rightly compute from the data."""


class Spec:
    template, system, language, limit = None, None, None, None
    fields: dict[str, str] = {}  # noqa: RUF012

    def __init__(self, name: str) -> None:
        self.name = name


@cache
def samples_of(name: str) -> tuple[Sample, ...]:
    factories = {}
    bundled.register_tasks(register=factories.__setitem__)
    return load_samples(Spec(name), factories[name]("")())  # type: ignore[arg-type]


def all_samples() -> list[Sample]:
    return [sample for name in NAMES for sample in samples_of(name)]


def language_of(name: str) -> str:
    return name.rsplit("_", 1)[1]


def whole_prompt(sample: Sample) -> str:
    prompt = sample.prompt
    return prompt if isinstance(prompt, str) else "\n".join(m.content for m in prompt or ())


# how much alike two texts are


def shingles(text: str) -> tuple[frozenset[tuple[str, ...]], frozenset[str]]:
    """A text's runs of three words (of Han, characters) and of five letters; case, punctuation and spacing set aside."""
    found = words(unicodedata.normalize("NFKC", text).casefold())
    letters = "".join(found)
    three = frozenset(tuple(found[i : i + 3]) for i in range(max(1, len(found) - 2)))
    return three, frozenset(letters[i : i + 5] for i in range(max(1, len(letters) - 4)))


def jaccard(one: frozenset[object], other: frozenset[object]) -> float:
    common = len(one & other)
    return common / (len(one) + len(other) - common)


def likeness(one: str, other: str) -> float:
    """The greater of the two Jaccard indices: 1 for texts that differ at most in case, punctuation and spacing."""
    return max(map(jaccard, shingles(one), shingles(other)))


def alike(texts: Sequence[tuple[str, str]], limit: float) -> list[tuple[str, str, float]]:
    """Pairs of (name, text) under different names whose texts are at least so much alike."""
    cut = [(name, *shingles(text)) for name, text in texts]
    found = []
    for (one, *left), (other, *right) in itertools.combinations(cut, 2):
        if one != other and (value := max(map(jaccard, left, right))) >= limit:
            found.append((one, other, round(value, 2)))
    return found


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    [
        ("The cat sat on the mat.", "the CAT sat - on the mat", 1, 1),
        ("长城在北京的北面。", "长城，在北京的北面", 1, 1),
        ("Write a poem about a red apple tree", "Write a poem about a red cherry tree", 0.5, 0.9),
        ("请写一首关于苹果的短诗。", "请写一首关于樱桃的短诗。", 0.3, 0.9),
        ("Describe Venice in one sentence.", "Which bus goes to the zoo?", 0, 0.05),
        ("yes", "no", 0, 0),
        ("yes", "Yes!", 1, 1),
    ],
)
def test_likeness(one: str, other: str, low: float, high: float) -> None:
    assert low <= likeness(one, other) == likeness(other, one) <= high


def test_near_duplicates_are_found_where_there_are_some() -> None:
    texts = [(s.id, whole_prompt(s)) for s in samples_of("summaries_en")[:5]]
    assert alike(texts, PROMPTS_ALIKE) == []
    changed = texts[2][1].replace("sea", "ocean").replace("Rain", "The rain")
    ((one, other, value),) = alike([*texts, ("a copy", changed)], PROMPTS_ALIKE)
    assert (one, other) == (texts[2][0], "a copy")
    assert 0.6 < value < 1


def test_texts_of_one_name_are_not_compared() -> None:
    assert alike([("a", "same text here"), ("a", "same text here")], 0.1) == []


# every file


def test_there_are_enough_samples_in_both_languages() -> None:
    sizes = {name: len(samples_of(name)) for name in NAMES}
    assert {name: size for name, size in sizes.items() if size < LEAST} == {}
    by_language = Counter({"en": 0, "zh": 0})
    for name, size in sizes.items():
        by_language[language_of(name)] += size
    assert by_language.total() >= LEAST_OF_ALL
    assert min(by_language.values()) >= LEAST_OF_ALL // 2


@pytest.mark.parametrize("name", NAMES)
def test_form(name: str) -> None:
    samples = samples_of(name)
    assert len({s.id for s in samples}) == len(samples)
    for sample in samples:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+){0,5}", sample.id), sample.id
        assert len(sample.id) <= 40
        assert primary(sample.language) == language_of(name), sample.id
        assert isinstance(sample.metadata["topic"], str), sample.id
        assert 1 <= len(sample.references) <= 4, sample.id
        for text in (whole_prompt(sample), *sample.references):
            assert text == text.strip(), sample.id
            assert text == unicodedata.normalize("NFC", text), sample.id
            assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u200b-\u200f\ufeff\ufffd]", text), sample.id


@pytest.mark.parametrize("name", NAMES)
def test_references_are_in_the_language_of_the_sample(name: str) -> None:
    for sample in samples_of(name):
        for text in sample.references:
            han, latin = len(re.findall(r"[\u4e00-\u9fff]", text)), len(re.findall(r"[A-Za-z]", text))
            if text.startswith("{"):
                continue  # JSON may have English keys
            assert (han > 2 * latin / 5) if language_of(name) == "zh" else han == 0, (sample.id, text)


@pytest.mark.parametrize("name", NAMES)
def test_files_are_written_as_jsonl_without_escapes(name: str) -> None:
    text = files("harness_tasks").joinpath("data", f"{name}.jsonl").read_text(encoding="utf-8")
    assert text.endswith("}\n")
    for line in text.splitlines():
        assert line == json.dumps(json.loads(line), ensure_ascii=False)
        assert list(json.loads(line)) == ["id", "prompt", "references", "language", "metadata"]


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "instructions"])
def test_most_samples_have_several_references(kind: str) -> None:
    for name in TASKS[kind]:
        several = sum(len(s.references) >= 2 for s in samples_of(name))
        assert several >= 0.75 * len(samples_of(name)), name


@pytest.mark.parametrize("name", NAMES)
def test_topics_are_spread(name: str) -> None:
    topics = Counter(s.metadata["topic"] for s in samples_of(name))
    assert len(topics) >= 5 or name.startswith("keywords"), topics
    assert max(topics.values()) <= 0.7 * topics.total(), topics


def test_no_two_prompts_are_nearly_the_same() -> None:
    prompts = [(f"{s.task or ''}/{s.id}/{n}", whole_prompt(s)) for n, s in enumerate(all_samples())]
    assert alike(prompts, PROMPTS_ALIKE) == []


def test_no_two_samples_have_nearly_the_same_reference() -> None:
    """The three sentences of a constrained answer are given, and so are left out."""
    references = [
        (f"{s.id}/{n}", text)
        for n, s in enumerate(all_samples())
        for text in s.references
        if "detectable_format:constrained_response" not in s.metadata.get("instruction_id_list", ())
    ]
    assert alike(references, REFERENCES_ALIKE) == []


def test_wordings_of_one_sample_differ() -> None:
    close = [
        (sample.id, value)
        for sample in all_samples()
        for one, other in itertools.combinations(sample.references, 2)
        if (value := likeness(one, other)) >= WORDINGS_ALIKE
    ]
    assert close == []


def quantiles(lengths: Sequence[int]) -> tuple[int, ...]:
    """Least, five percent, half, 95 percent, greatest."""
    ordered = sorted(lengths)
    return tuple(ordered[round(share * (len(ordered) - 1))] for share in (0, 0.05, 0.5, 0.95, 1))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_lengths_are_spread(language: str) -> None:
    """In words (of Chinese, characters): from one line to several paragraphs, from a few words to several sentences."""
    samples = [s for name in NAMES if language_of(name) == language for s in samples_of(name)]
    least, short, middle, long, most = quantiles([len(words(whole_prompt(s))) for s in samples])
    assert least <= 15
    assert short <= 25 <= middle <= 75
    assert long >= 150
    assert most >= 300
    least, short, middle, long, most = quantiles([len(words(r)) for s in samples for r in s.references])
    assert least <= 6
    assert short <= 20 <= middle <= 50
    assert long >= 55
    assert most >= 100


def test_everything_fits_into_the_models_context() -> None:
    most = max(suite_of(kind, check=False).generate.max_new_tokens for kind in KINDS)
    for sample in all_samples():
        assert len(whole_prompt(sample).encode()) + TEMPLATE + most < CONTEXT, sample.id


@cache
def suite_of(kind: str, *, check: bool = True) -> Suite:
    return load_suite(str(files("harness_tasks.suites").joinpath(f"{kind}.yaml")), check=check)


# one kind after another


def as_group(sample: Sample) -> Generation:
    return Generation(sample, "people", tuple(Completion(text) for text in sample.references))


def wrong(names: Sequence[str], metric: object, score_name: str, least: float = 1.0) -> list[tuple[str, object]]:
    """References of these tasks whose score is below `least`, or that have none."""
    groups = [as_group(s) for name in names for s in samples_of(name)]
    found = score(groups, [metric])[score_name]  # type: ignore[list-item]
    texts = [(g.sample.id, c.text) for g in groups for c in g.completions]
    values = zip(texts, found.segment, strict=True)
    return [(text, value) for text, value in values if value is None or value < least]


@pytest.mark.parametrize("name", TASKS["instructions"])
def test_instructions_are_of_many_kinds_and_their_references_follow_all(name: str) -> None:
    kinds = Counter(i for s in samples_of(name) for i in s.metadata["instruction_id_list"])  # type: ignore[union-attr]
    assert len(kinds) >= 15
    assert len({kind.split(":")[0] for kind in kinds}) >= 7
    several = [s for s in samples_of(name) if len(s.metadata["instruction_id_list"]) > 1]  # type: ignore[arg-type]
    assert len(several) >= len(samples_of(name)) / 3
    assert wrong([name], "constraints", "constraints_all") == []


def test_a_reference_that_breaks_an_instruction_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    (tea, *_) = (s for s in samples_of("instructions_en") if s.id == "black-tea")
    bad = replace(tea, references=(*tea.references, "Boil water, add tea, wait."))
    monkeypatch.setitem(globals(), "samples_of", lambda name: (bad,))
    assert [text for (_, text), _ in wrong(["black-tea"], "constraints", "constraints_all")] == [bad.references[-1]]


def instructions_of(sample: Sample) -> dict[str, dict[str, object]]:
    ids, arguments = sample.metadata["instruction_id_list"], sample.metadata["kwargs"]
    return dict(zip(ids, arguments, strict=True))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", TASKS["instructions"])
def test_what_is_checked_stands_in_the_prompt(name: str) -> None:
    """Every text that an instruction looks for, and of counts that the prompt gives in digits, the count."""
    for sample in samples_of(name):
        prompt = whole_prompt(sample).casefold()
        asked = instructions_of(sample)
        for kind, arguments in asked.items():
            for key, value in arguments.items():
                texts = list(value) if isinstance(value, list | tuple) else [value]
                if key == "keys":
                    texts = [texts[0], texts[-1]]  # "from monday to sunday"
                if key in ("relation", "let_relation", "language") or isinstance(value, int):
                    continue
                assert [t for t in texts if str(t).casefold() not in prompt] == [], (sample.id, kind)
        whole = asked.get("length_constraints:number_words", {}).get("num_words")
        if "detectable_format:constrained_response" not in asked and whole is not None:
            assert str(whole) in prompt, sample.id


@pytest.mark.parametrize("name", TASKS["instructions"])
def test_what_the_prompt_asks_for_is_checked(name: str) -> None:
    for sample in samples_of(name):
        prompt, asked = whole_prompt(sample), instructions_of(sample)
        if re.search(r"four lines|四行|正好五行", prompt):
            assert "harness:number_lines" in asked, sample.id
        if "constrained_response" in str(list(asked)):
            assert asked["length_constraints:number_words"] == {"relation": "less than", "num_words": 5}, sample.id
        if "detectable_format:json_format" in asked and "数组" not in prompt:  # of a list no key is asked
            assert "harness:json_keys" in asked, sample.id
        if "繁體中文" in prompt:
            assert asked["language:response_language"] == {"language": "zh-tw"}, sample.id


@pytest.mark.parametrize("name", TASKS["summaries"])
def test_summaries_are_shorter_than_what_they_sum_up(name: str) -> None:
    for sample in samples_of(name):
        source = max(whole_prompt(sample).split("\n\n", 1), key=len)
        for text in sample.references:
            assert len(words(text)) < 0.6 * len(words(source)), (sample.id, text)
            assert jaccard(shingles(text)[0], shingles(source)[0]) < 0.5, (sample.id, "copied")


@pytest.mark.parametrize("name", TASKS["dialogue"])
def test_conversations(name: str) -> None:
    sentiments = Counter()
    for sample in samples_of(name):
        assert not isinstance(sample.prompt, str), sample.id
        roles = [m.role for m in sample.prompt or ()]
        turns = roles[1:] if roles[0] == "system" else roles
        assert turns == ["user", "assistant"] * (len(turns) // 2) + ["user"], sample.id
        assert len(turns) >= 3, sample.id
        target = sample.metadata["sentiment"]
        value = {"positive": 1.0, "neutral": 0.0, "negative": -1.0}.get(target, target)  # type: ignore[arg-type]
        assert isinstance(value, int | float), sample.id
        assert -1 <= value <= 1, sample.id
        sentiments[(value > 0.3) - (value < -0.3)] += 1
    assert min(sentiments[sign] for sign in (-1, 0, 1)) >= 4


def test_english_replies_have_the_sentiment_asked_for() -> None:
    assert wrong(["dialogue_en"], {"sentiment": {"against": "target"}}, "sentiment", least=0.75) == []


def numbers(text: str) -> set[str]:
    """Numbers in digits, without leading zeros, and without marks between thousands."""
    plain = re.sub(r"(?<=\d)[,，](?=\d{3}(?!\d))", "", unicodedata.normalize("NFKC", text))
    return {found.lstrip("0") or "0" for found in re.findall(r"\d+", plain)}


@pytest.mark.parametrize("name", TASKS["data_to_text"])
def test_descriptions_bring_no_number_that_is_not_in_the_data(name: str) -> None:
    for sample in samples_of(name):
        data = numbers(whole_prompt(sample))
        for text in sample.references:
            assert numbers(text) - data - DERIVED.get(sample.id, set()) == set(), (sample.id, text)


@pytest.mark.parametrize("name", TASKS["keywords"])
def test_references_hold_their_keywords(name: str) -> None:
    for sample in samples_of(name):
        required, forbidden = sample.metadata["keywords"], sample.metadata.get("forbidden", ())
        assert isinstance(required, Sequence)
        assert isinstance(forbidden, Sequence)
        assert 2 <= len(required) <= 8, sample.id
        for word in (*required, *forbidden):
            assert str(word).casefold() in whole_prompt(sample).casefold(), (sample.id, word)
        for text in sample.references:
            assert not [w for w in forbidden if str(w).casefold() in text.casefold()], (sample.id, text)
    assert wrong([name], "keywords", "keywords") == []


@pytest.mark.parametrize("name", TASKS["translation"])
def test_translations_say_from_where(name: str) -> None:
    source = name.split("_")[1]
    assert {s.metadata["source_language"] for s in samples_of(name)} == {source}


# the suites


@pytest.mark.parametrize("kind", KINDS)
def test_suites(kind: str) -> None:
    suite = suite_of(kind)
    assert suite.name == kind
    assert tuple(task.source for task in suite.tasks) == TASKS[kind]
    assert suite.reward_spec is not None
    assert sum(term.weight for term in suite.reward_spec.terms) == pytest.approx(1)
    assert suite.generate.seed == 7


def test_the_reward_of_dialogue_is_the_one_that_was_agreed() -> None:
    suite = suite_of("dialogue", check=False)
    assert suite.reward_spec is not None
    weights = {term.score: (term.weight, term.required) for term in suite.reward_spec.terms}
    assert weights == {"relevance": (0.5, True), "diversity": (0.2, True), "sentiment": (0.3, False)}
