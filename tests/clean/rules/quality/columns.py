"""Texts as columns, and hypothesis strategies for texts."""

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from tasks.clean.compiled import kernel
from tasks.clean.rules.quality.judge import judge
from tasks.clean.rules.quality.settings import SECTIONS, QualitySettings
from tasks.clean.rules.quality.words import split_words
from tasks.clean.verdict import Verdict

split = kernel(split_words.py_func)  # cached, unlike a helper

ALWAYS = {"stop_words", "bullets", "short_line_characters", "citations"}

PIECES = [
    *(" ", " ", " ", " ", "\n", "\n\n", "\t", "\r", "\x0b", "\x85", "\u00a0", "\u2028", "\u3000", "\u200b", "\x00"),
    *("the", "and", "of", "to", "with", "word", "Words", "UPPER", "a", "I", "x1", "cannot", "internationalization"),
    *("don't", "Don’t", "it's", "'s", "’ll", "ma'am", "O'Reilly", "dogs'", "Mr.", "vs.", "e.g.", "U.S.", "etc.", "A."),
    *(".", ".", ",", "..", "...", "…", "....", "?", "!", ";", ":", "-", "--", "---", "----", "–", "—", "‐", "~", "•"),
    *("#", "$", "%", "&", "*", "+", "/", "<", "=", ">", "@", "[", "\\", "]", "^", "_", "`", "{", "|", "}", "(", ")"),
    *('"', "'", "“", "”", "‘", "’", "«", "»", "´", "¿", "§", "°", "€", "£", "²", "½", "™", "©", "→", "1", "42", "3.5"),
    *("foo.bar", "www.example.org", "http://a.bc/d-e?f=g", "user@host.net", "10-12", "a,b", "end.Start", "and/or"),
    *(
        "é",
        "e\u0301",
        "É",
        "ß",
        "ǅ",
        "Ω",
        "я",
        "Я",
        "ё",
        "ا",
        "א",
        "שלום",
        "नमस्ते",
        "।",
        "中文",
        "。",
        "！",
        "カタカナ",
        "これは",
    ),
    *("ภาษาไทยไม่มี", "ပြည်", "ខ្មែរ", "བོད་ཡིག", "ー", "々", "，", "、"),
    *("한국어", "٣", "४", "१२", "😀", "👩\u200d🔬", "🇩🇪", "\u200f", "\u0315", "\ufeff"),
    *("\U000e0100", "\ue000", "\u2fff", "\U00010400"),
    *("[12]", "[]", "[edit]", "[citation needed]", "[note]", "javascript", "JavaScript", "lorem ipsum", "Terms of Use"),
]
texts = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=60).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=60).map(" ".join),
    st.lists(st.sampled_from(["a", "b", "c.", "the", "\n", "\n\n", "d e"]), max_size=120).map(" ".join),
    st.lists(st.sampled_from(["one line.", "another one", "", " ", "- x", "three"]), max_size=40).map("\n".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
)


def column(*given: str | None) -> pa.LargeStringArray:
    return pa.array(given, pa.large_string())


def only(section: str, **keys: Any) -> QualitySettings:
    """Settings with one section on, with only the given rules; `...` stands for the default of a key."""
    model = SECTIONS[section]
    off = {name: None for name in model.model_fields if name not in ALWAYS}
    own = {key: model.model_fields[key].default if value is ... else value for key, value in keys.items()}
    if section == "c4":
        off["citations"] = "keep"
    return QualitySettings.model_validate({section: {**off, **own}})


def verdict(text: str, settings: QualitySettings) -> Verdict | None:
    (found,) = judge(column(text), settings).verdicts
    return found


def words(text: str) -> list[str]:
    """The words that the kernel finds."""
    raw = text.encode()
    found, keys = np.empty((3, len(raw) + 1), np.int32), np.empty(len(raw) + 1, np.uint64)
    data = np.frombuffer(bytearray(raw), np.uint8) if raw else np.zeros(0, np.uint8)
    pending = np.empty(len(raw) + 1, np.int32)
    count = split(data, np.int64(0), np.int64(len(raw)), found, keys, pending)
    return [raw[start:end].decode() for start, end in zip(*found[:2, :count], strict=True)]
