#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""docs/states.md from states.yaml: states.py --write, or --check that it is not stale."""

import sys
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent.parent / "docs" / "states.md"


def table():
    return yaml.safe_load((HERE / "states.yaml").read_text(encoding="utf-8"))


def listed(x):
    return x if isinstance(x, list) else [x]


def targets(move, state):
    return [state if to == "same" else to for to in listed(move["to"])]


def moves():
    """(function, from, to) of every move."""
    return {(m["by"], state, to) for m in table()["moves"] for state in listed(m["from"]) for to in targets(m, state)}


def page():
    t = table()
    out = ["<!-- SPDX-License-Identifier: Apache-2.0 -->", "# States of a request", "",
           "Made by tests/model/states.py from tests/model/states.yaml; tests/model compares that table with the code, the SQL and the",
           "model. A state that is not final always has a timer (`wake_at`).", "", "| state | meaning | final |", "|---|---|---|"]
    finals = list(t["states"])[list(t["states"]).index("unknown") + 1:]
    out += [f"| `{s}` | {what} | {'yes' if s in finals else ''} |" for s, what in t["states"].items()]
    out += ["", "A request begins as " + ", ".join(f"`{s}`" for s in t["begin"]) + " (`ops.receive`; `running`: a read; `scheduled`: a revert, `ops.arm_revert`).", "",
            "| from | to | by | when | entry of the audit log |", "|---|---|---|---|---|"]
    for m in t["moves"]:
        frm = ", ".join(f"`{s}`" for s in listed(m["from"]))
        to = ", ".join(f"`{s}`" if s != "same" else "the same" for s in listed(m["to"]))
        out.append(f"| {frm} | {to} | `ops.{m['by']}` | {m['when']} | {m['entry']} |")
    out += ["", "## Where a run goes on", "", "| state of the row | in a run | after a crash |", "|---|---|---|"]
    out += [f"| `{s}` | {a} | {b} |" for s, (a, b) in t["steps"].items()]
    out += ["", "A read that was `running` is read again after a crash. Final and `unknown` rows have no run."]
    return "\n".join(out) + "\n"


def main():
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    if not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != page():
        print("docs/states.md is stale: run tests/model/states.py --write")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
