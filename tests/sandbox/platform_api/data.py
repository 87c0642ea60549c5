# SPDX-License-Identifier: Apache-2.0
"""The datasets of the sandbox: the same at every start."""

TABLES = {
    "ads": "clicks impressions conversions campaigns budgets bids audiences creatives attribution spend_daily "
           "reach_weekly fraud_scores auctions pacing keywords placements lookalikes frequency_caps clicks_raw "
           "impressions_raw",
    "web": "page_views sessions events_raw experiments funnels signups referrers search_terms web_vitals errors "
           "accounts devices retention_daily cohorts newsletters feature_flags heatmaps carts checkouts sitemaps",
    "core": "users orders payments invoices currencies countries calendars products prices stock shipments returns "
            "suppliers warehouses taxes gl_entries exchange_rates audit_trail permissions holidays",
}
STATES = ("ready", "ready", "ready", "stale", "building", "ready", "failed")
ODD = "<!channel> *bold* & `code` <https://example.com|a link>"


def datasets():
    out = []
    for owner, names in TABLES.items():
        for i, table in enumerate(names.split()):
            n = len(out)
            state = STATES[n % len(STATES)]
            out.append({
                "name": f"{owner}.{table}", "owner": owner, "status": state, "rows": (n * 7919 + 13) * 1000 % 9_999_991,
                "bytes": (n * 104729 + 17) * 4096, "updated_at": f"2026-11-{24 - n % 9:02d}T0{n % 7}:1{n % 6}:00Z",
                "schedule": "hourly" if n % 3 else "daily", "tier": n % 3 + 1,
                "description": ODD if n == 5 else f"{table.replace('_', ' ')} of {owner}",
                "error": "partition 2026-11-24 has 0 rows, expected at least 1000" if state == "failed" else None})
    return out
