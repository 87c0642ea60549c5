#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The budgets of the C sources: lines of a function and of a file, parameters, nesting, columns."""
import re
import subprocess
import sys
from pathlib import Path

FUNCTION_LINES = 80
SOURCE_LINES = 700
HEADER_LINES = 150
PARAMETERS = 6
NESTING = 3
COLUMNS = 100

# Callbacks whose parameters a library dictates.
FOREIGN = {"src/net/httpd.c": {"on_request"}}

BLOCK = re.compile(r"^\s*(\} else )?(if|else|for|while|do|switch)\b.*\{$|^\s*\} else \{$")
HASH_FOREACH = re.compile(r"^\s*\w*(foreach|ITER)\w*\s?\(.*\{$")


def tracked():
    tops = ["src", "include", "tests"]
    try:
        out = subprocess.run(["git", "ls-files"] + tops, check=True, capture_output=True,
                             text=True).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        out = [str(p) for top in tops for p in Path(top).rglob("*")]
    return sorted(p for p in out if p.endswith((".c", ".h")) and Path(p).is_file())


def blank_out(text):
    """Comments and string contents become spaces; lines stay where they are."""
    token = re.compile(r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
    return token.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def parameters(signature):
    """How many parameters the first parenthesis of a signature holds."""
    start = signature.find("(")
    depth, commas = 0, 0
    for c in signature[start:]:
        depth += (c == "(") - (c == ")")
        commas += c == "," and depth == 1
        if depth == 0:
            break
    return commas + 1


def check_function(lines, start, end, foreign=()):
    """lines[start] is the brace at column 0, lines[end] the closing one."""
    first = start
    while first > 0 and lines[first - 1].strip() and not lines[first - 1].startswith(("}", "#")) \
            and not lines[first - 1].rstrip().endswith(";"):
        first -= 1
    signature = " ".join(lines[first:start])
    if "(" not in signature or "=" in signature.split("(")[0]:
        return
    name = re.search(r"(\w+)\s*\(", signature)
    name = name.group(1) if name else "?"
    if end - first + 1 > FUNCTION_LINES:
        yield first + 1, f"{name} has {end - first + 1} lines, more than {FUNCTION_LINES}"
    if parameters(signature) > PARAMETERS and name not in foreign:
        yield first + 1, f"{name} has {parameters(signature)} parameters, more than {PARAMETERS}"
    stack = []
    for i in range(start + 1, end):
        line = lines[i].rstrip()
        closes = line.lstrip().startswith("}")
        if closes and stack:
            stack.pop()
        opens = line.endswith("{")
        if opens:
            stack.append(bool(BLOCK.match(line) or HASH_FOREACH.match(line)))
        if opens and sum(stack) > NESTING:
            yield i + 1, f"{name} nests deeper than {NESTING}"


def check(path):
    raw = Path(path).read_text(encoding="utf-8")
    limit = HEADER_LINES if path.startswith("include/") else SOURCE_LINES
    count = raw.count("\n")
    if count > limit:
        yield count, f"{count} lines, more than {limit}"
    for i, line in enumerate(raw.split("\n")):
        if len(line.expandtabs(8)) > COLUMNS:
            yield i + 1, f"more than {COLUMNS} columns"
    lines = blank_out(raw).split("\n")
    start = None
    for i, line in enumerate(lines):
        if line.rstrip() == "{":
            start = i
        elif line.startswith("}") and start is not None:
            yield from check_function(lines, start, i, FOREIGN.get(path, ()))
            start = None
    if path.startswith("include/"):
        for match in re.finditer(r"^[a-z][\w \*]*?(\w+)\(([^;{]*)\)[^;{]*;", "\n".join(lines), re.M):
            n = parameters(match.group())
            if n > PARAMETERS and "__attribute__" != match.group(1):
                line = "\n".join(lines).count("\n", 0, match.start()) + 1
                yield line, f"{match.group(1)} has {n} parameters, more than {PARAMETERS}"


def main():
    found = 0
    for path in tracked():
        for line, what in check(path):
            print(f"{path}:{line}: {what}")
            found += 1
    return 1 if found else 0


sys.exit(main())
