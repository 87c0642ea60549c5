#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the cases in meson's JSON test logs. Ends with what the failed ones said and one line; exit 1 when any failed or none ran."""
import json
import re
import sys
from pathlib import Path

PYTEST = re.compile(r"(\d+) (passed|failed|skipped|errors?|xfailed|xpassed)\b")
FAILED = {"FAIL", "ERROR", "TIMEOUT", "INTERRUPT", "UNEXPECTEDPASS"}


def cases(test):
    """(passed, failed, skipped) of one test program, by what it printed."""
    out = test.get("stdout") or ""
    result = test["result"]
    passed = len(re.findall(r"^ok\b(?!.*# SKIP)", out, re.M))
    skipped = len(re.findall(r"^ok\b.*# SKIP", out, re.M))
    failed = len(re.findall(r"^not ok\b", out, re.M))
    last = next((line for line in reversed(out.splitlines()) if re.search(r" in [\d.]+s", line)), "")
    for count, what in PYTEST.findall(last):
        passed += int(count) if what in ("passed", "xfailed") else 0
        failed += int(count) if what in ("failed", "error", "errors", "xpassed") else 0
        skipped += int(count) if what == "skipped" else 0
    if passed + failed + skipped == 0 and result in ("OK", "EXPECTEDFAIL"):
        passed = 1
    if passed + failed + skipped == 0 and result == "SKIP":
        skipped = 1
    if failed == 0 and result in FAILED:
        failed = 1
    return passed, failed, skipped


def said(test):
    """What a failed test printed, cut to its end: the log may be all that is kept of a machine."""
    text = (test.get("stdout") or "") + (test.get("stderr") or "")
    lines = text.splitlines()
    bad = [n for n, line in enumerate(lines) if line.startswith("not ok ")]
    shown = [line for n in bad[:5] for line in lines[n:n + 6]] if bad else lines[-40:]
    return "".join(f"  | {line[:200]}\n" for line in shown)


def main():
    total = [0, 0, 0]
    for name in sys.argv[1:]:
        if name.startswith("--broken="):
            print(f"failed: {name.partition('=')[2]}")
            total[1] += 1
            continue
        path = Path(name)
        if not path.is_file():
            continue  # a suite without a test
        for line in path.read_text(encoding="utf-8").splitlines():
            test = json.loads(line)
            counts = cases(test)
            total = [a + b for a, b in zip(total, counts)]
            if counts[1]:
                print(f"failed: {test['name']} ({test['result']}, {test['duration']:.0f} s)\n{said(test)}", end="")
    print(f"{total[0]} passed, {total[1]} failed, {total[2]} skipped")
    return 1 if total[1] or not total[0] else 0


sys.exit(main())
