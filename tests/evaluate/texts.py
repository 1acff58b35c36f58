"""The folder of the recipe `tiny`, and the texts of its documents."""

from pathlib import Path

FOLDER = Path("data/tiny")
TEXTS = [
    "the cat sat on the mat and the dog ran after the cat, round and round the old stone house. " * 3,
    "A short one.",
    "to be or not to be, that is the question: whether it is nobler — naïve, ünïcode — to suffer. " * 2,
    "x",
    "the dog and the cat ate the rat that sat on the mat; the rat ran. " * 5,
]
GROUPS = ["cats", "cats", "plays", "letters", "dogs"]
SOURCES = [
    "the cat sat on the mat. It slept until the evening, and then it went out to hunt mice in the garden.",
    "a dog ran. It was brown!",
    "x",
    "the house is old and made of stone; nobody has lived in it for years. The roof leaks.",
    "to be or not to be, that is the question.",
    "python 3.11",
    "she sells sea shells by the sea shore. He does not. They never did, as far as anyone in town remembers.",
    "rain",
]
TARGETS = [
    "le chat était assis sur le tapis.", "un chien courait.", "x", "la maison est vieille.\nElle est en pierre.",
    "être ou ne pas être", "python 3.11", "elle vend des coquillages", "pluie",
]  # fmt: skip
