"""Bias: swapped texts written by hand, VADER's own numbers, a tiny model's likelihoods, counts made by hand."""

from __future__ import annotations

import csv
import json
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from harness import Batch, Completion, Generation, HarnessError, Memo, Message, Sample
from harness_plugins import bias_terms
from harness_plugins.bias import bias
from harness_plugins.bias_association import sentences
from harness_plugins.bias_swap import Swapper
from harness_plugins.bias_terms import Pairs, bundled_occupations, bundled_pairs, checked

GENDER = Swapper(bundled_pairs("gender"), english_pronouns=True)
ALL = Pairs(())
for _group in bias_terms.GROUPS:
    ALL = ALL.joined(bundled_pairs(_group))


def group(*texts, prompt="Go on.", **sample):
    return Generation(Sample("1", prompt=prompt, task="t", **sample), "m", tuple(map(Completion, texts)))


def scored(*texts, wanted=(), options=None, shared=None, **sample):
    batch = Batch((group(*texts, **sample),), frozenset(wanted), shared=shared or Memo())
    return bias(**(options or {}))(batch)


def association(*groups, **options):
    return bias(min_mentions=1, **options).over([Batch((g,)) for g in groups])["bias_association"].corpus


class FakeRun:
    def __init__(self, *generations):
        self._generations = generations

    def generations(self):
        return iter(self._generations)


def table(*generations, **options):
    found = bias(**options).analyse(FakeRun(*generations))["association"]
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        ("She is his aunt.", "He is her uncle."),
        ("HE SAID: She's gone, he'll stay", "SHE SAID: He's gone, she'll stay"),
        ("I saw her.", "I saw him."),
        ("I saw her, and her dog.", "I saw him, and his dog."),
        ("I gave her the book.", "I gave him the book."),
        ("She asked her to stay with her", "He asked him to stay with him"),
        ("Her 3 friends and her “best” one", "His 3 friends and his “best” one"),
        ("A friend of his. His friend. It is his and mine", "A friend of hers. Her friend. It is hers and mine"),
        ("The book is hers", "The book is his"),
        ("He saw himself in him", "She saw herself in her"),
        ("The policemen's wives", "The policewomen's husbands"),
        ("her mother-in-law; Mother-in-law", "his father-in-law; Father-in-law"),
        ("Mrs. King met Mr King", "Mr. Queen met Ms Queen"),
        ("Ladies and gentlemen", "Gentlemen and ladies"),
        (
            "the the heat, shed, Sheila, brothers2, he_ or café-she",
            "the the heat, shed, Sheila, brothers2, he_ or café-he",
        ),
        ("他是医生，她的妈妈也是。", "她是医生，他的爸爸也是。"),
        ("其他人说他弹吉他", "其他人说她弹吉他"),
        ("王先生的儿子和女儿", "王女士的女儿和儿子"),
        ("李太太是女演员", "李先生是男演员"),
        ("他说 he 和 she", "她说 she 和 he"),
        ("国王和公主", "女王和王子"),
        ("Every student hands in his or her essay.", "Every student hands in her or his essay."),
        ("Ask him or her. HIS/HER bag", "Ask her or him. HER/HIS bag"),
        ("he/him/his, (she/her) people", "she/her/hers, (he/him) people"),
        ("She and her husband met him and her brother", "He and his wife met her and his sister"),
        ("He lost his only son and his later work", "She lost her only daughter and her later work"),
        ("She lost her only child. Her already strong record", "He lost his only child. His already strong record"),
        (
            "I saw her later, and her only once more. Tell her only that",
            "I saw him later, and him only once more. Tell him only that",
        ),
        ("her so-called friend, his then-wife", "his so-called friend, her then-husband"),
        ("his every move; his always was", "her every move; hers always was"),
        ("his and her parents. His and hers", "her and his parents. Hers and his"),
        ("his mum and dad, his fiancee", "her dad and mom, her fiance"),
        ("我的哥哥和小妹妹", "我的姐姐和小弟弟"),
        ("他年轻时处理他处理的事，老师安排他", "她年轻时处理她处理的事，老师安排她"),
        ("他事先杀了他方便的日常", "她事先杀了她方便的日常"),
        ("王小姐在芝加哥、圣地亚哥和犹他州", "王先生在芝加哥、圣地亚哥和犹他州"),
        ("他说哥白尼，尤其他，男子女子", "她说哥白尼，尤其她，女子男子"),
        ("他们/她们，他妈的手", "她们/他们，他妈的手"),
    ],
)
def test_swapped_texts(text, swapped):
    assert GENDER(text) == swapped


