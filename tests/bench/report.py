# SPDX-License-Identifier: Apache-2.0
"""The aims, and the table that a person reads."""

SOAK_SLACK = 1.0        # MB that 90,000 commands may add


def deep(run, path):
    for name in path.split("."):
        if run is None:
            return None
        run = run.get(name)
    return run


# what, path in a run, unit, digits
LINES = [
    ("CPU a command, {many} outstanding", "many.cpu_ms", "ms", 3),
    ("CPU a command, {many} outstanding, in turns", "turns.cpu_ms", "ms", 3),
    ("CPU a command, 1 outstanding", "one.cpu_ms", "ms", 3),
    ("PostgreSQL's CPU a command, {many} outstanding", "many.postgres_cpu_ms", "ms", 3),
    ("commands a second, {many} outstanding", "many.per_second", "/s", 0),
    ("commands a second, {many} outstanding, in turns", "turns.per_second", "/s", 0),
    ("commands a second, 1 outstanding", "one.per_second", "/s", 0),
    ("RSS idle", "rss_idle", "MB", 1),
    ("RSS after {commands} commands", "rss_after", "MB", 1),
    ("ack p50, {many} outstanding", "many.ack_ms.p50", "ms", 2),
    ("ack p99, {many} outstanding", "many.ack_ms.p99", "ms", 2),
    ("ack p50, 1 outstanding", "one.ack_ms.p50", "ms", 2),
    ("ack p99, 1 outstanding", "one.ack_ms.p99", "ms", 2),
    ("ack p99, 50 commands a second", "open.ack_ms.p99", "ms", 2),
    ("reply p50, 1 outstanding", "one.reply_ms.p50", "ms", 2),
    ("reply p99, {many} outstanding", "many.reply_ms.p99", "ms", 2),
    ("slowest reply, 1 outstanding", "one.reply_ms.max", "ms", 1),
    ("slowest reply, {many} outstanding", "many.reply_ms.max", "ms", 1),
    ("deaf at a refresh, ticket takes 400 ms", "refresh.deaf_seconds", "s", 2),
    ("start to ready", "start_ms", "ms", 0),
    ("commits a command, {many} outstanding", "many.commits", "", 2),
    ("commits a command, 1 outstanding", "one.commits", "", 2),
]


def aims(runs):
    """[(what, good, seen, firm)] of what is promised; a comparison only when there is a peer. Firm: whatever else the
    machine does."""
    opsd, peer = runs.get("opsd"), runs.get("peer")
    if opsd is None:
        return []
    out = []

    def aim(what, good, seen, firm=False):
        out.append((what, bool(good), seen, firm))

    def at_most(what, path, limit, unit="", firm=False):
        seen = deep(opsd, path)
        aim(f"{what} at most {limit} {unit}".rstrip(), seen is not None and seen <= limit, seen, firm)

    at_most("RSS after the commands", "rss_after", 16, "MB")
    at_most("deaf time at a refresh", "refresh.deaf_seconds", 0, "s")
    at_most("ack p99 at 50 commands a second", "open.ack_ms.p99", 20, "ms")
    at_most("slowest reply, 1 outstanding", "one.reply_ms.max", 1000, "ms")
    at_most("slowest reply, many outstanding", "many.reply_ms.max", 1000, "ms")
    at_most("commits a command, 1 outstanding", "one.commits", 4, firm=True)
    at_most("commits a command, many outstanding", "many.commits", 4, firm=True)
    for name in ("open", "one", "many", "refresh"):
        load = opsd[name]
        aim(f"every command of \"{name}\" succeeded", load["good"] == load["sent"], load["ends"], True)
    aim("a clean exit", opsd["exit"] == 0, opsd["exit"], True)
    if opsd.get("soak"):
        first = min(opsd["soak"], key=lambda row: abs(row[0] - 20000))
        grown = round(opsd["soak"][-1][1] - first[1], 2)
        aim(f"RSS grows less than {SOAK_SLACK} MB from {first[0]} to {opsd['soak'][-1][0]} commands",
            grown < SOAK_SLACK, grown, True)
    if peer:
        def ratio(path):
            return deep(opsd, path) / max(1e-9, deep(peer, path))
        seen = ratio("turns.cpu_ms")
        aim("CPU a command at most half of the peer's", seen <= 0.5, round(seen, 3))
        seen = ratio("turns.per_second")
        aim("commands a second at least half of the peer's", seen >= 0.5, round(seen, 3))
        seen = ratio("rss_after")
        aim("RSS after the commands below the peer's", seen < 1, round(seen, 3))
    return out


def number(value, unit, digits):
    if value is None:
        return "-"
    return f"{value:,.{digits}f}{' ' + unit if unit and unit != '/s' else unit}"


def table(runs, concurrency):
    opsd, peer = runs.get("opsd"), runs.get("peer")
    commands = (opsd or peer)["commands"]
    lines = [f"{'':50}{'opsd':>14}{'peer (Go)':>14}{'ratio':>8}"]
    for what, path, unit, digits in LINES:
        a, b = deep(opsd, path), deep(peer, path)
        ratio = f"{a / b:.2f}" if a is not None and b else ""
        what = what.format(many=concurrency, commands=f"{commands:,}")
        lines.append(f"{what:50}{number(a, unit, digits):>14}{number(b, unit, digits):>14}{ratio:>8}")
    return lines


def notes(runs, concurrency):
    """Who was the bottleneck, and what went wrong."""
    lines = []
    for name, run in runs.items():
        many = run["many"]
        share = many["share"]
        lines.append(f"{name}, {concurrency} outstanding, processors in use: program {share['program']:.2f}, "
                     f"PostgreSQL {share['postgres']:.2f}, Slack stand-in {share['slack']:.2f}, Kubernetes stand-in "
                     f"{share['kube']:.2f}; machine {many['machine_busy'] * 100:.0f} % busy")
        for phase in ("open", "one", "many", "refresh"):
            if run[phase]["good"] != run[phase]["sent"]:
                lines.append(f"{name}, {phase}: {run[phase]['ends']} {run[phase]['examples'][:2]}")
        late = run["open"]["standin_late_ms"]
        lines.append(f"{name}, 50 a second: the load itself was late by up to {late} ms")
        if run["open"].get("stall"):
            stall = run["open"]["stall"]
            bound = "at most " if stall["bound"] else ""
            lines.append(f"{name}, 50 a second: worst turn of the loop {bound}{stall['ms']} ms")
        if run["violations"]["count"]:
            lines.append(f"{name}: {run['violations']['count']} times against the protocol of Slack, "
                         f"first: {run['violations']['violations'][0]['what']}")
        if run.get("soak"):
            lines.append(f"{name}, soak: " + ", ".join(f"{n:,} → {mb:.1f} MB" for n, mb in run["soak"]))
    return lines
