"""The page that shows the OpenAPI document: plain HTML without scripts or further requests."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from meeting_service.http.problems import PROBLEM_TYPES

STYLE = """\
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #8886 }
h3 { margin: 2rem 0 .2rem }
h3 b { display: inline-block; min-width: 3.5rem }
code { font: .9em ui-monospace, monospace }
table { border-collapse: collapse; width: 100%; margin: .6rem 0 }
th, td { text-align: left; vertical-align: top; padding: .25rem .8rem .25rem 0 }
tr { border-bottom: 1px solid #8883 }
caption { text-align: left; font-weight: 600; padding-top: .4rem }
:target { background: #fc04 }
"""


def render_page(document: Mapping[str, Any], path_prefix: str = "") -> str:
    """Render an OpenAPI document as one page of HTML; its links begin with the prefix."""
    prefix = escape(path_prefix)
    link = f'<a href="{prefix}/openapi.json">{prefix}/openapi.json</a>'
    info = document["info"]
    title = f"{escape(info['title'])} {escape(info['version'])}"
    body = "\n".join(
        (
            f"<h1>{title}</h1>",
            f"<p>{escape(info['description'])} As a document: {link}.</p>",
            *_operations(document, prefix),
            "<h2>Schemas</h2>",
            *(_schema(*each) for each in document["components"]["schemas"].items()),
            '<h2 id="problems">Problems</h2>',
            *_problems(prefix),
        )
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title>\n<style>\n{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _operations(document: Mapping[str, Any], prefix: str) -> Iterator[str]:
    by_tag: dict[str, list[str]] = {}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            shown = _operation(prefix + path, method, operation)
            by_tag.setdefault(operation["tags"][0], []).append(shown)
    for tag, shown_operations in by_tag.items():
        yield f"<h2>{escape(tag.capitalize())}</h2>"
        yield from shown_operations


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> str:
    name, verb = escape(operation["operationId"]), escape(method.upper())
    parts = [f'<h3 id="{name}"><b>{verb}</b> <code>{escape(path)}</code></h3>']
    parts += (f"<p>{escape(text)}</p>" for text in operation["description"].split("\n\n"))
    if body := operation.get("requestBody"):
        parts.append(f"<p>Body: {_contents(body['content'])}</p>")
    parameters = [
        (each["name"], each["in"], _type(each["schema"]), escape(each.get("description", "")))
        for each in operation.get("parameters", ())
    ]
    parts.append(_table("Parameters", ("name", "in", "type", "meaning"), parameters))
    answers = [
        (status, escape(each["description"]), _contents(each.get("content", {})))
        for status, each in operation["responses"].items()
    ]
    parts.append(_table("Answers", ("status", "meaning", "content"), answers))
    return "\n".join(parts)


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    fields = [
        (
            field + ("" if field in required else " (optional)"),
            _type(each),
            escape(each.get("description", "")),
        )
        for field, each in schema.get("properties", {}).items()
    ]
    about = escape(" ".join(schema.get("description", "").split()))
    table = _table("", ("field", "type", "meaning"), fields)
    return f'<h3 id="{escape(name)}"><code>{escape(name)}</code></h3>\n<p>{about}</p>\n{table}'


def _problems(prefix: str) -> Iterator[str]:
    rows = [
        (
            f'<span id="{each.name}">{prefix}{each.uri}</span>',
            str(each.status.value),
            escape(each.title),
        )
        for each in PROBLEM_TYPES
    ]
    yield _table("", ("type", "status", "title"), rows)


def _table(caption: str, heads: Iterable[str], rows: Sequence[tuple[str, ...]]) -> str:
    """Render rows; their cells are HTML already."""
    if not rows:
        return ""
    head = "".join(f"<th>{each}</th>" for each in heads)
    lines = "\n".join(
        f"<tr><td><code>{row[0]}</code></td>{''.join(f'<td>{each}</td>' for each in row[1:])}</tr>"
        for row in rows
    )
    shown = f"<caption>{caption}</caption>" if caption else ""
    return f"<table>{shown}<tr>{head}</tr>\n{lines}</table>"


def _contents(content: Mapping[str, Any]) -> str:
    return "<br>".join(
        f"<code>{escape(media_type)}</code>: {_type(each['schema'])}"
        for media_type, each in content.items()
    )


def _type(schema: Mapping[str, Any]) -> str:
    """Describe a type in a few words, with a link to its schema if it has a name."""
    if reference := schema.get("$ref"):
        name = escape(reference.rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(_type(each) for each in schema[key])
    if "enum" in schema:
        return " or ".join(f"<code>{escape(str(each))}</code>" for each in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    words = [escape(str(schema.get("type", "anything")))]
    words += [
        f"{word} {escape(str(schema[key]))}"
        for key, word in (("minimum", "from"), ("maximum", "to"), ("default", "default"))
        if schema.get(key) not in (None, "")
    ]
    return ", ".join(words)