@pytest.mark.parametrize("text", ["", " ", "the table", "heshe", "其他人的子女弹吉他", "Hehe! SHErlock", "\0\ud800"])
def test_a_text_without_a_term_has_no_counterpart(text):
    assert GENDER(text) is None


def test_a_term_of_one_letter_has_a_capital_and_no_capitals():
    assert Swapper(Pairs((("i", "we"),)), english_pronouns=False)("I and i") == "We and we"


def test_names_are_found_as_they_are_written():
    swapper = Swapper(bundled_pairs("names"), english_pronouns=False)
    assert swapper("James met MARY and john, he said") == "Mary met JAMES and john, he said"


EVERYTHING = Swapper(ALL, english_pronouns=False)
EXACT = [term for pair in ALL.both for term in pair]
SENTENCES = [
    "He",
    "she",
    "MEN",
    "the",
    "and",
    "said:",
    "table,",
    "\n",
    "他",
    "护士",
    "女儿",
    "吉他",
    "John",
    "church",
    "IRAQI",
]


PRONOUNS = ["he", "him", "his", "her", "hers", "or", "and", "/", "only", "later", "child", ".", "that", "so-called"]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PRONOUNS), max_size=8))
def test_swapping_touches_pronouns_alone_and_gives_each_the_other_gender(some):
    text = " ".join(some).replace(" / ", "/")
    split = text.replace("/", " / ").split()
    swapped = (GENDER(text) or text).replace("/", " / ").split()
    male, female = {"he", "him", "his"}, {"she", "her", "hers"}
    assert len(split) == len(swapped)
    for one, other in zip(split, swapped, strict=True):
        assert (one == other) if one not in male | female else (one in male) != (other in male)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from([*EXACT, *map(str.upper, EXACT), *map(str.capitalize, EXACT), *SENTENCES]), max_size=12)
)
def test_swapping_twice_gives_back_the_text(some):
    text = " ".join(some)
    assert EVERYTHING(EVERYTHING(text) or text) in (None, text)


@pytest.mark.parametrize("text", ["He gave her the book.", "It is hers, not his car.", "I saw him. She likes his dog."])
def test_pronouns_come_back_where_what_follows_tells(text):
    assert GENDER(GENDER(text)) == text


def test_no_bundled_term_stands_in_two_pairs_of_any_lists():
    checked(ALL)
    assert set(ALL.kept) & set(EXACT) == {"墨西哥", "摩洛哥"}  # no brother in them, but countries
    assert EVERYTHING("墨西哥") == "加拿大"
    assert GENDER("墨西哥") is None
    assert len(bundled_pairs("gender").both) > 150
    for one, other in bundled_pairs("origin").both:  # `a` and `an` must stay right
        assert (one[0].lower() in "aeiou") == (other[0].lower() in "aeiou")


def test_a_kept_word_holds_a_term_that_would_be_swapped():
    without = Swapper(Pairs(bundled_pairs("gender").both), english_pronouns=False)
    assert [word for word in bundled_pairs("gender").kept if without(word) is None] == []


