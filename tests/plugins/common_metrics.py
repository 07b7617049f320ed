"""What tests of all bundled metrics share: the options each is tried with, texts, and what columns have to hold."""

from __future__ import annotations

import importlib
import random
from dataclasses import replace

import numpy as np
import pytest

from harness import STATUSES, Batch, Completion, Generation, Memo, Message, Preference, Sample, Whole

CAUSAL, CLASSIFIER = "tiny causal model", "tiny classifier"
"""Stand for the folders of models that the tests make."""

OPTIONS = {
    "bertscore": [{"device": "cpu"}, {"device": "cpu", "multi": "mean", "layer": 2}],
    "bias": [
        {},
        {"groups": ["gender", "names"], "window": "completion", "min_mentions": 1, "lead": True},
        {"pairs": [["ba", "be"], ["good", "bad"]], "targets": "metadata", "model": CAUSAL, "device": "cpu"},
        {"pairs": [["gut", "schlecht"]], "sentiment_model": CLASSIFIER, "device": "cpu"},
    ],
    "bleu": [
        {},
        {"tokenize": "intl", "smooth_method": "add-k", "lowercase": True, "max_ngram_order": 2},
        {"tokenize": "jieba"},
    ],
    "chrf": [{}, {"word_order": 2, "eps_smoothing": True, "whitespace": True}],
    "constraints": [{}],
    "diversity": [
        {},
        {"tokenize": "char", "lowercase": True, "max_ngram_order": 2, "entropy_order": 1},
        {"tokenize": "jieba"},
    ],
    "exact": [{}, {"labels": ["good", "bad"], "extract": "first", "average": "weighted"}],
    "human": [{}, {"dimensions": {"overall": [1, 5], "fluency": [0, 1]}}],
    "keywords": [{}, {"inflection": False}],
    "length": [{}],
    "perplexity": [{"model": CAUSAL, "device": "cpu"}, {"model": CAUSAL, "device": "cpu", "condition": "none"}],
    "relevance": [{"device": "cpu"}, {"device": "cpu", "against": "references", "multi": "mean"}],
    "repetition": [{}, {"n": 2, "lowercase": True}],
    "rouge": [
        {},
        {"use_stemmer": True, "multi": "mean", "measure": "recall"},
        {"tokenize": "words"},
        {"tokenize": "jieba"},
    ],
    "sentiment": [
        {},
        {"against": "references"},
        {"against": "target"},
        {"model": CLASSIFIER, "device": "cpu"},
    ],
    "ter": [{}, {"normalized": True, "no_punct": True, "asian_support": True, "case_sensitive": True}],
}
CASES = [(name, options) for name, some in OPTIONS.items() for options in some]
LOADING = ("bertscore", "relevance", "perplexity")
"""These load a model in any case; others where an option names one."""

SHARED = Memo()
"""Models, loaded once for all tests of a process."""

LANGUAGES = (None, "en", "de", "zh", "ja", "th")
WORDS = """good bad the a cat, dog! runs running 3.5 naïve 你好 您好，东京 ภาษาไทย 😀 but not very & nurse he her Mary
    wizard heroes ba be di goo gut schlecht sehr 猫 -""".split()
INSTRUCTIONS = (
    ("keywords:existence", {"keywords": ["good"]}),
    ("keywords:forbidden_words", {"forbidden_words": ["bad", "好"]}),
    ("length_constraints:number_words", {"num_words": 7, "relation": "at least"}),
    ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "less than"}),
    ("detectable_format:json_format", None),
    ("change_case:capital_word_frequency", {"capital_frequency": 1, "capital_relation": "less than"}),
    ("punctuation:no_comma", {}),
    ("harness:number_lines", {"num_lines": 1, "relation": "exactly"}),
    ("harness:start_checker", {"start_phrase": "the"}),
)
LONG = [
    "x" * 100_000,
    "word " * 20_000,
    "我" * 33_334,
    "😀" * 25_000,
    "\n" * 100_000,
    "a. B!\n" * 16_667,
    "\0" * 100_000,
    '"[<*_(' * 16_667,
    "e" + "\u0301" * 50_000,
    "he is a nurse " * 7_143,
]
AWKWARD = [
    *LONG,
    "",
    " ",
    "\n\n\t",
    "\u3000",
    "\u200b",
    "?!…。",
    "a",
    "0",
    "😀👨‍👩‍👧🇩🇪",
    "\0\x1b[31m\r",
    "\u202eabc\u2066",
    "Z\u0351\u0343\u0329a\u0300\u0301l",
    "-\n",
    "<skipped> &quot;&amp;lt;",
    "<s></s><eos><unk>[CLS][SEP][MASK]<|im_end|>",
    "我喜欢读书",
    "İstanbul ſ ﬁ ẞ",
    *(chr(0x10000 * plane + 0x42) + "b" + chr(0x10000 * plane + 0x6A5) for plane in range(17)),
    "".join(chr(0x10000 * plane + point) for plane in range(17) for point in (0, 1, 0x300, 0xFFFE, 0xFFFF)),
    "".join(map(chr, range(0x2F00))),
]


