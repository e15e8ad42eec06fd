"""`/docs`: the description of the API as one page of HTML, without scripts."""

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; --line: #8884; --quiet: #777; --mark: #2563eb; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 56rem; margin: 0 auto;
  padding: 2rem 1rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 3rem; border-bottom: 1px solid var(--line); }
h3 { margin: 2rem 0 .25rem; font-size: 1rem; } .lead { white-space: pre-line; }
code, pre { font: .875em/1.5 ui-monospace, monospace; }
pre { overflow: auto; padding: .75rem 1rem; border: 1px solid var(--line); border-radius: .5rem; }
.method { color: var(--mark); font-weight: 700; } .quiet { color: var(--quiet); }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0;
  border-bottom: 1px solid var(--line); white-space: pre-line; overflow-wrap: anywhere; }
details { margin: .4rem 0; } summary { cursor: pointer; }
"""
_MAX_EXAMPLE_CHARACTERS = 96


def manual(schema: Mapping[str, Any]) -> str:
    """The page for an OpenAPI description."""
    info = schema["info"]
    sections = "".join(_sections(schema))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])} API</title>"
        '<link rel="stylesheet" href="/docs/style.css"></head><body>'
        f"<h1>{escape(info['title'])} API</h1>"
        f'<p class="quiet">Version {escape(info["version"])} · '
        '<a href="/openapi.json">openapi.json</a> · <a href="/">the page</a></p>'
        f'<p class="lead">{_prose(info["description"])}</p>{sections}'
        f"<h2>Shapes</h2>{''.join(_shapes(schema))}</body></html>"
    )


def _sections(schema: Mapping[str, Any]) -> Iterator[str]:
    for tag in schema.get("tags", []):
        yield f"<h2>{escape(tag['name'])}</h2><p>{_prose(tag['description'])}</p>"
        for path, operations in schema["paths"].items():
            for method, operation in operations.items():
                if tag["name"] in operation.get("tags", []):
                    yield _operation(method, path, operation)


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    parameters = "".join(
        f"<tr><td><code>{escape(p['name'])}</code></td><td>{escape(p['in'])}</td>"
        f"<td>{_prose(p.get('description', ''))}</td></tr>"
        for p in operation.get("parameters", [])
    )
    answers = "".join(
        f"<tr><td>{escape(status)}</td><td>{_shape_of(response.get('content', {}))}</td>"
        f"<td>{_prose(response['description'])}</td></tr>"
        for status, response in operation["responses"].items()
    )
    scope = operation.get("x-scope")
    needs = f'<p class="quiet">Scope of the key: {escape(scope)}</p>' if scope else ""
    return (
        f'<h3><span class="method">{escape(method.upper())}</span> <code>{escape(path)}</code></h3>'
        f'<p class="lead">{_prose(operation.get("description", operation["summary"]))}</p>{needs}'
        f"{f'<table>{parameters}</table>' if parameters else ''}{_request(operation)}"
        f"<details><summary>Answers</summary><table>{answers}</table></details>"
    )


def _request(operation: Mapping[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    if not content:
        return ""
    example = content.get("application/json", {}).get("example")
    shown = json.dumps(_shortened(example), indent=2, ensure_ascii=False) if example else ""
    return f"<p>Body: {_shape_of(content)}</p>" + (f"<pre>{escape(shown)}</pre>" if shown else "")


def _shapes(schema: Mapping[str, Any]) -> Iterator[str]:
    for name, shape in schema["components"]["schemas"].items():
        required = set(shape.get("required", []))
        rows = "".join(
            f"<tr><td><code>{escape(field)}</code></td><td>{_type_of(inner)}"
            f"{'' if field in required else ' <span class=quiet>optional</span>'}</td>"
            f"<td>{_prose(inner.get('description', ''))}</td></tr>"
            for field, inner in shape.get("properties", {}).items()
        )
        yield (
            f'<h3 id="{escape(name)}">{escape(name)}</h3>'
            f"<p>{_prose(shape.get('description', ''))}</p><table>{rows}</table>"
        )


def _shape_of(content: Mapping[str, Any]) -> str:
    return ", ".join(
        f"<code>{escape(kind)}</code> {_type_of(body.get('schema', {}))}"
        for kind, body in content.items()
    )


def _type_of(shape: Mapping[str, Any]) -> str:
    if "$ref" in shape:
        name = shape["$ref"].rpartition("/")[2]
        return f'<a href="#{escape(name)}">{escape(name)}</a>'
    for union in ("anyOf", "oneOf"):
        if union in shape:
            return " or ".join(dict.fromkeys(_type_of(form) for form in shape[union]))
    if "enum" in shape or "const" in shape:
        values = shape.get("enum", [shape.get("const")])
        return " or ".join(f"<code>{escape(json.dumps(value))}</code>" for value in values)
    if shape.get("type") == "array":
        return f"list of {_type_of(shape.get('items', {}))}"
    return escape(str(shape.get("type", "")))


def _prose(text: str) -> str:
    """Escaped text, with what stands between backticks as code."""
    pieces = escape(text).split("`")
    return "".join(
        f"<code>{piece}</code>" if position % 2 else piece for position, piece in enumerate(pieces)
    )


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _shortened(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_shortened(inner) for inner in value]
    if isinstance(value, str) and len(value) > _MAX_EXAMPLE_CHARACTERS:
        return value[:40] + "…"
    return value
