"""Markdown to plain text, as a reader sees it.

Line breaks are kept (verse!), blocks are separated by a blank line, a heading is its own line.
"""

from functools import cache
from html.parser import HTMLParser
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token
    from markdown_it.tree import SyntaxTreeNode


def markdown_to_text(source: str) -> str:
    """CommonMark (with tables) as plain text; NULs stay, entities are decoded."""
    from markdown_it.tree import SyntaxTreeNode

    tokens = _parser().parse(source)
    for token in tokens:
        if token.type == "inline":
            token.content, token.children = _inline(token.children or []), None
    return _blocks(SyntaxTreeNode(tokens))


@cache
def _parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark").enable("table")
    parser.core.ruler.disable("normalize")  # it turns NULs into U+FFFD; line endings are normalized already
    return parser


def _blocks(node: "SyntaxTreeNode", between: str = "\n\n") -> str:
    return between.join(text for child in node.children if (text := _block(child)))


def _block(node: "SyntaxTreeNode") -> str:
    match node.type:
        case "heading" | "paragraph":
            return "".join(inline.content for inline in node.children)
        case "fence" | "code_block":
            return node.content.rstrip("\n")
        case "html_block":
            return _without_tags(node.content)
        case "bullet_list" | "ordered_list":
            return _list(node)
        case "table":
            return "\n".join(_cells(row) for part in node.children for row in part.children)
        case "hr":
            return ""
        case _:
            return _blocks(node)


def _list(node: "SyntaxTreeNode") -> str:
    number = int(node.attrs.get("start", 1))
    tight = all(child.hidden for item in node.children for child in item.children if child.type == "paragraph")
    lines = []
    for item in node.children:
        mark = "- " if node.type == "bullet_list" else f"{number}. "
        number += 1
        text = _blocks(item, "\n" if tight else "\n\n")
        lines.append(mark + text.replace("\n", "\n" + " " * len(mark)))
    return ("\n" if tight else "\n\n").join(lines)


def _cells(row: "SyntaxTreeNode") -> str:
    return "\t".join("".join(inline.content for inline in cell.children) for cell in row.children)


def _inline(tokens: "list[Token]") -> str:
    parts = []
    for token in tokens:
        if token.type in ("softbreak", "hardbreak"):
            parts.append("\n")
        elif token.type == "image":
            parts.append(_inline(token.children or []))
        elif token.type != "html_inline":
            parts.append(token.content)  # empty for the marks of emphasis and links
    return "".join(parts)


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self.found.append(data)


def _without_tags(html: str) -> str:
    parser = _Words()
    parser.feed(html)
    parser.close()
    return "".join(parser.found).strip()