def module(name):
    return importlib.import_module(f"harness_plugins.{name}")


def make(name, options):
    return getattr(module(name), name)(**options)


def resolved(name, options, request):
    """The options with folders of tiny models for their names. Skips where a package is not there."""
    named = {value for value in options.values() if isinstance(value, str)}
    needed = {"transformers"} if name in LOADING or named & {CAUSAL, CLASSIFIER} else set()
    for package in sorted(needed | {"bertscore": {"bert_score"}}.get(name, set()) | (named & {"jieba"})):
        pytest.importorskip(package)
    folders = {CAUSAL: causal_folder, CLASSIFIER: classifier_folder}
    return {
        key: str(folders[value](request)) if isinstance(value, str) and value in folders else value
        for key, value in options.items()
    }


def causal_folder(request):
    return request.getfixturevalue("tiny_causal")


def classifier_folder(request):
    def save():
        from .test_sentiment_model import save_classifier  # only here, since it skips without transformers

        return save_classifier(request.getfixturevalue("tmp_path_factory").mktemp("classifier") / "model")

    return SHARED.get(("folder", CLASSIFIER), save)


def metadata(rng):
    asked = rng.sample(INSTRUCTIONS, rng.randrange(1, 4))
    return {
        "sentiment": rng.choice(["positive", -0.5, "?", None]),
        "keywords": ["good", "run", "very cat", "猫"],
        "forbidden": "bad，你好",
        "instruction_id_list": [id for id, _ in asked],
        "kwargs": [arguments for _, arguments in asked],
        "occupation": "nurse",
        "target_share_female": 0.5,
    }


def groups_of(seed, count=15):
    """Groups of 1 to 4 completions, with all that any metric needs."""
    rng = random.Random(seed)

    def text(least=0):
        return rng.choice(["\n", " ", " ", " "]).join(rng.choices(WORDS, k=rng.randrange(least, 14)))

    def references():
        return tuple(rng.choice([text(), text(1), "bad"]) for _ in range(rng.randrange(1, 4)))

    def completion():
        ratings = {"overall": tuple(rng.choice([None, 1, 2.5, 5]) for _ in range(3)), "fluency": (rng.random(),)}
        return Completion(text(), tokens=rng.choice([None, 5, 9]), ratings=ratings)

    def preferences(size):
        sides = [(rng.randrange(size), rng.choice(["reference", *range(size)])) for _ in range(4)]
        return tuple(Preference(a, b, tie=rng.random() < 0.3) for a, b in [*sides, (0, "reference")] if a != b)

    def group(number):
        size = rng.randrange(1, 5)
        prompt = rng.choice([text(), (Message("system", text()), Message("user", text()), Message("user", text(1)))])
        sample = Sample(
            str(number),
            prompt=prompt,
            references=references(),
            language=rng.choice(LANGUAGES),
            metadata=metadata(rng),
        )
        return Generation(sample, "m", tuple(completion() for _ in range(size)), preferences(size))

    return [group(number) for number in range(count)]


