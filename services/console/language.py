"""The console's words in two languages, and how values are written in each."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from services.common.taxonomy import standard

LANGUAGES = ("zh", "en")
HTML_LANG = {"zh": "zh-CN", "en": "en"}
CHINA = timezone(timedelta(hours=8))


@cache
def words() -> Mapping[str, tuple[str, str]]:
    """Every text by key: Chinese, English."""
    read = yaml.safe_load((Path(__file__).parent / "words.yaml").read_text(encoding="utf-8"))
    return {key: (pair[0], pair[1]) for key, pair in read.items()}


class Speech:
    """Says things in one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._at = LANGUAGES.index(language)

    def __call__(self, key: str, **values: object) -> str:
        """A text by key, with its slots filled."""
        text = words()[key][self._at]
        return text.format(**values) if values else text

    def pick(self, zh: str, en: str) -> str:
        """The one of two texts that is in this language."""
        return (zh, en)[self._at]

    def enum(self, kind: Any, value: int, prefix: str) -> str:
        """A wire enum's value in words; `prefix` is cut off its name."""
        name = kind.Name(value).removeprefix(f"{prefix}_")
        return self(f"{prefix.lower()}.{name}")

    def category(self, code: str) -> str:
        """A category's name; "CLEARED" and "" in words."""
        if not code or code == "CLEARED":
            return self("category.cleared" if code else "category.none")
        found = standard.load().category(code)
        return self.pick(found.name_zh, found.name_en)

    def both(self, text: str) -> str:
        """The half of a reply written in both languages, "中文 / English", else all of it."""
        zh, separator, en = text.partition(" / ")
        return self.pick(zh, en) if separator else text

    def amount(self, value: float) -> str:
        """A share or a count, as short as it may be."""
        return (
            f"{value:.2f}" if abs(value) < 1 else f"{value:,.1f}" if value < 10 else f"{value:,.0f}"
        )

    def day(self, time: Any) -> str:
        """A timestamp's day in China."""
        return self._china(time).strftime("%Y-%m-%d")

    def minute(self, time: Any) -> str:
        """A timestamp to the minute, in China."""
        return self._china(time).strftime("%Y-%m-%d %H:%M")

    def last_day(self, time: Any) -> str:
        """The last day before an exclusive end."""
        return (self._china(time) - timedelta(milliseconds=1)).strftime("%Y-%m-%d")

    def _china(self, time: Any) -> datetime:
        return datetime.fromtimestamp(time.ToMilliseconds() / 1000, UTC).astimezone(CHINA)


def choose(wanted: str, accepted: str) -> str:
    """The language to speak: the one wanted, else what the browser accepts first, else Chinese."""
    if wanted in LANGUAGES:
        return wanted
    first = accepted.partition(",")[0].strip().lower()
    return "en" if first.startswith("en") else "zh"
