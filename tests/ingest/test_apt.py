"""Debian package descriptions, from a local repository, read by the real apt-get; no network."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.ingest import apt_lists
from tasks.stage.errors import GristmillError, RecipeError, TransientError
from tests.ingest.conftest import RAW, read_report

NO_APT = shutil.which("apt-get") is None or not apt_lists.HELPER.exists()
pytestmark = pytest.mark.skipif(NO_APT, reason="this machine does not have Debian's apt-get")

HELLO = "classic greeting\n It greets you,\n the user.\n .\n It does:\n  * this;\n  * that."
BONJOUR = "salutation classique\n Il vous salue,\n vous, l'utilisateur.\n .\n Il fait :\n  * ceci ;\n  * cela."
ZEBRA, ZEBRE = "striped animal\n It runs.\n .\n It eats.", "animal rayé\n Il court et mange."
PACKAGES = {  # out of order: a mirror may be unsorted
    "zebra": ("zoo (1:2-3)", "contrib/science", ZEBRA, ZEBRE),
    "hello-doc": ("hello", "doc", HELLO, None),
    "hello": (None, "games", HELLO, BONJOUR),
    "zebra-tail": ("zoo", "science", "its tail\n It is long.", None),
    "mute": (None, "misc", "says nothing", "ne dit rien"),
}


def md5(description: str) -> str:
    return hashlib.md5(f"{description}\n".encode("utf-8", "surrogateescape")).hexdigest()


def write_repository(
    root: Path, packages: dict[str, Any] = PACKAGES, suite: str = "tiny", debs: dict[str, bytes] | None = None
) -> None:
    """A mirror with one release and one component, unsigned; `debs`: the packages that can be downloaded."""
    debs = debs or {}
    files: dict[str, str] = {"main/binary-amd64/Packages": "", "main/i18n/Translation-en": ""}
    for name, (source, section, english, french) in packages.items():
        files["main/binary-amd64/Packages"] += (
            f"Package: {name}\n"
            + (f"Source: {source}\n" if source else "")
            + f"Version: 1\nArchitecture: all\nSection: {section}\nFilename: {name}.deb\n"
            + f"Size: {len(debs.get(name, b'1'))}\nSHA256: {hashlib.sha256(debs.get(name, b'1')).hexdigest()}\n"
            + f"Description: {english.partition(chr(10))[0]}\nDescription-md5: {md5(english)}\n\n"
        )
        for language, text in (("en", english), ("fr", french)):
            if text is not None:
                stanza = f"Package: {name}\nDescription-md5: {md5(english)}\nDescription-{language}: {text}\n\n"
                path = f"main/i18n/Translation-{language}"
                files[path] = files.get(path, "") + stanza
    folder = root / "dists" / suite
    shutil.rmtree(root, ignore_errors=True)
    sums = ""
    for name, data in debs.items():
        root.mkdir(exist_ok=True)
        (root / f"{name}.deb").write_bytes(data)
    for path, text in files.items():
        data = text.encode("utf-8", "surrogateescape")
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
        sums += f" {hashlib.sha256(data).hexdigest()} {len(data)} {path}\n"
    (folder / "Release").write_text(
        f"Origin: Test\nSuite: oldest\nCodename: {suite}\nVersion: 0.7\nDate: Sat, 11 Jul 2026 10:16:37 UTC\n"
        f"Architectures: amd64\nComponents: main\nSHA256:\n{sums}"
    )


@pytest.fixture
def mirror(project: Path) -> Path:
    root = project.parent / "mirror"
    write_repository(root)
    return root


@pytest.fixture
def read(run: Callable[..., Any], mirror: Path) -> Callable[..., Any]:
    def ingest(**section: Any) -> Any:
        return run(**{"kind": "apt", "mirror": f"copy:{mirror}", "release": "tiny", "trusted": True, **section})

    return ingest


def test_descriptions_are_plain_text_sorted_by_package_and_each_counts_once(read, mirror):
    rows = read(content="descriptions")
    assert [(row["id"], row["group"], row["text"]) for row in rows] == [
        ("hello", "hello", "classic greeting\n\nIt greets you, the user.\n\nIt does:\n- this;\n- that."),
        ("mute", "mute", "says nothing"),
        ("zebra", "zoo", "striped animal\n\nIt runs.\n\nIt eats."),
        ("zebra-tail", "zoo", "its tail\n\nIt is long."),
    ]
    assert {row["source"] for row in rows} >= {"zebra of tiny/main"}
    assert {(row["target"], row["label"], row["problem"]) for row in rows} == {(None, None, None)}
    report = read_report()
    assert report["received"] == {"packages": 5, "descriptions": 4}
    release = (mirror / "dists/tiny/Release").read_bytes()
    source = report["details"]["source"]
    assert source["debian"] == "0.7" and source["suite"] == "oldest"
    assert source["date"] == "Sat, 11 Jul 2026 10:16:37 UTC"
    assert source["inrelease_sha256"] == hashlib.sha256(release).hexdigest()


def test_translations_are_synopses_and_paragraphs_where_both_sides_have_as_many(read):
    rows = read(content="translations", language="fr")
    assert [(row["id"], row["group"], row["text"], row["target"]) for row in rows] == [
        ("hello#synopsis", "hello", "classic greeting", "salutation classique"),
        ("hello#1", "hello", "It greets you, the user.", "Il vous salue, vous, l'utilisateur."),
        ("hello#2", "hello", "It does:\n- this;\n- that.", "Il fait :\n- ceci ;\n- cela."),
        ("mute#synopsis", "mute", "says nothing", "ne dit rien"),
        ("zebra#synopsis", "zoo", "striped animal", "animal rayé"),
    ]
    assert rows[1]["source"] == "hello of tiny/main paragraph 1"
    assert read_report()["received"] == {"packages": 5, "descriptions": 3, "unlike_numbers_of_paragraphs": 1}


def test_synopses_are_the_targets_of_long_descriptions(read):
    rows = read(content="synopses")
    assert [(row["id"], row["text"], row["target"]) for row in rows] == [
        ("hello", "It greets you, the user.\n\nIt does:\n- this;\n- that.", "classic greeting"),
        ("zebra", "It runs.\n\nIt eats.", "striped animal"),
        ("zebra-tail", "It is long.", "its tail"),
    ]
    assert read_report()["received"]["without_long_description"] == 1


def test_sections_are_classes_without_their_component(read):
    rows = read(content="sections")
    assert [(row["id"], row["label"]) for row in rows] == [
        ("hello", "games"),
        ("mute", "misc"),
        ("zebra", "science"),
        ("zebra-tail", "science"),
    ]
    assert rows[1]["text"] == "says nothing"
    some = read(content="sections", sections=["science", "games"])
    assert [row["id"] for row in some] == ["hello", "zebra", "zebra-tail"]
    assert [row["id"] for row in read(content="sections", one_per_source=True)] == ["hello", "mute", "zebra"]
    with pytest.raises(RecipeError, match=r"ingest\.sections\.1: unknown section 'gmaes' \(available: doc, games, "):
        read(content="sections", sections=["games", "gmaes"])


def test_what_changes_at_the_mirror_is_fetched_and_a_second_run_is_the_same(read, mirror):
    for content in ({"content": "descriptions"}, {"content": "translations", "language": "fr"}):
        read(**content)
        first = {path.name: path.read_bytes() for path in RAW.iterdir()}
        read(**content)
        assert {path.name: path.read_bytes() for path in RAW.iterdir()} == first
    write_repository(mirror, {"new": (None, "misc", "brand new", "tout neuf")})
    assert [row["target"] for row in read(content="translations", language="fr")] == ["tout neuf"]
    assert [row["text"] for row in read(content="descriptions")] == ["brand new"]
    (folder,) = (mirror.parent / "cache/gristmill/apt").iterdir()  # all contents and languages share it
    assert any("Translation-fr" in path.name for path in (folder / "lists").iterdir())


def test_the_dot_that_translators_copied_is_the_blank_that_it_shows(read, mirror):
    write_repository(mirror, {"a": (None, "misc", "x · ⋅\n y", "à⋅:\n «⋅b⋅»")})
    rows = read(content="translations", language="fr")
    assert [(row["text"], row["target"]) for row in rows] == [("x · ⋅", "à\xa0:"), ("y", "«\xa0b\xa0»")]


def test_a_folder_may_be_read_where_it_is(read, mirror):
    assert read(content="descriptions", mirror=f"file:{mirror}") == read(content="descriptions")


def test_lists_of_yesterday_do_not_stand_in_for_a_mirror_that_is_gone(read, mirror):
    read(content="descriptions")
    shutil.rmtree(mirror)
    with pytest.raises(GristmillError, match=r"x\.yaml: ingest\.release: apt-get says: .*/dists/tiny/"):
        read(content="descriptions")


def test_bytes_that_are_not_utf8_are_a_problem_of_their_document(read, mirror):
    write_repository(mirror, {"a": (None, "misc", "fine", None), "b": (None, "misc", "not \udcff fine", None)})
    rows = read(content="descriptions")
    assert [(row["id"], row["text"]) for row in rows] == [("a", "fine"), ("b", "not \ufffd fine")]
    assert rows[0]["problem"] is None
    assert rows[1]["problem"].startswith("not UTF-8 at byte ") and rows[1]["problem"].endswith(" of Translation-en")


def test_a_description_without_synopsis_or_section_has_a_problem(read, mirror):
    write_repository(mirror, {"a": (None, "", "x\n Long.", "\n Longue.")})
    assert [row["problem"] for row in read(content="sections")] == ["no label in a of tiny/main"]
    assert [(row["id"], row["problem"]) for row in read(content="translations", language="fr")] == [
        ("a#synopsis", "no target in a of tiny/main synopsis"),
        ("a#1", None),
    ]


def test_what_the_mirror_does_not_have_is_told_by_its_key(read, mirror):
    for change, message in [
        ({"release": "nope"}, r"ingest\.release: apt-get says: .*/dists/nope/"),
        ({"release": "nope", "trusted": False}, r"ingest\.release: apt-get says: .* does not have a Release file"),
        ({"components": ["main", "mian"]}, r"ingest\.components: tiny has no package list for mian: .*misspelt"),
        ({"architecture": "vax"}, r"ingest\.components: tiny has no package list for main: not available for vax"),
        ({"content": "translations", "language": "de"}, r"ingest\.language: .* tiny has no descriptions in 'de'"),
        ({"trusted": False}, r"ingest\.mirror: .* tiny: not signed by a trusted key: "),
    ]:
        with pytest.raises(RecipeError, match=rf"^recipes/x\.yaml: {message}"):
            read(**{"content": "descriptions", **change})
    assert len(read(content="descriptions")) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"content": "translations"}, "language: required for content: translations"),
        ({"content": "translations", "language": "en"}, "language: required for .*; must not be en"),
        ({"content": "synopses", "language": "fr"}, "language: only valid with content: translations"),
        ({"content": "synopses", "sections": ["games"]}, "sections: only valid with content: sections"),
        ({"content": "sections", "documents": {"label_column": "x"}}, "documents: only valid with content: package"),
        ({"content": "sections", "components": ["main", "main"]}, "components: duplicate component"),
        ({"content": "sections", "mirror": "http://x/y"}, r"trusted: only valid for a local mirror \(file: or copy:\)"),
        ({"content": "sections", "mirror": "http://x] y"}, r"ingest\.mirror: "),
        ({"content": "sections", "release": "-x"}, r"ingest\.release: "),
        ({"content": "section"}, r"ingest\.content: "),
    ],
)
def test_keys_that_do_not_fit_are_told_before_anything_runs(read, change, message):
    with pytest.raises(RecipeError, match=message):
        read(**change)


def test_a_mirror_out_of_reach_may_be_back_later_and_a_release_that_it_lacks_may_not(read, server, monkeypatch):
    monkeypatch.setenv("APT_CONFIG", str(Path("apt.conf").absolute()))
    Path("apt.conf").write_text('Acquire::Retries "0"; Acquire::http::Proxy::127.0.0.1 "DIRECT";')
    section = {"content": "descriptions", "trusted": False}
    away = r"x\.yaml: ingest\.mirror: http://127\.0\.0\.1:9/debian tiny: apt-get says"
    with pytest.raises(TransientError, match=away):
        read(**section, mirror="http://127.0.0.1:9/debian")
    server.status = 503
    with pytest.raises(TransientError, match="apt-get says"):
        read(**section, mirror=server.url("debian"))
    server.status = 404
    with pytest.raises(RecipeError, match=r"ingest\.release: apt-get says: .* does not have a Release file"):
        read(**section, mirror=server.url("debian"))


def test_a_machine_without_apt_is_told(read, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(GristmillError, match=r"ingest\.kind: apt requires Debian's apt \(apt-get and "):
        read(content="descriptions")
