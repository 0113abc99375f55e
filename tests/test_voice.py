"""Prose in plain English: README, pages, docstrings, comments and messages."""

import ast
import functools
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
CODE = [path for folder in ("recurrax", "experiments", "docs") for path in sorted((ROOT / folder).rglob("*.py"))]
CODE = [path for path in CODE if not {"_build", "notebooks"} & set(path.relative_to(ROOT).parts)]
# Pages below docs/results are rendered from the messages of the experiments, which are checked in the code.
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *(
        path
        for path in sorted((ROOT / "docs").rglob("*.md"))
        if not {"results", "_build", "notebooks"} & set(path.parts)
    ),
]
LONGEST = 45  # words of a sentence

# Phrases that once stood in this project, and the patterns behind them.
PHRASES = [
    r"at our hands",
    r"gone on with",
    r"bit for bit where",
    r"what a row was tuned by",
    r"of \d+ claims",
    r"with the whole 95% interval at",
    r"in four parts of which",
    r"all but deaf",
    r"what it hears of",
    r"how it bears",
    r"a frame, not a race",
    r"allows no arithmetic",
    r"of no distinction",
    r"might never fall into order",
    r"puts what .{1,20} gave back",
    r"what a stopped run can hope for",
    r"what is loaded stays",
    r"takes? itself: `",
    r"\b(steps?|frames|sequences|tokens?) (that|which) (do(es)? not )?exists?\b",
    r"\b(step|steps) (does|do) not exist",
    r"\b(chose|chooses|choose) nothing\b",
    r"\b(is|are|was|were|be) told\b(?! apart)",
    r"\b(go|goes|went|gone) on (where|from|with|as|there|bit)\b",
    r"\bthe cell inside\b",
    r"\b(and|or) (its|their) (like|kin)\b",
    r"\bis so (for each|in)\b|\bis so\.",
    r"(?<!all )(?<!each )(?<!both )(?<!none )(?<!most )(?<!first )\bof which\b",
    r"\bis none of (these|them|what|the)\b",
    r"(?<!there )\bis no (layer|cell|int|array|model|pytree|scalar|number|package|command|multiple|probability)\b",
    r"(?<!there )\bare no (integers|numbers|vectors|gates|settings|padding)\b",
    r"\bone (array|matrix|carry|operator|number|product|column|kernel) an? (layer|head|gate|step|column|unit)\b",
    r"\bhands? (on|back) what\b",
    r"\bhad else\b|\bare else\b|\bis else\b",
    r"\bwhatever (stands|stood|was drawn|it says|comes|its)\b",
    r"\bby itself alone\b",
    r"\bmakes? \S+ of it\b(?=\.)",
]
# Beginnings of a docstring or comment that make it a fragment without a verb of its own.
FRAGMENTS = [
    r"What\b(?![^.]*\?)",
    r"(How|Who|Which)\b(?![^.]*\?)",
    r"(Of|Those of|That of) ",
    r"(That|Those)\.",
    r"As (it|they|the)\b[^,]*\.$",
]
# A comment behind code may be a noun phrase, but not a relative clause about the code.
RELATIVE = r"(which|whose|that|who|whom|likewise|of|else|likewise)\b"
FORMER_NAMES = {
    "Untaken", "over_runs", "everywhere", "together", "named_by", "_told", "_alone", "any_directions", "noticed",
    "advice", "follow", "marked",
}  # fmt: skip


class Prose(NamedTuple):
    """A text with its place and kind: "docstring", "comment", "trailing" comment, "message" or "page"."""

    path: Path
    line: int
    kind: str
    text: str
    public: bool = False

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}: {self.text[:160]!r}"


@functools.cache
def prose() -> tuple[Prose, ...]:
    """All texts of the project."""
    found = [text for path in CODE for text in (*strings(path), *comments(path))]
    return (*found, *(text for path in PAGES for text in paragraphs(path)))


