#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Who may include whom: the layers, and the one place of each foreign library."""
import re
import subprocess
import sys
from pathlib import Path

# Folder: the folders whose headers it may include besides its own.
LAYERS = {
    "base": set(),
    "core": {"base"},
    "net": {"base"},
    "slack": {"net", "base"},
    "kube": {"net", "base"},
    "chat": {"core", "slack", "base"},
    "action": {"core", "kube", "net", "base"},
    "store": {"core", "net", "base"},
    "directory": {"core", "net", "base"},
    "app": {"chat", "action", "store", "directory", "slack", "kube", "core", "net", "base"},
}

# Header of a library: the only files that include it.
LIBRARIES = {
    r"jansson\.h": ["include/base/json.h"],
    r"yaml\.h": ["src/base/conftree.c"],
    r"pcre2\.h": ["src/base/pattern.c"],
    r"openssl/.*": ["src/base/digest.c", "src/base/jwt.c", "src/base/jwt_verify.c", "src/base/pem.c", "src/base/signing.c",
                     "src/net/ws.c"],
    r"(ldap|lber)\.h": ["src/net/ldapc.c"],
    r"curl/.*": ["src/net/http_internal.h"],
    r"libwebsockets\.h": ["src/net/ws_internal.h"],
    r"(libpq-fe|libpq/.*|pg_config)\.h": ["src/net/db.c", "src/net/db_internal.h"],
    r"microhttpd\.h": ["src/net/httpd.c"],
    r"(jq|jv)\.h": ["src/core/expr.c"],
}

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.M)


def tracked():
    try:
        out = subprocess.run(["git", "ls-files", "src", "include"], check=True,
                             capture_output=True, text=True).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        out = [str(p) for top in ("src", "include") for p in Path(top).rglob("*")]
    return sorted(p for p in out if p.endswith((".c", ".h")) and Path(p).is_file())


def check(path):
    folder = Path(path).parts[1]
    if folder not in LAYERS:
        yield 1, f"folder {folder} is not in the table of layers"
        return
    text = Path(path).read_text(encoding="utf-8")
    for match in INCLUDE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        quote, name = match.groups()
        if quote == '"':
            yield from check_own(line, path, folder, name)
            continue
        for library, places in LIBRARIES.items():
            if re.fullmatch(library, name) and path not in places:
                yield line, f"<{name}> may be included by {', '.join(places)} only"


def check_own(line, path, folder, name):
    if "/" not in name:
        if not (Path(path).parent / name).is_file() and not name.endswith("_gen.h"):
            yield line, f'"{name}" is not in {Path(path).parent}'
        return
    other = name.split("/")[0]
    if other not in LAYERS:
        yield line, f'"{name}" names no folder of include/'
    elif other != folder and other not in LAYERS[folder]:
        yield line, f"{folder} may not include {other} (\"{name}\")"
    if name.startswith("."):
        yield line, f'"{name}": no relative paths'


def main():
    found = 0
    for path in tracked():
        for line, what in check(path):
            print(f"{path}:{line}: {what}")
            found += 1
    return 1 if found else 0


sys.exit(main())
