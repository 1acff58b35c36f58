"""A slow, plain implementation of the rules from the papers; the kernels must agree with it on every document.

Gopher: Rae et al. 2021, arXiv 2112.11446, A1.1. C4: Raffel et al. 2019, arXiv 1910.10683, 2.2, and its code. FineWeb:
Penedo et al. 2024, arXiv 2406.17557, 3.6.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache

from tasks.clean.rules.quality.characters import SENTENCE_TERMINAL
from tasks.clean.rules.quality.contractions import pieces
from tasks.clean.rules.quality.settings import C4, FineWeb, GopherQuality, GopherRepetition, QualitySettings
from tasks.clean.verdict import Verdict

TERMINAL = {
    chr(code)
    for part in SENTENCE_TERMINAL.split()
    for ends in [part.split("-")]
    for code in range(int(ends[0], 16), int(ends[-1], 16) + 1)
}
CITATION = re.compile(r"\[(?:[0-9]*|edit|citation needed)\]")
TSHEGS = "\u0f0b\u0f0c"
HYPHENS = "-–—~\u2010\u2011"
INITIALS = re.compile(r"(?:[^\W\d_]\.)+")
LABEL = r"(?:[a-zA-Z0-9]|[^\x00-\x7f])(?:[a-zA-Z0-9_-]|[^\x00-\x7f])*(?<![_-])"
HOST = rf"(?:{LABEL}\.)+[a-z]{{2,63}}(?::[0-9]{{2,5}})?(?:[/?#].*)?"
ADDRESS = re.compile(rf"(?:[a-zA-Z0-9+.-]{{2,}}://)?{HOST}|[^@]+@{HOST}", re.DOTALL)


@lru_cache(1 << 16)
def category(character: str) -> str:
    return unicodedata.category(character)


def letter(character: str) -> bool:
    return category(character)[0] in "LM" or character in TSHEGS


def capital(character: str) -> bool:
    return category(character) in ("Lu", "Lt")


def digit(character: str) -> bool:
    return category(character) == "Nd"


def symbol(character: str) -> bool:
    return category(character) == "So"


def mark(character: str) -> bool:
    if character in "./\\@-\u2010\u2011" + TSHEGS:
        return False
    return category(character)[0] == "P" or category(character) in ("So", "Sc") or character in "<>=`´"


def punctuation(text: str) -> bool:
    return all(category(c)[0] == "P" or category(c) == "Cc" or c in "$+<=>^`|~" for c in text)


@lru_cache(1 << 12)
def words_of(text: str) -> tuple[str, ...]:
    return tuple(word for chunk in text.split() for word in words_of_chunk(chunk))


@lru_cache(1 << 16)
def words_of_chunk(chunk: str) -> tuple[str, ...]:
    if len(chunk.encode()) <= 16 and chunk in pieces():
        return pieces()[chunk]
    if before := front(chunk):
        return (chunk[:before], *words_of_rest(chunk[before:]))
    if behind := back(chunk):
        return (*words_of_rest(chunk[:-behind]), chunk[-behind:])
    whole = ADDRESS.fullmatch(chunk) and not any(map(letters_a_word, chunk))
    return (chunk,) if whole else tuple(words_inside(chunk))


def words_of_rest(chunk: str) -> tuple[str, ...]:
    return words_of_chunk(chunk) if chunk else ()


def front(chunk: str) -> int:
    if dots := re.match(r"\.\.+", chunk):
        return dots.end()
    return int(mark(chunk[0]))


def back(chunk: str) -> int:
    if dots := re.search(r"\.\.+\Z", chunk):
        return len(dots[0])
    last, before, first = chunk[-1], chunk[-2:-1], chunk[-3:-2]
    if mark(last):
        return 1
    if not before:
        return 0
    if last in "sS" and before in "'’":
        return 2
    if last == "+":
        return int(digit(before))
    if last != "." or (len(chunk.encode()) <= 16 and INITIALS.fullmatch(chunk)):
        return 0
    if digit(before) or mark(before) or before in "+-":
        return 1
    if capital(before):
        return int(bool(first) and capital(first))
    return int(letter(before))


def letters_a_word(character: str) -> int:
    """2 for ideographs and kana, 4 for Thai, Lao, Khmer, Burmese and Tibetan, else 0."""
    if category(character)[0] != "L":
        return 0
    name = unicodedata.name(character, "")
    if re.match("CJK|HIRAGANA|KATAKANA|HALFWIDTH KATAKANA|IDEOGRAPHIC ITERATION|VERTICAL IDEOG|MASU", name):
        return 2
    return 4 if re.match("THAI|LAO|KHMER|MYANMAR|TIBETAN", name) else 0


def words_inside(chunk: str) -> Iterator[str]:
    begin = at = letters = 0
    while at < len(chunk):
        here, size, beside = chunk[at], letters_a_word(chunk[at]), letters > 0
        if size and 0 < letters < size:
            letters += 1
        elif size or (letters and category(here)[0] != "M" and here not in TSHEGS):
            if at > begin:
                yield chunk[begin:at]
            begin, letters = at, int(size > 0)
        length = splitter(chunk, at) if at else 0
        if at and not length and mark(here) and (beside or letters_a_word(chunk[at + 1 : at + 2] or " ")):
            length = 1
        if length:
            if at > begin:
                yield chunk[begin:at]
            yield chunk[at : at + length]
            begin = at = at + length
        else:
            at += 1
    if begin < len(chunk):
        yield chunk[begin:]


def words_in_line(line: str) -> int:
    """Words between white space; more in scripts without spaces."""
    sizes = [[size for size in map(letters_a_word, chunk) if size] for chunk in line.split()]
    return sum(1 + sum(place % size == 0 for place, size in enumerate(chunk) if place) for chunk in sizes)


def spaced(line: str) -> str:
    """The line with a space for each letter of a script without spaces."""
    return "".join(" " if letters_a_word(character) else character for character in line)


def splitter(chunk: str, at: int) -> int:
    here, before = chunk[at], chunk[at - 1]
    if dots := re.compile(r"\.\.+").match(chunk, at):
        return dots.end() - at
    if here == "…" or symbol(here):
        return 1
    if at + 1 == len(chunk):
        return 0
    after = chunk[at + 1]
    if here in "+-*^" and digit(before) and digit(after):
        return 1
    if here == ".":
        return int(letter(before) and not capital(before) and capital(after))
    if here == ",":
        return int(letter(before) and letter(after))
    if not (letter(before) or digit(before)):
        return 0
    if here in HYPHENS:
        run = 1
        while run < 3 and chunk[at + run : at + run + 1] == here:
            run += 1
        return run if chunk[at + run : at + run + 1] and letter(chunk[at + run]) else 0
    return int(here in ":<>=/" and letter(after))


def share(part: float, whole: int) -> float:
    return part / whole if whole else 0.0


def repeated(elements: Sequence[str]) -> tuple[int, int]:
    """Number and characters of the elements that occurred before."""
    seen, count, characters = set(), 0, 0
    for element in elements:
        if element in seen:
            count, characters = count + 1, characters + len(element)
        seen.add(element)
    return count, characters


def top_gram(words: Sequence[str], n: int) -> int:
    grams = Counter(" ".join(words[at : at + n]) for at in range(len(words) - n + 1))
    if not grams:
        return 0
    ((gram, count),) = grams.most_common(1)
    return len(gram) * count


def duplicate_grams(words: Sequence[str], n: int) -> int:
    seen, characters, at = set(), 0, 0
    while at + n <= len(words):
        gram = tuple(words[at : at + n])
        if gram in seen:
            characters += len("".join(gram))
            at += n
        else:
            seen.add(gram)
            at += 1
    return characters


def gopher_repetition(text: str, rules: GopherRepetition) -> Iterator[tuple[str, float, float | None, str]]:
    """Reason, measure, bound, and kind of bound, in the order of table A1."""
    lines = [line for line in text.split("\n") if line]
    paragraphs = [paragraph for paragraph in re.split(r"\n{2,}", text.strip()) if paragraph]
    words = words_of(text)
    line_count, line_characters = repeated(lines)
    paragraph_count, paragraph_characters = repeated(paragraphs)
    yield "gopher_duplicate_lines", share(line_count, len(lines)), rules.max_duplicate_lines, "most"
    yield "gopher_duplicate_paragraphs", share(paragraph_count, len(paragraphs)), rules.max_duplicate_paragraphs, "most"
    for name, characters in (("line", line_characters), ("paragraph", paragraph_characters)):
        bound = getattr(rules, f"max_duplicate_{name}_characters")
        yield f"gopher_duplicate_{name}_characters", share(characters, len(text)), bound, "most"
    for n in (2, 3, 4):
        bound = getattr(rules, f"max_top_{n}_gram_characters")
        yield f"gopher_top_{n}_gram", min(share(top_gram(words, n), len(text)), 1.0), bound, "most"
    for n in range(5, 11):
        bound = getattr(rules, f"max_duplicate_{n}_gram_characters")
        yield f"gopher_duplicate_{n}_grams", share(duplicate_grams(words, n), len(text)), bound, "most"


def gopher_quality(text: str, rules: GopherQuality) -> Iterator[tuple[str, float, float | None, str]]:
    words = words_of(text)
    real = [word for word in words if not punctuation(word)]
    lines = text.split("\n")[:-1] if text.endswith("\n") else text.split("\n") if text else []
    bullets = sum(line.lstrip().startswith(rules.bullets) for line in lines)
    ellipses = sum(line.rstrip().endswith(("...", "…")) for line in lines)
    length = share(sum(5 if any(map(letters_a_word, word)) else len(word) for word in real), len(real))
    alphabetic = sum(any(character.isalpha() for character in word) for word in words)
    yield "gopher_too_few_words", len(real), rules.min_words, "least"
    yield "gopher_too_many_words", len(real), rules.max_words, "most"
    yield "gopher_short_words", length, rules.min_mean_word_length, "least"
    yield "gopher_long_words", length, rules.max_mean_word_length, "most"
    yield "gopher_hashes", share(text.count("#"), len(words)), rules.max_hashes_per_word, "most"
    dotted = text.count("...") + text.count("…")
    yield "gopher_ellipses", share(dotted, len(words)), rules.max_ellipses_per_word, "most"
    yield "gopher_bullet_lines", share(bullets, len(lines)), rules.max_bullet_lines, "most"
    yield "gopher_ellipsis_lines", share(ellipses, len(lines)), rules.max_ellipsis_lines, "most"
    yield "gopher_alphabetic_words", share(alphabetic, len(words)), rules.min_alphabetic_words, "least"
    yield "gopher_stop_words", len(set(words) & set(rules.stop_words)), rules.min_stop_words, "least"


def fineweb(text: str, rules: FineWeb) -> Iterator[tuple[str, float, float | None, str]]:
    lines = [line for line in text.split("\n") if line.strip()]
    punctuated = sum(line[-1] in TERMINAL for line in lines)
    short = sum(len(line) <= rules.short_line_characters for line in lines)
    newlines = text.count("\n")
    yield "fineweb_punctuated_lines", share(punctuated, len(lines)), rules.min_punctuated_lines, "least"
    yield "fineweb_short_lines", share(short, len(lines)), rules.max_short_lines, "most"
    duplicate = share(repeated(lines)[1], len(text) - newlines)
    yield "fineweb_duplicate_lines", duplicate, rules.max_duplicate_line_characters, "most"
    yield "fineweb_newlines", share(newlines, len(words_of(text))), rules.max_newlines_per_word, "most"


def sentences_of(line: str) -> int:
    count, ended = 1, False
    for word in words_of(line):
        if word in TERMINAL:
            ended = True
        elif ended and not punctuation(word):
            count, ended = count + 1, False
    return count


def small(text: str) -> str:
    return re.sub("[A-Z]+", lambda found: found[0].lower(), text)


def phrase_in(line: str, phrases: Sequence[str] | None) -> str | None:
    """The phrase that begins first."""
    there = [(small(line).find(phrase), place, phrase) for place, phrase in enumerate(phrases or ())]
    found = [(at, place, phrase) for at, place, phrase in there if at >= 0]
    return min(found)[2] if found else None


def c4(text: str, rules: C4) -> tuple[str, Verdict | None, Counter[str]]:
    kept: list[str] = []
    dropped: Counter[str] = Counter()
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    for line in map(str.strip, lines):
        if rules.max_word_length and any(len(word) > rules.max_word_length for word in spaced(line).split()):
            dropped["long_word"] += 1
            continue
        while rules.citations == "remove" and CITATION.search(line):
            line = CITATION.sub("", line).strip()
        words = line.split()
        if not words and (rules.terminal_marks is not None or rules.min_words_per_line):
            dropped["blank"] += 1
            continue
        if rules.terminal_marks is not None and (not line.endswith(rules.terminal_marks) or line.endswith("...")):
            dropped["no_terminal_mark"] += 1
            continue
        if rules.min_words_per_line and words_in_line(line) < rules.min_words_per_line:
            dropped["few_words"] += 1
            continue
        if (phrase := phrase_in(line, rules.placeholder_phrases)) is not None:
            return text, Verdict("c4_placeholder_phrase", phrase, None), Counter()
        if phrase_in(line, rules.script_phrases) is not None:
            dropped["script_phrase"] += 1
            continue
        if (phrase := phrase_in(line, rules.code_phrases)) is not None:
            return text, Verdict("c4_code_phrase", phrase, None), Counter()
        if phrase_in(line, rules.policy_phrases) is not None:
            dropped["policy_phrase"] += 1
            continue
        kept.append(line)
    sentences = sum(sentences_of(line) for line in kept if line)
    if rules.min_sentences is not None and sentences < rules.min_sentences:
        return text, Verdict("c4_too_few_sentences", str(sentences), str(rules.min_sentences)), Counter()
    if not any(kept):
        return text, Verdict("c4_no_line_left", "0", None), Counter()
    return "\n".join(kept).strip("\n"), None, dropped


def first_failing(rules: Iterator[tuple[str, float, float | None, str]]) -> Verdict | None:
    for reason, value, bound, kind in rules:
        if bound is not None and (value < bound if kind == "least" else value > bound):
            return Verdict(reason, shown(value, bound), shown(bound, bound))
    return None


def shown(value: float, bound: float) -> str:
    digits = 4
    while value != bound and digits < 17 and (float(f"{value:.{digits}g}") > bound) != (value > bound):
        digits += 1
    while value != bound and digits < 17 and float(f"{value:.{digits}g}") == bound:
        digits += 1
    return str(int(value)) if value == int(value) else f"{value:.{digits}g}"


def judged(text: str, settings: QualitySettings) -> tuple[str, Verdict | None, Counter[str]]:
    """The text after C4's rules, the verdict, and the lines that C4 dropped."""
    dropped: Counter[str] = Counter()
    verdict = None
    if settings.gopher_repetition is not None:
        verdict = first_failing(gopher_repetition(text, settings.gopher_repetition))
    if verdict is None and settings.gopher_quality is not None:
        verdict = first_failing(gopher_quality(text, settings.gopher_quality))
    if verdict is None and settings.c4 is not None:
        text, verdict, dropped = c4(text, settings.c4)
    if verdict is None and settings.fineweb is not None:
        verdict = first_failing(fineweb(text, settings.fineweb))
    return text, verdict, dropped
