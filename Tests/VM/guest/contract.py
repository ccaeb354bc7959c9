"""Holds the program's JSON documents to their schemas: those of Docs/schema, and nothing besides.

What the published schemas leave open is closed here: no undocumented key, and keys in the order in
which the schema has them. Of JSON Schema this knows what the schemas use, and says so when they
come to use more.
"""

import glob
import json
import os
import re

FOLDER = "/guest/schema"

_TYPES = {"object": dict, "array": list, "string": str, "null": type(None), "boolean": bool, "integer": int,
          "number": (int, float)}
_NOTES = {"$schema", "$defs", "title", "description"}
_loaded = {}


def schema(document, folder=None):
    """The schema of a document's format, `nvme-atomic-probe/1`; None when there is none."""
    name = str(document.get("format")).replace("/", "-") if isinstance(document, dict) else ""
    path = os.path.join(folder or FOLDER, name + ".schema.json")
    if path not in _loaded and path in glob.glob(os.path.join(glob.escape(folder or FOLDER), "*.schema.json")):
        with open(path) as file:
            _loaded[path] = json.load(file)
    return _loaded.get(path)


def breaches(document, folder=None):
    """What a document has that its schema does not allow, or lacks, as sentences; [] is good."""
    root = schema(document, folder)
    return _check(root, root, document, "document") if root else ["the document's format has no schema"]


def _check(rule, root, value, where):
    found = []
    for keyword, operand in rule.items():
        if keyword not in _NOTES:
            found += _KEYWORDS[keyword](operand, rule, root, value, where)
    return found


def _is(value, name):
    return isinstance(value, _TYPES[name]) and (name not in ("integer", "number") or not isinstance(value, bool))


def _type(names, _rule, _root, value, where):
    names = [names] if isinstance(names, str) else names
    return [] if any(_is(value, name) for name in names) else [f"{where} is {value!r}, not {' or '.join(names)}"]


def _equal(left, right):
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def _enum(values, _rule, _root, value, where):
    return [] if any(_equal(value, each) for each in values) else [f"{where} is {value!r}, not one of {values}"]


def _const(constant, rule, root, value, where):
    return _enum([constant], rule, root, value, where)


def _reference(target, _rule, root, value, where):
    return _check(root["$defs"][target.removeprefix("#/$defs/")], root, value, where)


def _one_of(rules, _rule, root, value, where):
    results = [_check(rule, root, value, where) for rule in rules]
    if sum(not result for result in results) > 1:
        return [f"{where} is more than one thing at once"]
    # The alternative that was meant is the one that fits best; null is never nearly anything.
    meant = [result for rule, result in zip(rules, results) if rule.get("type") != "null" or not result]
    return min(meant or results, key=len)


def _not(rule, _rule, root, value, where):
    return [] if _check(rule, root, value, where) else [f"{where} is what it must not be"]


def _required(keys, _rule, _root, value, where):
    return [f"{where}.{key} is missing" for key in keys if key not in value] if isinstance(value, dict) else []


def _properties(properties, _rule, root, value, where):
    if not isinstance(value, dict):
        return []
    found = [f"{where}.{key} is not documented" for key in value if key not in properties]
    known = [key for key in value if key in properties]
    if known != [key for key in properties if key in value]:
        found.append(f"{where} has its keys out of order: {known}")
    for key in known:
        found += _check(properties[key], root, value[key], f"{where}.{key}")
    return found


def _items(rule, _rule, root, value, where):
    if not isinstance(value, list):
        return []
    return [breach for index, item in enumerate(value) for breach in _check(rule, root, item, f"{where}[{index}]")]


def _minimum(least, _rule, _root, value, where):
    return [f"{where} is {value}, below {least}"] if _is(value, "integer") and value < least else []


def _min_items(least, _rule, _root, value, where):
    return [f"{where} has fewer than {least} items"] if isinstance(value, list) and len(value) < least else []


def _pattern(pattern, _rule, _root, value, where):
    matches = not isinstance(value, str) or re.search(pattern, value)
    return [] if matches else [f"{where} is {value!r}, which {pattern} does not match"]


_KEYWORDS = {
    "type": _type, "enum": _enum, "const": _const, "$ref": _reference, "oneOf": _one_of, "not": _not,
    "required": _required,
    "properties": _properties, "items": _items, "minimum": _minimum, "minItems": _min_items, "pattern": _pattern,
}
