"""Reads pipeline configurations: a JSON list of texts in, a JSON list of plugins (or an error) for each out.

Options that stand in comments (`# name => value`) are read as well: whoever takes the sign away must not fall into a trap.
"""
import json
import re
import sys

from logstash_pipeline_parser import Pipeline
from logstash_pipeline_parser.tree import ParseError

COMMENTED = re.compile(r"^(\s*)#(?: [^=\n]*:)? (\w+ => .*)$", re.MULTILINE)

# The parser knows no strings of several lines and takes backslashes out of them; Logstash has such strings and does not.
STRING = re.compile(r"""#[^\n]*|'(?:\\'|[^'])*'|"(?:\\"|[^"])*\"""")
FOLDED = {"\n": "\ue000", "\\": "\ue001"}


def folded(text):
    """The text with its strings on one line each and without backslashes."""
    def fold(match):
        string = match.group()
        if string.startswith("#"):
            return ""
        for letter, mark in FOLDED.items():
            string = string.replace(letter, mark)
        return string
    return STRING.sub(fold, text)


def unfolded(value):
    if isinstance(value, list):
        return [unfolded(inner) for inner in value]
    if isinstance(value, str):
        for letter, mark in FOLDED.items():
            value = value.replace(mark, letter)
    return value


def plugins(section, body):
    """The plugins of a section, with those inside of conditions."""
    for entry in body:
        if isinstance(entry[0], list):
            yield from plugins(section, entry)
            continue
        name, rest = entry[0], entry[1:]
        if name in ("if", "else if", "else"):
            # A condition stands before the plugins.
            yield from plugins(section, rest[0] if name == "else" else rest[0][1:])
            continue
        found = {"section": section, "name": name, "options": {}, "codec": None}
        for option, value in (rest[0] if rest else []):
            if option == "codec" and isinstance(value[0], list):
                codec, options = value[0]
                found["codec"] = {"section": "codec", "name": codec, "codec": None,
                                  "options": {key: inner[0] for key, inner in options}}
            elif option == "codec":
                found["codec"] = {"section": "codec", "name": value[0], "options": {}, "codec": None}
            else:
                found["options"][option] = value[0]
        yield found


def read(text):
    try:
        tree = unfolded(Pipeline(folded(COMMENTED.sub(r"\1\2", text))).parse())
    except ParseError as error:
        return {"error": str(error)}
    return {"plugins": [one for section, body in tree for one in plugins(section, body)]}


json.dump([read(text) for text in json.load(sys.stdin)], sys.stdout, default=str)
