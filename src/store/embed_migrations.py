#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the C source that holds sql/migrations: embed_migrations.py DIRECTORY OUTPUT"""
import hashlib
import re
import sys
from pathlib import Path

NAME = re.compile(r"^(\d{4})_[a-z0-9_]+\.sql$")


def literal(text):
    lines = []
    for line in text.splitlines(keepends=True):
        escaped = line.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t").replace("\n", "\\n")
        lines.append('\t"%s"' % escaped.replace("??", '?""?'))
    return "\n".join(lines)


def main():
    directory, output = Path(sys.argv[1]), Path(sys.argv[2])
    sources, rows, seen = [], [], {}
    for path in sorted(directory.glob("*.sql")):
        match = NAME.match(path.name)
        if match is None:
            sys.exit("%s: a migration is named NNNN_what_it_does.sql" % path)
        number = int(match.group(1))
        if number < 1 or number in seen:
            sys.exit("%s: the number %04d is taken by %s" % (path, number, seen.get(number, "nobody: count from 1")))
        seen[number] = path.name
        data = path.read_bytes()
        if b"\0" in data or b"\r" in data:
            sys.exit("%s: a NUL or carriage return" % path)
        sources.append("static const char sql_%04d[] =\n%s;\n" % (number, literal(data.decode("utf-8"))))
        rows.append('\t{ %d, "%s",\n\t  "%s", sql_%04d },\n'
                    % (number, path.name, hashlib.sha256(data).hexdigest(), number))
    text = ("/* SPDX-License-Identifier: Apache-2.0 */\n/* Made by embed_migrations.py from sql/migrations. */\n"
            '#include "store/migrate.h"\n\n#pragma GCC diagnostic ignored "-Woverlength-strings"\n\n'
            + "\n".join(sources) + "\nconst struct migration store_migrations[] = {\n" + "".join(rows)
            + "};\nconst size_t store_migrations_n = %d;\n" % len(rows))
    if not rows:
        sys.exit("%s: no migrations" % directory)
    if not output.exists() or output.read_text() != text:  # so that nothing else is built again
        output.write_text(text)


main()
