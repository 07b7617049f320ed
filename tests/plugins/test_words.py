"""Words of many scripts, and of jieba."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import PluginError
from harness_plugins.words import SPACELESS, check_jieba, jieba_words, pieces, primary, spans, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't stop-and-go!", ["Don't", "stop-and-go"]),
        ("don’t", ["don’t"]),
        ("'quoted' - dash -", ["quoted", "dash"]),
        ("naïve café, Ünï", ["naïve", "café", "Ünï"]),
        ("太好了！Python3很好", ["太", "好", "了", "Python3", "很", "好"]),
        ("カタカナー", list("カタカナー")),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("Привет, мир", ["Привет", "мир"]),
        ("서울은 크다", ["서울은", "크다"]),
        ("a_b 3 14", ["a_b", "3", "14"]),
        ("e\u0301te\u0301", ["e\u0301te\u0301"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("", []),
        (" \n?!…😀", []),
    ],
)
def test_words(text, expected):
    assert words(text) == expected


def test_pieces_are_words_and_all_other_signs():
    assert pieces("C++ isn't 3.5, 好。") == ["C", "+", "+", "isn't", "3", ".", "5", ",", "好", "。"]


@pytest.mark.parametrize(
    ("language", "expected"),
    [("zh", "zh"), ("zh-Hant-TW", "zh"), ("ZH_cn", "zh"), ("zho_Hans", "zh"), ("eng", "en"), ("jpn_Jpan", "ja"),
     (" de ", "de"), ("", None), (" ", None), (None, None), ("tlh", "tlh")],
)  # fmt: skip
def test_primary_language(language, expected):
    assert primary(language) == expected


def test_languages_without_spaces():
    assert {"zh", "yue", "ja", "th", "lo", "km", "my", "bo"} <= SPACELESS
    assert not {"en", "ko", "vi", None} & SPACELESS


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_pieces_lose_nothing_but_space(text):
    assert "".join(pieces(text)) == regex.sub(r"\s", "", text)
    assert [text[a:b] for a, b in spans(text)] == words(text)
    assert set("".join(words(text))) <= set(text)


def test_jieba_gives_words_of_its_dictionary():
    pytest.importorskip("jieba")
    assert jieba_words("我来到北京清华大学, Python3.5") == ["我", "来到", "北京", "清华大学", ",", "Python3.5"]
    assert jieba_words("") == jieba_words(" \n") == []


def test_jieba_is_as_it_came_whatever_the_program_did_to_it():
    jieba = pytest.importorskip("jieba")
    jieba.dt.initialized, before = True, jieba.dt.initialized
    jieba.dt.FREQ["来到北京"] = 10**9
    try:
        assert jieba_words("我来到北京") == ["我", "来到", "北京"]
    finally:
        del jieba.dt.FREQ["来到北京"]
        jieba.dt.initialized = before


def test_jieba_says_nothing_and_reads_no_cache_of_others(tmp_path):
    pytest.importorskip("jieba")
    cache = tmp_path / "jieba.cache"
    cache.write_bytes(b"no marshal data")
    code = "from harness_plugins.words import jieba_words; print(jieba_words('我来到北京'))"
    environment = {"TMPDIR": str(tmp_path), "PYTHONIOENCODING": "utf-8", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode("utf-8").strip() == "['我', '来到', '北京']"
    assert cache.read_bytes() == b"no marshal data"


@pytest.mark.parametrize("text", ["龘" * 100_000, "x" * 100_000, "我爱北京" * 20_000, "的 " * 30_000])
def test_long_texts_take_seconds_not_minutes(text):
    pytest.importorskip("jieba")
    start = time.perf_counter()
    assert "".join(jieba_words(text)) == "".join(text.split())
    assert time.perf_counter() - start < 10  # 0.5 s when nothing else runs; uncut, 100,000 unknown characters take 16 s


def test_without_jieba_the_message_has_the_install_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "jieba", None)
    with pytest.raises(PluginError, match=r"jieba.*pip install 'reward-harness\[zh\]'"):
        check_jieba()