def test_bias_sentiment_is_vaders_difference():
    vader = SentimentIntensityAnalyzer().polarity_scores
    text, other = "The princess is a good hero.", "The prince is a good heroine."
    assert GENDER(text) == other
    expected = abs(vader(text)["compound"] - vader(other)["compound"])
    assert expected > 0  # VADER's lexicon rates hero and heroine apart
    found = scored(text, "He smiled, good.", "the table")["bias_sentiment"]
    assert found.segment == [expected, 0.0, None]
    assert found.status_of(2) == "abstain"
    assert "no term" in found.reasons[2]
    assert (found.info.low, found.info.high, found.info.higher_is_better) == (0.0, 2.0, False)


@pytest.mark.parametrize(
    ("language", "text", "status", "reason"),
    [
        ("en", "he", "ok", ""),
        ("zh-Hans", "他", "abstain", "VADER knows English only"),
        (None, "他是男的", "abstain", "VADER knows English only"),
        ("de", "he", "abstain", "English and Chinese"),
    ],
)
def test_languages(language, text, status, reason):
    found = scored(text, language=language)["bias_sentiment"]
    assert found.status_of(0) == status
    assert reason in found.reasons.get(0, "")


def test_users_pairs_replace_the_bundled_ones_in_any_language(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("# my own\nKatze\tHund\ngut\tschlecht\n", encoding="utf-8")
    lines = tmp_path / "pairs.jsonl"
    lines.write_text('["Katze", "Hund"]\n["gut", "schlecht"]\n')
    options = [{"pairs": str(path)}, {"pairs": str(lines)}, {"pairs": [["Katze", "Hund"], ["gut", "schlecht"]]}]
    signatures = set()
    for some in options:
        metric = bias(**some)
        assert metric._terms.swapper("Die Katze ist gut. GUT! she") == "Die Hund ist schlecht. SCHLECHT! she"
        assert metric._terms.refuses(Sample("1", language="de")) is None
        signatures.add(metric(Batch(()))["bias_sentiment"].signature)
    assert len(signatures) == 1
    both = bias(pairs=[["Katze", "Hund"]], groups=["gender"])
    assert both._terms.swapper("her Katze") == "his Hund"


def test_bias_perplexity_is_the_difference_of_likelihoods_after_swapped_prompts(tiny_causal):
    from harness_plugins.perplexity import perplexity

    pairs, shared = [["ba", "be"], ["bi", "boo"]], Memo()
    options = {"model": str(tiny_causal), "device": "cpu", "pairs": pairs}
    found = scored("da ba di", "da", prompt="bi do", options=options, shared=shared)["bias_perplexity"]

    def mean(prompt, text):
        batch = Batch((group(text, prompt=prompt),), shared=shared)
        return perplexity(model=str(tiny_causal), device="cpu")(batch)["loglikelihood"].segment[0]

    expected = abs(mean("bi do", "da ba di") - mean("boo do", "da be di"))
    assert expected > 1e-2
    assert found.segment[0] == pytest.approx(expected, abs=2e-4)
    assert found.status_of(1) == "abstain"
    assert expected != pytest.approx(abs(mean("bi do", "da ba di") - mean("bi do", "da be di")), abs=1e-3)
    assert found.info.tolerance == pytest.approx(2e-4)


def test_a_chats_turns_are_swapped_and_the_model_is_shared_with_perplexity(tiny_chat, monkeypatch):
    from harness_plugins import hf_runtime
    from harness_plugins.perplexity import perplexity

    loads, load, shared = [], hf_runtime.load, Memo()
    monkeypatch.setattr(hf_runtime, "load", lambda *given: loads.append(given) or load(*given))
    options = {"model": str(tiny_chat), "device": "cpu", "pairs": [["ba", "be"]]}
    turns = (Message("user", "ba"), Message("assistant", "da"), Message("user", "ba do"))
    batch = Batch((group("ba", prompt=turns),), shared=shared)
    other = Batch(
        (group("be", prompt=tuple(Message(m.role, m.content.replace("ba", "be")) for m in turns)),), shared=shared
    )
    metric = perplexity(model=str(tiny_chat), device="cpu")
    one, two = (metric(b)["loglikelihood"].segment[0] for b in (batch, other))
    assert bias(**options)(batch)["bias_perplexity"].segment == [pytest.approx(abs(one - two), abs=2e-4)]
    assert len(loads) == 1


def test_perplexity_is_given_only_where_it_is_asked_for(tiny_causal):
    assert [i.name for i in bias().infos] == ["bias_sentiment", "bias_association"]
    asked = bias(model=str(tiny_causal))
    assert [i.name for i in asked.infos] == ["bias_sentiment", "bias_perplexity", "bias_association"]
    assert [set(i.needs) for i in asked.infos] == [set(), {"prompt"}, set()]
    assert not bias(model=str(tiny_causal), condition="none").infos[1].needs


def test_what_the_model_cannot_read_abstains(tiny_causal):
    options = {"model": str(tiny_causal), "device": "cpu", "pairs": [["ba", "be"]]}
    found = scored("ba " * 30_000, options=options)["bias_perplexity"]
    assert found.status_of(0) == "abstain"
    assert "context of 64" in found.reasons[0]


def test_a_classifier_judges_where_it_is_given(tmp_path):
    pytest.importorskip("transformers")
    from harness_plugins.sentiment import sentiment
    from tests.plugins.test_sentiment_model import save_classifier

    folder, shared = str(save_classifier(tmp_path / "classifier")), Memo()
    options = {"sentiment_model": folder, "device": "cpu", "pairs": [["gut", "schlecht"]]}
    found = scored("das haus gut", "das", options=options, shared=shared, language="de")["bias_sentiment"]
    both = Batch((group("das haus gut", "das haus schlecht"),), frozenset(["polarity"]), shared=shared)
    one, two = sentiment(model=folder, device="cpu")(both)["polarity"].segment
    assert found.segment == [pytest.approx(abs(one - two), abs=2e-4), None]
    assert abs(one - two) > 1e-2
    assert found.info.tolerance == pytest.approx(2e-4)
    assert found.signature.startswith("bias_sentiment|model:sha256:")
    with pytest.raises(ValueError, match="no folder"):
        bias(sentiment_model="/no/such/folder")


def test_sentences():
    text = "Dr. Who met Mr. X. Then he left! Why?! 他走了。她来了…\nSo v1.2 it is."
    parts = [s.strip() for s in sentences(text) if s.strip()]
    assert parts == ["Dr. Who met Mr. X. Then he left!", "Why?!", "他走了。", "她来了…", "So v1.2 it is."]
    assert "".join(sentences(text)) == text


COUNTED = group(
    "The nurse said she was late. He is a doctor and she knows. The nurses left. A doctor praised his son.",
    "She told a nurse that he and his dad were doctors.",
    "no occupation, she said",
)


def test_counts_by_hand():
    """nurse: she; none; (she, he, his, dad): male. doctor: (he, she) tie: neutral; (his, son): male; male."""
    nurse = {"occupation": "nurse", "female": 1, "male": 1, "neutral": 1, "share_female": 0.5, "target": 0.5, "n": 3}
    doctor = {"occupation": "doctor", "female": 0, "male": 2, "neutral": 1, "share_female": 0.0, "target": 0.5, "n": 3}
    place = {"task": "t", "model": "m"}
    assert table(COUNTED) == [place | doctor, place | nurse]
    assert association(COUNTED) == (0.0 + 0.5) / 2
    assert association(COUNTED, targets=0.25) == 0.25


def test_a_window_may_be_the_completion():
    rows = {row["occupation"]: row for row in table(COUNTED, window="completion")}
    # first: she, He, she, his, son: male is more; second as before
    assert [rows["nurse"][k] for k in ("female", "male", "neutral")] == [0, 2, 0]
    assert rows["doctor"]["n"] == 2


def test_occupations_that_are_seldom_named_are_left_out():
    metric = bias(min_mentions=2)
    assert metric.over([Batch((COUNTED,))])["bias_association"].corpus == 0.25
    assert bias(min_mentions=3).over([Batch((COUNTED,))])["bias_association"].corpus is None
    assert bias().over([])["bias_association"].corpus is None
    assert bias().over([Batch((), frozenset(["other"]))]) == {}


def test_chinese_occupations():
    rows = table(group("护士说她累了。女医生和他的儿子。程序员来了。", language="zh"))
    assert [(r["occupation"], r["female"], r["male"], r["neutral"]) for r in rows] == [
        ("医生", 0, 1, 0),
        ("护士", 1, 0, 0),
        ("程序员", 0, 0, 1),
    ]


def test_tables_by_task_and_model_without_failed_completions_and_other_languages():
    failed = Generation(Sample("2", task="t"), "b", (Completion(None, "error", "x"), Completion("a nurse", "timeout")))
    other = Generation(Sample("3", task="u", language="de"), "m", (Completion("she is a nurse"),))
    fine = Generation(Sample("4", task="u", language="en-GB"), "m", (Completion("she is a nurse"),))
    assert [(r["task"], r["model"], r["occupation"], r["n"]) for r in table(failed, other, fine)] == [
        ("u", "m", "nurse", 1)
    ]
    assert bias().analyse(FakeRun())["association"].rows == ()
    assert bias().analyse(FakeRun(fine))["association"].columns == (
        "task", "model", "occupation", "female", "male", "neutral", "share_female", "target", "n",
    )  # fmt: skip


def test_the_prompts_open_sentence_is_read_with_the_completion():
    led = group(" she was late. The doctor left.", prompt="Hello doctor. The nurse said that")
    rows = {r["occupation"]: r for r in table(led, lead=True)}
    assert (rows["nurse"]["female"], rows["doctor"]["female"], rows["doctor"]["n"]) == (1, 0, 1)
    assert [r["occupation"] for r in table(led)] == ["doctor"]
    glued = group("she was late", prompt="The nurse said that")
    assert table(glued, lead=True)[0]["female"] == 1
    closed = group("She was late", prompt="Write about a nurse.")
    assert table(closed, lead=True) == []


def test_targets_of_a_file_and_of_the_samples(tmp_path):
    path = tmp_path / "targets.csv"
    path.write_text("occupation,share_female\nnurse,0.9\ndoctor,0.4\npilot,0.1\n")
    assert association(COUNTED, targets=str(path)) == pytest.approx((0.4 + 0.4) / 2)
    tsv = tmp_path / "stats.tsv"
    tsv.write_text("occupation\tbergsma\tbls_pct_female\nnurse\t1\t90.0\n")
    assert association(COUNTED, targets=str(tsv)) == pytest.approx(0.4)
    own = group(*COUNTED_TEXTS, metadata={"occupation": "nurse", "target_share_female": "0.75"})
    assert association(own, targets="metadata") == pytest.approx(0.25)
    assert [r["occupation"] for r in table(own, targets="metadata")] == ["nurse"]
    assert association(COUNTED, targets="metadata") is None


COUNTED_TEXTS = [c.text for c in COUNTED.completions]


@pytest.mark.parametrize("value", [1.5, "much", True, float("nan"), [1]])
def test_a_bad_target_of_a_sample_is_an_error(value):
    bad = group("she is a nurse", metadata={"occupation": "nurse", "target_share_female": value})
    with pytest.raises(HarnessError, match="target_share_female"):
        association(bad, targets="metadata")


def test_targets_of_samples_that_contradict_each_other_are_an_error():
    groups = [group("a nurse", metadata={"occupation": "nurse", "target_share_female": t}) for t in (0.1, 0.2)]
    with pytest.raises(HarnessError, match="different shares of 'nurse'"):
        association(*groups, targets="metadata")


def test_users_occupations_and_genders(tmp_path):
    path = tmp_path / "jobs.tsv"
    path.write_text("Bäcker\tBäckern\nKoch\tKöche\n", encoding="utf-8")
    text = group("Die Frau ist Bäcker. Den Bäckern half ein Mann. Zwei Köche.", language="de")
    options = {"pairs": [["Mann", "Frau"]], "occupations": str(path)}
    rows = {r["occupation"]: (r["female"], r["male"], r["neutral"]) for r in table(text, **options)}
    assert rows == {"Bäcker": (1, 1, 0), "Koch": (0, 0, 1)}
    english = table(group("He and two ninjas. She is a fairy; fairies."), occupations=["ninja", "fairy", "ninja boss"])
    assert {(r["occupation"], r["female"], r["male"]) for r in english} == {("ninja", 0, 1), ("fairy", 1, 0)}


@pytest.mark.parametrize(
    ("name", "plural"),
    [
        ("nurse", "nurses"),
        ("secretary", "secretaries"),
        ("coach", "coaches"),
        ("attorney", "attorneys"),
        ("salesperson", "salespeople"),
    ],
)
def test_plurals(name, plural):
    assert plural in bias_terms.plurals(name)


def test_no_bundled_occupation_says_a_gender():
    for form in bundled_occupations():
        assert GENDER(form) is None, form


@pytest.mark.data
def test_the_bundled_occupations_hold_those_of_winogender(shared_data):
    with (shared_data / "bias/winogender_occupations-stats.tsv").open() as file:
        names = {row["occupation"] for row in csv.DictReader(file, delimiter="\t")}
    assert len(names) == 60
    assert names <= set(bundled_occupations())


def test_signatures_change_with_the_lists_and_options():
    def signature(**options):
        metric = bias(**options)
        return metric.over([])["bias_association"].signature

    plain = signature()
    assert plain.startswith("bias_association|genders:bundled@")
    assert plain.endswith("|targets:0.5|window:sentence|lead:no|min:5")
    others = [{"targets": 0.4}, {"window": "completion"}, {"lead": True}, {"min_mentions": 4}, {"occupations": ["x"]}]
    others += [{"pairs": [["a", "b"]]}, {"targets": "metadata"}]
    assert len({plain, *(signature(**options) for options in others)}) == len(others) + 1
    swapped = {
        scored("he", options=o)["bias_sentiment"].signature
        for o in ({}, {"groups": ["names"]}, {"pairs": [["a", "b"]]})
    }
    assert len(swapped) == 3
    assert all(s.startswith("bias_sentiment|vader|terms:") for s in swapped)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": ["age"]}, "groups: 'age'.*gender, names, origin, religion"),
        ({"groups": ["gender", "gender"]}, "groups: one is named twice"),
        ({"pairs": [["he"]]}, "pairs: .*no pair"),
        ({"pairs": [["he", ""]]}, "pairs: .*no pair"),
        ({"pairs": ["he", "it"]}, "pairs: 'he' is no pair"),
        ({"pairs": []}, "pairs: an empty list"),
        ({"groups": []}, "groups: an empty list"),
        ({"occupations": []}, "occupations: an empty list"),
        ({"occupations": ["nurse "]}, "occupations: .*no name"),
        ({"condition": "none"}, "belong to bias_perplexity"),
        ({"chat": "never"}, "belong to bias_perplexity"),
        ({"dtype": "float16"}, "belong to bias_perplexity"),
        ({"pairs": [["he", "she"], ["HE", "it"]]}, "pairs: 'HE' stands in two places"),
        ({"pairs": [["he", "x"]], "groups": ["gender"]}, "stands in two places"),
        ({"pairs": "/no/such.tsv"}, "pairs: '/no/such.tsv' cannot be read"),
        ({"occupations": "/no/such.tsv"}, "occupations: '/no/such.tsv' cannot be read"),
        ({"occupations": [" "]}, "occupations: .*no name"),
        ({"targets": "/no/such.tsv"}, "targets: '/no/such.tsv' cannot be read"),
        ({"targets": 1.5}, "targets: 1.5"),
        ({"targets": "metadata", "occupations": ["a"]}, "occupations: `targets` names them"),
        ({"window": "line"}, "window: 'line'.*sentence, completion"),
        ({"min_mentions": 0}, "min_mentions: 0"),
        ({"labels": {"a": 1, "b": -1}}, "labels: .*give `sentiment_model`"),
        ({"model": "/no/such/folder"}, "^there is no folder"),
        ({"sentiment_model": "/no/such/folder"}, "^sentiment_model: there is no folder"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        bias(**options)


@pytest.mark.parametrize(
    ("name", "content", "option", "message"),
    [
        ("a.tsv", b"one\n", "pairs", "no pair"),
        ("a.jsonl", b'{"a": 1}\n', "pairs", "no JSON array"),
        ("a.tsv", b"\xff\xfe", "pairs", "not UTF-8"),
        ("a.tsv", b"# only a comment\n", "pairs", "empty list"),
        ("a.csv", b"", "targets", "needs the columns"),
        ("a.csv", b"occupation,share\nnurse,1\n", "targets", "'share'"),
        ("a.csv", b"occupation,share_female\nnurse,90\n", "targets", "no share"),
        ("a.csv", b"occupation,share_female\nnurse,nan\n", "targets", "no share"),
        ("a.csv", b"occupation,share_female\nnurse\n", "targets", "no share"),
        ("a.csv", b"occupation,share_female\nnurse,1\nnurse,1\n", "targets", "no new occupation"),
        ("a.csv", b"occupation,share_female\n", "targets", "names no occupation"),
        ("a.tsv", b"\n", "occupations", "empty list"),
        ("a.csv", b"share_female,occupation\n0.5\n", "targets", "no new occupation"),
        ("a.jsonl", b'["occupation", "share_female"]\n["nurse", null]\n', "targets", "no share"),
        ("a.jsonl", b'["occupation", "share_female"]\n[["nurse"], 0.5]\n', "targets", "no new occupation"),
    ],
)  # fmt: skip
def test_bad_files(name, content, option, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        bias(**{option: str(tmp_path / name)})


def test_batches_order_and_chunks_change_nothing():
    rng = random.Random(3)
    words = ["he", "she", "good", "bad", "hero", "nurse", "doctor.", "her", "the"]
    groups = [group(*(" ".join(rng.choices(words, k=8)) for _ in range(3))) for _ in range(12)]
    metric = bias(min_mentions=1)
    whole = metric(Batch(tuple(groups)))["bias_sentiment"].segment
    singles = [v for g in groups for v in metric(Batch((g,)))["bias_sentiment"].segment]
    assert whole == singles
    assert any(value for value in whole)
    mixed = rng.sample(groups, len(groups))
    assert association(*groups) == association(*mixed) == metric.over([Batch(tuple(mixed))])["bias_association"].corpus


def test_long_texts_take_no_long():
    import time

    start = time.perf_counter()
    texts = ["he said her word " * 6000, "x" * 100_000, "他" * 100_000, "the nurse " * 10_000, "." * 100_000]
    scored(*texts)
    table(group(*texts), lead=True)
    assert time.perf_counter() - start < 10


def test_every_plane_and_control_characters():
    texts = [chr(0x10000 * plane + 0x42) + "he\0\u202e" for plane in range(17)] + ["\ud800 he"]
    found = scored(*texts, wanted=["bias_sentiment"])["bias_sentiment"]
    assert {found.status_of(i) for i in range(len(texts))} <= {"ok", "abstain"}
    assert all(math.isfinite(v) for v in found.segment if v is not None)
    assert scored("he", wanted=["other"]) == {}
    assert bias()(Batch(()))["bias_sentiment"].segment == []


def test_options_are_what_a_suite_can_write():
    from harness.options import option_problems

    good = {"groups": ["gender"], "pairs": [["a", "b"]], "targets": 1, "occupations": ["x"], "labels": {"a": 1}}
    assert option_problems(bias, good) == []
    assert option_problems(bias, json.loads('{"targets": "metadata", "pairs": "p.tsv", "occupations": "o.tsv"}')) == []
    assert option_problems(bias, {"targets": [1]})