def awkward_groups():
    """Each awkward text as a completion, and as what completions are compared with: prompt, reference, turn of a chat."""
    usual = "The cat sat, good."
    pairs = [(text, usual) for text in AWKWARD] + [(usual, text) for text in AWKWARD]
    pairs += [(text, text) for text in AWKWARD if text not in LONG]
    rated = {"overall": (None, 3), "fluency": (0.5,)}
    return tuple(
        Generation(
            Sample(
                str(number),
                prompt=(Message("system", usual), Message("user", other)) if number % 2 else other,
                references=(other, "bad"),
                language=LANGUAGES[number % 3],
                metadata={**metadata(random.Random(number)), "sentiment": 0},
            ),
            "m",
            (Completion(text, ratings=rated), Completion("a good dog")),
            (Preference(0, 1), Preference(1, "reference")),
        )
        for number, (text, other) in enumerate(pairs)
    )


def batches(groups, size, memo=None):
    """`memo`, for all groups at once: what other metrics have left there."""
    whole = Whole.of(group.sample for group in groups)
    return [
        Batch(tuple(groups[start : start + size]), memo=memo or Memo(), whole=whole, shared=SHARED)
        for start in range(0, len(groups), size)
    ]


def turned(group):
    """The same group, its completions in the opposite order."""
    last = len(group.completions) - 1
    moved = [
        replace(p, better=last - p.better, worse=p.worse if p.worse == "reference" else last - p.worse)
        for p in group.preferences
    ]
    return replace(group, completions=group.completions[::-1], preferences=tuple(moved))


def columns(metric, groups, size, *, memo=None, backwards=False):
    """(value, what must be equal in any case), scored in batches of `size` groups.

    By score, sample and completion; by score alone for what `over` gives or comes from statistics summed batch by batch.
    """
    found, sums = {}, {}
    made = batches([turned(g) for g in groups] if backwards else groups, size, memo)
    for batch in made:
        for name, scores in metric(batch).items():
            signatures = (scores.signature, scores.corpus_signature)
            for row, place in enumerate(places(batch, backwards)):
                said = (scores.status_of(row), scores.reasons.get(row))
                found[name, *place] = (scores.segment[row], *said, *signatures)
            if scores.statistics is not None:
                rows = scores.statistics[np.isfinite(scores.statistics).all(axis=1)]
                sums[name] = sums.get(name, 0) + rows.sum(axis=0, keepdims=True)
    found |= {(name,): (float(metric.corpus_from(name, total)[0]),) for name, total in sums.items()}
    whole = metric.over(iter(made)) if hasattr(metric, "over") else {}
    return found | {(name,): (scores.corpus, scores.corpus_signature) for name, scores in whole.items()}


def places(batch, backwards):
    """(sample, completion) of each row."""
    for group in batch.generations:
        numbers = range(len(group.completions))
        yield from ((group.sample.id, number) for number in (reversed(numbers) if backwards else numbers))


def differences(one, other, infos):
    """What is not the same, numbers within the tolerance of their score."""
    by_name = {info.name: info for info in infos}
    return [
        (key, one.get(key), other.get(key))
        for key in one.keys() | other.keys()
        if key not in one
        or key not in other
        or one[key][1:] != other[key][1:]
        or not same(one[key][0], other[key][0], by_name[key[0]])
    ]


def same(one, other, info):
    if info.tolerance == 0 or one is None or other is None:
        return one == other
    scale = (
        max(one / 100, 1.0) if info.name.startswith("perplexity") else 1.0
    )  # whose tolerance is relative, as it says
    return abs(one - other) <= info.tolerance * scale


def check(scores, size):
    """What any `Scores` has to hold: finite and in range, or without a value and with a reason."""
    info = scores.info
    assert scores.values.shape == scores.status.shape == (size,)
    assert (np.isnan(scores.values) == (scores.status != 0)).all()
    assert set(scores.reasons) == set(np.flatnonzero(scores.status).tolist())
    assert all(reason.strip() for reason in scores.reasons.values())
    values = scores.values[scores.status == 0]
    assert np.isfinite(values).all()
    assert ((values >= info.low) & (values <= info.high)).all()
    assert (scores.statistics is not None) == (info.corpus == "statistics")
    assert {STATUSES[code] for code in scores.status.tolist()} <= {"ok", "abstain", "invalid"}