def strings(path: Path) -> Iterator[Prose]:
    """Docstrings, those of attributes too, and other strings of four words or more."""
    tree = ast.parse(path.read_text())
    documented: set[int] = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for first, statement in enumerate(body if isinstance(body, list) else []):
            value = statement.value if isinstance(statement, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                documented.add(id(value))
                name = getattr(node, "name", "")
                public = not first and not name.startswith("_") and not isinstance(node, ast.If | ast.With)
                yield Prose(path, statement.lineno, "docstring", value.value, public)
    joined: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "X" for part in node.values]
            joined |= {id(inner) for part in node.values for inner in ast.walk(part)}
            yield from message(path, node.lineno, "".join(map(str, parts)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in joined | documented:
            yield from message(path, node.lineno, node.value)


def message(path: Path, line: int, text: str) -> Iterator[Prose]:
    """A string that is a text: with spaces and four words or more."""
    if " " in text.strip() and len(re.findall(r"[A-Za-z]{2,}", text)) >= 4:
        yield Prose(path, line, "message", text)


def comments(path: Path) -> Iterator[Prose]:
    """Comments; those on successive lines are one."""
    block: list[str] = []
    start = last = 0
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type != tokenize.COMMENT or re.match(r"#\s*(noqa|type:|pyright|pragma|fmt|!)", token.string):
            continue
        text, line = token.string.lstrip("# "), token.start[0]
        if token.line[: token.start[1]].strip():
            yield Prose(path, line, "trailing", text)
            continue
        if block and line == last + 1:
            block.append(text)
        else:
            if block:
                yield Prose(path, start, "comment", " ".join(block))
            block, start = [text], line
        last = line
    if block:
        yield Prose(path, start, "comment", " ".join(block))


def paragraphs(path: Path) -> Iterator[Prose]:
    """Paragraphs, items and headings of a page, without code, tables, formulas, directives and rendered parts."""
    text = re.sub(r"<!-- [^>]+ -->\n.*?<!-- end -->", "", path.read_text(), flags=re.DOTALL)
    text = re.sub(r"```.*?```|\$\$.*?\$\$", lambda match: "\n" * match[0].count("\n"), text, flags=re.DOTALL)
    for block in re.split(r"\n\s*\n|\n(?=\s*[-*|] )", text):
        if block.strip() and not block.lstrip().startswith(("|", "    ")) and not block.startswith("    "):
            yield Prose(path, text[: text.find(block)].count("\n") + 1, "page", block.strip())


def plain(text: str) -> str:
    """The prose of a docstring: without literal blocks, formulas and code; one paragraph a line."""
    lines, kept, directive = text.expandtabs().splitlines(), [], None
    base = min((len(line) - len(line.lstrip()) for line in lines[1:] if line.strip()), default=0)
    section = False
    for line in lines:
        indent, word = len(line) - len(line.lstrip()), line.strip()
        if word in ("Args:", "Raises:", "Returns:", "Attributes:", "Warns:"):
            section, directive = True, None
            kept.append("")
            continue
        if directive is not None and (not word or indent > directive):
            continue
        directive = indent if word.startswith(".. ") or word.endswith("::") else None
        if directive is not None:
            continue
        section = section and (not word or indent > base)
        literal = line is not lines[0] and indent >= base + 4 and not section
        kept.append("" if literal else ("\n" if section and indent == base + 4 else "") + word)
    joined = re.sub(r"[ \n]*\n\s*\n+|\n(?=\S+: )", "\n\n", "\n".join(kept))
    return "\n".join(" ".join(part.split()) for part in joined.split("\n\n") if part.strip())


def sentences(text: Prose) -> Iterator[str]:
    """Sentences, with each piece of code and each formula as one word; clauses behind a colon count apart."""
    body = plain(text.text) if text.kind == "docstring" else " ".join(re.sub("<!--.*?-->", " ", text.text).split())
    for paragraph in body.split("\n"):
        paragraph = re.sub(
            r"``.*?``|`[^`]*`|:math:`.*?`|\$[^$]*\$|\[[^\]]*\]\([^)]*\)|\([^()]*\)|\"[^\"]*\"", "X", paragraph
        )
        yield from re.split(r"(?<=[.!?:;])\s+", paragraph)


def faults(pattern: str, kinds: tuple[str, ...], start: bool = False) -> list[str]:
    """The texts of some kinds that contain the pattern, or start with it."""
    find = re.compile(pattern, 0 if start else re.IGNORECASE)
    return [str(text) for text in prose() if text.kind in kinds and (find.match if start else find.search)(flat(text))]


@functools.cache
def flat(text: Prose) -> str:
    """The text in one line, without code in backticks."""
    return re.sub(r"``[^`]*``", "X", " ".join(text.text.split()))


def test_texts_are_found():
    """Every kind of text, in numbers that only a fault in the collection would not reach."""
    kinds = [text.kind for text in prose()]
    assert all(kinds.count(kind) > 50 for kind in ("docstring", "trailing", "comment", "message", "page")), kinds


@pytest.mark.parametrize("pattern", PHRASES)
def test_no_phrase_of_the_old_voice(pattern):
    found = faults(pattern, ("docstring", "comment", "trailing", "message", "page"))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("pattern", FRAGMENTS)
def test_no_fragment_begins_a_docstring_or_comment(pattern):
    found = faults(pattern, ("docstring", "comment"), start=True)
    assert not found, "\n".join(found)


def test_no_comment_is_a_relative_clause():
    found = faults(RELATIVE, ("trailing", "comment"), start=True)
    assert not found, "\n".join(found)


def test_no_former_name_is_defined():
    names = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in CODE
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name in FORMER_NAMES
    ]
    assert not names, "\n".join(names)


def test_first_lines_are_sentences():
    """The first line of a public docstring ends in a full stop (or asks), and starts with a capital or with code."""
    begin = re.compile(r"[A-Z`\"\[(\d]|[a-z]+\d|\w+\(|[a-z]\b")
    found = []
    for text in prose():
        if text.kind == "docstring" and text.public:
            first = text.text.strip().split("\n\n")[0].strip()
            if not first.endswith((".", "?", ":", "::")) or not begin.match(first):
                found.append(str(text))
    assert not found, "\n".join(found)


def test_no_sentence_is_too_long():
    found = [
        f"{text} has a sentence of {len(sentence.split())} words: {sentence[:200]}"
        for text in prose()
        if text.kind != "message"
        for sentence in sentences(text)
        if len(sentence.split()) > LONGEST
    ]
    assert not found, "\n".join(found)
