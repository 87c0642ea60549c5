# SPDX-License-Identifier: Apache-2.0
"""The audit log as JSON for the sandbox's page: GET /_/audit?limit=N, newest first."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

ENTRIES = """
select a.id, a.at, a.event, a.outcome, a.request_id, a.action, a.slack_user, a.body,
       coalesce((select p.display_name from dir.person p where p.person_id = a.person_id), '') as person
from ops.audit_recent a limit $1"""


def sentence(body):
    """What an entry says in words; the page makes its own line of the facts."""
    facts = body.get("facts")
    facts = facts if isinstance(facts, dict) else {}
    return " · ".join(str(facts[k]) for k in ("error", "message", "reason") if facts.get(k))[:300]


def entry(row):
    try:
        body = json.loads(row["body"])
    except ValueError:
        body = {}
    return {"id": int(row["id"]), "at": row["at"], "kind": row["event"], "outcome": row["outcome"],
            "request": row["request_id"], "action": row["action"], "person": row["person"] or row["slack_user"],
            "text": sentence(body), "body": body}


class AuditPage:
    """Serves on a port of its own; `session` opens a connection to the database."""

    def __init__(self, session):
        self.open, self.session, self.lock = session, None, threading.Lock()
        page = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                status, body = page.answer(self.path)
                self.send_response(status)
                for name, value in (("Content-Type", "application/json"), ("Content-Length", len(body)),
                                    ("Access-Control-Allow-Origin", "*"), ("Cache-Control", "no-store")):
                    self.send_header(name, str(value))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/_/audit"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def answer(self, path):
        parts = urlsplit(path)
        if parts.path != "/_/audit":
            return 404, b'{"error": "only /_/audit is here"}'
        limit = parse_qs(parts.query).get("limit", ["60"])[0]
        limit = min(int(limit), 1000) if limit.isdigit() else 60
        with self.lock:
            try:
                self.session = self.session or self.open()
                rows = self.session.rows(ENTRIES, limit)
            except Exception as e:
                if self.session:
                    self.session.close()
                self.session = None
                return 503, json.dumps({"error": str(e)}).encode()
        return 200, json.dumps({"entries": [entry(r) for r in rows]}).encode()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)
        with self.lock:
            if self.session:
                self.session.close()
                self.session = None
