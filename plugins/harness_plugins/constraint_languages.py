"""The language of a text, by langdetect as IFEval asks it, for `constraints`.

langdetect draws at random; here each text is drawn for with seed 0, by a detector of our own, so that the answer depends on
the text alone and other users of the package in the same process keep their settings. Profiles are read in the order of
their names: the package reads them as the folder happens to list them, and sums of probabilities follow that order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness import require

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness import Memo

    Detect = Callable[[str], str | None]


def detector(shared: Memo) -> Detector:
    """The detector, made once. Raises PluginError, with the install line, where langdetect is not installed."""
    return shared.get(("langdetect", "seed 0"), Detector)


class Detector:
    """Texts to langdetect's codes: `en`, `zh-cn`."""

    def __init__(self) -> None:
        require("constraints: to tell a text's language", ("langdetect",), "'reward-harness[constraints]'")
        from langdetect.detector_factory import DetectorFactory

        self._factory: Any = DetectorFactory()
        self._factory.set_seed(0)
        self._factory.load_json_profile(_profiles())
        self.languages = frozenset(self._factory.get_lang_list())

    def __call__(self, text: str) -> str | None:
        """None where nothing in the text tells its language, such as in a text without letters."""
        from langdetect.lang_detect_exception import LangDetectException

        asked = self._factory.create()
        asked.append(text)
        try:
            return str(asked.detect())
        except LangDetectException:
            return None


def _profiles() -> list[str]:
    from pathlib import Path

    from langdetect.detector_factory import PROFILES_DIRECTORY

    files = sorted(path for path in Path(PROFILES_DIRECTORY).iterdir() if not path.name.startswith("."))
    return [path.read_text(encoding="utf-8") for path in files]


def is_in(text: str, language: str, detect: Detect) -> bool:
    """Followed too where no language can be told, as in the reference. `zh` is met by `zh-cn` and `zh-tw`."""
    found = detect(text)
    return found is None or found == language or found.split("-")[0] == language


def is_english_upper(text: str, detect: Detect) -> bool:
    return text.isupper() and is_in(text, "en", detect)


def is_english_lower(text: str, detect: Detect) -> bool:
    return text.islower() and is_in(text, "en", detect)
