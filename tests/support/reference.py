"""The reference part of docs/client.md, from the client's source; `python -m tests.support.reference` rewrites it."""

from __future__ import annotations

import ast
import re
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "client" / "taskpost"
PAGE = ROOT / "docs" / "client.md"
BEGIN = "<!-- What follows is made from the source by `python -m tests.support.reference`. -->\n"
CLIENT = ("client", "delivery_calls", "calls")
SECTIONS = {
    "Client": CLIENT,
    "Answers": ("models", "logs", "deliveries"),
    "Exceptions": ("errors",),
    "States and codes": ("codes",),
    "Receivers": ("receiver", "signature"),
    "Tests": ("testing",),
}
HIDDEN = {"path_of", "read_time"}
"""What modules of the client have for each other."""


@dataclass
class Docstring:
    """A docstring in Google's form: the text, and what its sections list by name."""

    text: str
    sections: dict[str, dict[str, str]] = field(default_factory=dict)


def parse(docstring: str) -> Docstring:
    """Take a docstring apart."""
    parts = re.split(r"^(Args|Raises):\n((?:(?: {4}.*)?(?:\n|$))+)", textwrap.dedent(docstring), flags=re.MULTILINE)
    found = Docstring("")
    texts = [parts[0], *parts[3::3]]
    for name, listed in zip(parts[1::3], parts[2::3], strict=True):
        joined = re.sub(r"\n {4,}", " ", textwrap.dedent(listed).strip())
        found.sections[name] = dict(line.split(": ", 1) for line in joined.splitlines())
    found.text = "\n\n".join(filter(None, (text.strip() for text in texts)))
    return found


def doc(node: ast.ClassDef | ast.FunctionDef) -> Docstring:
    return parse(ast.get_docstring(node) or "")


def public(body: list[ast.stmt]) -> list[ast.ClassDef | ast.FunctionDef]:
    definitions = [node for node in body if isinstance(node, (ast.ClassDef, ast.FunctionDef))]
    return [
        node for node in definitions if not (node.name in HIDDEN or node.name.startswith(("_", "pytest_", "from_json")))
    ]


def signature(node: ast.FunctionDef, name: str) -> str:
    arguments = re.sub(r"^(self|cls)(, )?", "", ast.unparse(node.args))
    spaced = re.sub(r"(?<=[\w\]])=(?=\S)", " = ", arguments)
    returned = "" if node.returns is None or name[0].isupper() else f" -> {ast.unparse(node.returns)}"
    return f"```python\n{name}({spaced}){returned}\n```\n".replace("builtins.", "")


def one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def table(head: str, rows: list[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join([head, re.sub(r"[^|]+", "---", head), *lines, ""])


def described(found: Docstring) -> list[str]:
    """The text of a docstring, its arguments and what it raises."""
    out = [found.text + "\n"] if found.text else []
    if "Args" in found.sections:
        rows = [(f"`{name}`", text) for name, text in found.sections["Args"].items()]
        out.append(table("| argument | |", rows))
    if "Raises" in found.sections:
        out.append(table("| raises | |", [(f"`{name}`", text) for name, text in found.sections["Raises"].items()]))
    return out


def function(node: ast.FunctionDef, prefix: str = "") -> list[str]:
    decorators = " ".join(ast.unparse(decorator) for decorator in node.decorator_list)
    if decorators == "property":
        assert node.returns is not None
        return [f"`{prefix}{node.name}` (`{ast.unparse(node.returns)}`): {one_line(doc(node).text)}\n"]
    shown = [] if "fixture" in decorators else [signature(node, node.name)]
    return [f"{'####' if prefix else '###'} {prefix}{node.name}\n", *shown, *described(doc(node))]


def fields(node: ast.ClassDef) -> list[str]:
    """The fields of a dataclass, each with the text below it."""
    rows = []
    for statement, following in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(statement, ast.AnnAssign):
            text = following.value if isinstance(following, ast.Expr) else ast.Constant("")
            about = one_line(str(ast.literal_eval(text)))
            rows.append((f"`{ast.unparse(statement.target)}`", f"`{ast.unparse(statement.annotation)}`", about))
    return [table("| field | type | |", rows)] if rows else []


def members(node: ast.ClassDef) -> list[str]:
    """The members of an enumeration."""
    names = [f"`{ast.unparse(one.targets[0])}`" for one in node.body if isinstance(one, ast.Assign)]
    return [f"Its members are {', '.join(names)}. The values are the same in small letters.\n"]


def methods(node: ast.ClassDef, name: str) -> list[str]:
    return [line for one in public(node.body) if isinstance(one, ast.FunctionDef) for line in function(one, f"{name}.")]


def klass(node: ast.ClassDef, init_of: ast.ClassDef) -> list[str]:
    bases = [ast.unparse(base) for base in node.bases if node.name != "Client"]
    title = f"### {node.name} ({', '.join(bases)})\n" if bases else f"### {node.name}\n"
    init = [one for one in init_of.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
    call = [signature(one, node.name) for one in init if "Args" in doc(node).sections]
    more = members(node) if bases == ["StrEnum"] else fields(node)
    return [title, *call, *described(doc(node)), *more, *methods(node, node.name)]


def client() -> list[str]:
    """The client and its methods, those of its bases among them."""
    (first, *others) = (node for name in CLIENT for node in public(source(name).body) if isinstance(node, ast.ClassDef))
    return klass(first, others[-1]) + [line for base in others for line in methods(base, "Client")]


def source(name: str) -> ast.Module:
    return ast.parse((PACKAGE / f"{name}.py").read_text(encoding="utf-8"))


def words(module: ast.Module) -> list[str]:
    """The tables of the types of words: each with its values."""
    rows = []
    for node, following in zip(module.body, module.body[1:], strict=False):
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias":
            assert isinstance(node.value, ast.Subscript) and isinstance(following, ast.Expr)
            values = ", ".join(f"`{value}`" for value in ast.literal_eval(node.value.slice))
            rows.append((f"`{ast.unparse(node.target)}`", values, one_line(str(ast.literal_eval(following.value)))))
    return [table("| type | values | |", rows)] if rows else []


def render() -> str:
    """Return the reference part of the page."""
    out = [BEGIN]
    for section, modules in SECTIONS.items():
        out.append(f"## {section}\n")
        if modules == CLIENT:
            out += client()
            continue
        for module in map(source, modules):
            out += words(module)
            for node in public(module.body):
                out += klass(node, node) if isinstance(node, ast.ClassDef) else function(node)
    return "\n".join(out)


def promises() -> set[tuple[str, str]]:
    """Every method of the client with each exception that its docstring names."""
    classes = [node for name in CLIENT for node in public(source(name).body) if isinstance(node, ast.ClassDef)]
    described = [classes[0], *(method for node in classes for method in public(node.body))]
    return {(node.name, error) for node in described for error in doc(node).sections.get("Raises", {})}


if __name__ == "__main__":
    written = PAGE.read_text(encoding="utf-8").partition(BEGIN)[0]
    PAGE.write_text(written + render(), encoding="utf-8")
