# SPDX-License-Identifier: Apache-2.0
"""The APIs of directory sources, written from their documentation: paths, paging, errors. Strict about tokens,
signatures, scopes, arguments and page sizes; with a switch for every fault a source is known for.

    /google   Admin SDK Directory API       /scim      SCIM 2.0, by index and by cursor
    /graph    Microsoft Graph               /slack     auth.test, users.list, usergroups.list
    /okta     Okta's API, Link headers      /document  csv, json and yaml with an ETag

How a client comes by a token is in tokens.py.

A fault is {"mode", "path": a pattern, "after": so many good answers first, "times": so often, …}; see MODES."""

import asyncio
import hashlib
import json
import re
import secrets
import time
from collections import Counter
from email.utils import formatdate
from urllib.parse import parse_qsl, quote, unquote

import yaml

from ..slack.wire import Conn, answer, json_answer
from .tokens import Refused, Tokens, google_error

MODES = {
    "status": "an error of `code` with `body`, `retry_after` or `reset` (Okta)",
    "html": "200 with a page of HTML, as a sign-in portal gives it",
    "garbage": "200 and JSON that is cut off in the middle",
    "shape": "200 with JSON of another shape",
    "close": "the connection ends without an answer",
    "cut": "the connection ends in the middle of the answer",
    "hang": "no answer",
    "hold": "answers once the fault is taken away",
    "skip_page": "a page is left out: its rows are lost, the rest goes on",
    "short": "the listing ends after this page as if it were the last",
    "empty": "an empty listing, well-formed",
    "loop": "the next page is this one",
    "foreign": "the next page is said to be at another host",
    "expire": "the token ends now: 401 for this and all that use it; `then` is called",
    "repeat": "the first row comes twice, the second time with another name",
    "total": "the total says one more than there is",
    "partial": "rows with their id only",
}
JSON_TYPE = "application/json; charset=utf-8"
LIST_RESPONSE = "urn:ietf:params:scim:api:messages:2.0:ListResponse"


def graph_error(status, code, message):
    return Refused(status, {"error": {"code": code, "message": message}})


def okta_error(status, code, summary):
    return Refused(status, {"errorCode": code, "errorSummary": summary, "errorId": "oae" + secrets.token_hex(4)})


def scim_error(status, detail):
    return Refused(status, {"schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"], "status": str(status),
                            "detail": detail})


class DirectoryStandin(Tokens):
    """`page`: rows a page at most, below what a client asks for. `life`: of a token, in seconds."""

    customer = "my_customer"
    bearer = "scim-bearer-1"
    slack_token = "xoxb-directory-1"
    team = "T0HOME"

    def __init__(self, company, page=4, life=3600):
        self.company, self.page, self.life = company, page, life
        super().__init__()
        self.faults, self.struck, self.requests = [], Counter(), []
        self.conns = set()
        self.seen_etags = []
        self.generated_at = "2026-11-25T05:00:00Z"

    # Life

    async def start(self, tls=None, metadata=False):
        """metadata: also where a cloud tells a machine about itself (which takes a network of its own)."""
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(lambda: Conn(self), "127.0.0.1", 0, ssl=tls, backlog=128)
        if metadata:
            await loop.create_server(lambda: Conn(self), "169.254.169.254", 80)
        self.port = self.server.sockets[0].getsockname()[1]
        self.base = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        return self

    async def stop(self):
        self.server.close()
        for conn in list(self.conns):
            conn.transport.abort()
        await asyncio.sleep(0)

    def settings(self, kind, folder, proof=None, members="all"):
        """directory.sources.X for this stand-in; the secrets are written to folder. `proof`: how the client says who it is
        (tokens.py), when there are several ways. `members`: None reads those of groups in use only."""
        def secret(name, text):
            (folder / name).write_text(text, encoding="utf-8")
            return {"file": str(folder / name)}
        own = {
            "google": lambda: {"admin": self.admin, "token_url": f"{self.base}/google/token",
                               **self.google_identity(proof or "key", secret)},
            "graph": lambda: {"tenant": self.tenant, "client_id": self.client_id, "login_url": f"{self.base}/graph",
                              **self.graph_identity(proof or "client_secret", secret)},
            "okta": lambda: {"client_id": self.client_id, "key": secret("okta.pem", self.keys.pem), "kid": "key-1"},
            "scim": lambda: {"bearer": secret("scim", self.bearer)},
            "slack": lambda: {"token": secret("slack", self.slack_token)},
            "file": dict,
        }[kind]()
        path = "document/company.csv" if kind == "file" else kind
        if members and kind in ("google", "graph", "okta"):
            own["members"] = members
        if kind != "file":
            own["per_minute"] = 60000       # nobody's quota is to be spared here
        return {"kind": kind, "url": f"{self.base}/{path}", "domains": ["example.com"], "tries": 2, **own}

    # Requests

    def handle(self, req):
        if not req.path.startswith("/document/"):
            self.requests.append(f"{req.method} {req.path}{'?' + req.query if req.query else ''}")
        fault = self.fault_of(req)
        mode = fault["mode"] if fault else None
        if mode == "hold":
            return self.held(req, fault)
        if mode in ("close", "hang", "cut"):
            return self.broken(req, fault)
        if mode == "status":
            return self.error(fault)
        if mode == "html":
            return answer(200, b"<html><body>Sign in</body></html>", "text/html; charset=utf-8")
        if mode == "garbage":
            whole = self.serve(req, None).partition(b"\r\n\r\n")[2]
            return answer(200, whole[:len(whole) // 2], JSON_TYPE)
        if mode == "shape":
            return answer(200, b'{"status":"ok","items":[]}', JSON_TYPE)
        if mode == "expire":
            self.tokens.clear()
            fault.get("then", lambda: None)()
        return self.serve(req, fault)

    def fault_of(self, req):
        for fault in self.faults:
            if not re.search(fault.get("path", ""), req.path + ("?" + req.query if req.query else "")):
                continue
            if fault.get("after", 0) > 0:
                fault["after"] -= 1
                continue
            self.struck[fault["mode"]] += 1
            if fault.get("times") is not None:
                fault["times"] -= 1
                if fault["times"] <= 0:
                    self.faults.remove(fault)
            return fault
        return None

    async def broken(self, req, fault):
        mode = fault["mode"]
        if mode == "cut":
            whole = self.serve(req, fault)
            req.conn.transport.write(whole[:-10])
        if mode != "hang":
            req.conn.transport.close()

    async def held(self, req, fault):
        while fault in self.faults:
            await asyncio.sleep(0.01)
        return self.serve(req, None)

    @staticmethod
    def error(fault):
        headers = []
        if "retry_after" in fault:
            headers.append(("Retry-After", fault["retry_after"]))
        if "reset" in fault:
            headers += [("Date", formatdate(usegmt=True)), ("X-Rate-Limit-Reset", int(time.time()) + fault["reset"])]
        return answer(fault.get("code", 500), json.dumps(fault.get("body", {"error": {"message": "trouble"}})), JSON_TYPE,
                      headers)

    def serve(self, req, fault):
        kind, _, path = req.path[1:].partition("/")
        try:
            return getattr(self, f"serve_{kind}")(req, unquote(path), fault)
        except Refused as e:
            return e.out
        except AttributeError:
            if hasattr(self, f"serve_{kind}"):
                raise
            return answer(404, "nothing is here")

    # Pages

    def slice(self, rows, start, asked, fault):
        """The rows of a page and where the next one starts (None: it is the last)."""
        size = min(asked, self.page)
        mode = fault["mode"] if fault else None
        if mode == "empty":
            return [], None
        if mode == "skip_page":
            start += size
        page, after = list(rows[start:start + size]), start + size
        if mode == "repeat" and page:
            page.append({**page[0], "displayName": "Somebody Else", "name": {"fullName": "Somebody Else"},
                         "profile": {**page[0].get("profile", {}), "firstName": "Else", "real_name": "Else"}})
        if mode == "partial":
            page = [{"id": row["id"], **{k: None for k in row if k != "id" and "@" not in k}} for row in page]
        if mode == "loop":
            return page, start
        return page, None if mode == "short" or after >= len(rows) else after

    # Google

    def serve_google(self, req, path, fault):
        if path == "token":
            return self.google_token(req)
        if not self.holds_token(req):
            raise google_error(401, "authError", "Invalid Credentials")
        parts = path.removeprefix("admin/directory/v1/").split("/")
        args = req.args()
        if parts[0] in ("users", "groups") and len(parts) == 1:
            if args.get("customer") != self.customer:
                raise google_error(400, "badRequest", "Bad Request")
            return self.google_list(parts[0], args, fault)
        if parts[0] == "groups" and len(parts) == 3 and parts[2] == "members":
            if parts[1] not in self.company.groups:
                raise google_error(404, "notFound", f"Resource Not Found: groupKey {parts[1]}")
            return self.google_list(parts[1], args, fault)
        raise google_error(404, "notFound", "Not Found")

    def google_list(self, what, args, fault):
        most = 500 if what == "users" else 200
        asked = int(args.get("maxResults", 100))
        if not 1 <= asked <= most:
            raise google_error(400, "invalid", f"Invalid value '{asked}'. Values must be within the range: [1, {most}]")
        if what == "users":
            kind, member, rows = "users", "users", [self.google_user(p) for p in self.company.people.values()
                                                    if p.state != "gone"]
        elif what == "groups":
            kind, member = "groups", "groups"
            rows = [{"kind": "admin#directory#group", "id": g.id, "email": g.name, "name": g.name.partition("@")[0]}
                    for g in self.company.groups.values()]
        else:
            kind, member, rows = "members", "members", self.google_members(self.company.groups[what])
        page, after = self.slice(rows, int(args.get("pageToken", "tok0")[3:]), asked, fault)
        out = {"kind": f"admin#directory#{kind}", "etag": secrets.token_hex(4)}
        if page:
            out[member] = page      # Google leaves an empty list out
        if after is not None:
            out["nextPageToken"] = f"tok{after}"
        return json_answer(out)

    @staticmethod
    def google_user(p):
        return {"kind": "admin#directory#user", "id": p.id, "primaryEmail": p.email, "name": {"fullName": p.name},
                "suspended": p.state == "suspended", "archived": False, **({"aliases": p.aliases} if p.aliases else {})}

    def google_members(self, group):
        rows = [{"kind": "admin#directory#member", "id": m, "email": self.company.people[m].email, "role": "MEMBER",
                 "type": "USER", "status": "ACTIVE"} for m in group.members if m in self.company.people]
        rows += [{"kind": "admin#directory#member", "id": c, "role": "MEMBER", "type": "GROUP"} for c in group.groups]
        return rows + [{"kind": "admin#directory#member", "id": o, "email": f"{o}@other.example", "role": "MEMBER",
                        "type": "USER"} for o in group.outside]

    # Microsoft Graph

    def serve_graph(self, req, path, fault):
        if path == f"{self.tenant}/oauth2/v2.0/token":
            return self.graph_token(req)
        if not self.holds_token(req):
            raise graph_error(401, "InvalidAuthenticationToken", "Lifetime validation failed, the token is expired.")
        args = req.args()
        if args.get("$count") == "true" and req.headers.get("consistencylevel") != "eventual":
            raise graph_error(400, "Request_UnsupportedQuery", "$count needs ConsistencyLevel: eventual")
        parts = path.split("/")
        if parts[0] != "v1.0" or len(parts) not in (2, 4):
            raise graph_error(404, "Request_ResourceNotFound", "Resource not found")
        if len(parts) == 4 and parts[2] not in self.company.groups:
            raise graph_error(404, "Request_ResourceNotFound", f"Resource '{parts[2]}' does not exist")
        rows = self.graph_rows(parts)
        page, after = self.slice(rows, int(args.get("$skiptoken", 0)), int(args.get("$top", 100)), fault)
        out = {"@odata.context": f"{self.base}/graph/v1.0/$metadata", "value": page}
        if args.get("$count") == "true" and "$skiptoken" not in args:
            out["@odata.count"] = len(rows) + (1 if fault and fault["mode"] == "total" else 0)
        if after is not None:
            host = "https://graph.evil.example" if fault and fault["mode"] == "foreign" else self.base
            out["@odata.nextLink"] = f"{host}/graph/{path}?$top={args.get('$top', 100)}&$skiptoken={after}"
        return json_answer(out)

    def graph_rows(self, parts):
        if parts[1] == "users":
            return [{"id": p.id, "displayName": p.name, "mail": p.email, "userPrincipalName": p.email,
                     "accountEnabled": p.state == "active", "userType": "Guest" if p.guest else "Member",
                     "proxyAddresses": [f"SMTP:{p.email}", *(f"smtp:{a}" for a in p.aliases)]}
                    for p in self.company.people.values() if p.state != "gone"]
        if len(parts) == 2:
            return [{"id": g.id, "displayName": g.name} for g in self.company.groups.values()]
        group = self.company.groups[parts[2]]
        return [{"@odata.type": "#microsoft.graph.user", "id": m} for m in group.members] + \
            [{"@odata.type": "#microsoft.graph.group", "id": c} for c in group.groups] + \
            [{"@odata.type": "#microsoft.graph.device", "id": o} for o in group.outside]

    # Okta

    def serve_okta(self, req, path, fault):
        if path == "oauth2/v1/token":
            return self.okta_token(req)
        if not self.holds_token(req):
            raise okta_error(401, "E0000011", "Invalid token provided")
        args, parts = req.args(), path.split("/")
        if parts[:2] != ["api", "v1"]:
            raise okta_error(404, "E0000022", "The endpoint does not support the provided HTTP method")
        rows, most = self.okta_rows(parts[2:], args)
        asked = int(args.get("limit", most))
        if not 1 <= asked <= most:
            raise okta_error(400, "E0000001", f"Api validation failed: limit (at most {most})")
        page, after = self.slice(rows, int(args.get("after", 0)), asked, fault)
        here = f"{self.base}/okta/{path}?limit={asked}" + (f"&filter={quote(args['filter'])}" if "filter" in args else "")
        headers = [("Link", f'<{here}>; rel="self"')]
        if after is not None:
            there = here.replace(self.base, "https://okta.evil.example") if fault and fault["mode"] == "foreign" else here
            headers.append(("Link", f'<{there}&after={after}>; rel="next"'))
        return json_answer(page, headers=headers)

    def okta_rows(self, parts, args):
        gone = args.get("filter") == 'status eq "DEPROVISIONED"'
        if parts == ["users"]:
            return [self.okta_user(p) for p in self.company.people.values() if (p.state == "gone") == gone], 200
        if parts == ["groups"]:
            return [{"id": g.id, "type": "OKTA_GROUP", "profile": {"name": g.name}}
                    for g in self.company.groups.values()], 10000
        if len(parts) == 3 and parts[0] == "groups" and parts[2] == "users":
            if parts[1] not in self.company.groups:
                raise okta_error(404, "E0000007", f"Not found: Resource not found: {parts[1]} (UserGroup)")
            return [self.okta_user(self.company.people[m]) for m in self.company.groups[parts[1]].members], 1000
        raise okta_error(404, "E0000007", "Not found")

    @staticmethod
    def okta_user(p):
        first, _, last = p.name.partition(" ")
        return {"id": p.id, "status": {"active": "ACTIVE", "suspended": "SUSPENDED", "gone": "DEPROVISIONED"}[p.state],
                "profile": {"login": p.email, "email": p.email, "firstName": first, "lastName": last}}

    # SCIM

    def serve_scim(self, req, path, fault):
        if req.headers.get("authorization") != f"Bearer {self.bearer}":
            raise scim_error(401, "Authentication failed")
        args = req.args()
        rows = self.scim_rows(path)
        mode = fault["mode"] if fault else None
        total = len(rows) + (1 if mode == "total" else 0)
        out = {"schemas": [LIST_RESPONSE], "totalResults": 0 if mode == "empty" else total}
        if "cursor" in args:
            page, after = self.slice(rows, int(args["cursor"] or 0), int(args.get("count", 100)), fault)
            if after is not None:
                out["nextCursor"] = str(after)
        else:
            start = int(args.get("startIndex", 1))
            if start < 1:
                raise scim_error(400, "startIndex is counted from 1")
            page, _ = self.slice(rows, start - 1, int(args.get("count", 100)), fault)
            if mode == "short":
                page = []
            out.update(startIndex=start, itemsPerPage=len(page))
        if page:
            out["Resources"] = page
        return answer(200, json.dumps(out), "application/scim+json")

    def scim_rows(self, path):
        if path == "Users":
            return [{"id": p.id, "userName": p.email, "displayName": p.name, "active": p.state == "active",
                     "emails": [{"value": p.email, "primary": True}, *({"value": a} for a in p.aliases)]}
                    for p in self.company.people.values() if p.state != "gone"]
        if path == "Groups":
            return [{"id": g.id, "displayName": g.name,
                     "members": [{"value": m, "type": "User"} for m in g.members]
                     + [{"value": c, "type": "Group"} for c in g.groups]} for g in self.company.groups.values()]
        raise scim_error(404, "Resource not found")

    # Slack

    def serve_slack(self, req, path, fault):
        if req.headers.get("authorization") != f"Bearer {self.slack_token}":
            return json_answer({"ok": False, "error": "invalid_auth"})
        args = req.args()
        if path == "auth.test":
            return json_answer({"ok": True, "team_id": self.team, "team": "home", "user": "opsd"})
        if path == "users.list":
            rows = [{"id": p.id, "team_id": "T0OTHER" if p.guest else self.team, "deleted": p.state == "gone",
                     "is_email_confirmed": True, "is_restricted": False,
                     "profile": {"email": p.email, "real_name": p.name}} for p in self.company.people.values()]
            page, after = self.slice(rows, int(args.get("cursor") or 0), int(args.get("limit", 100)), fault)
            return json_answer({"ok": True, "members": page,
                                "response_metadata": {"next_cursor": "" if after is None else str(after)}})
        if path == "usergroups.list":
            rows = [{"id": g.id, "handle": g.name.partition("@")[0], "date_delete": 0, "users": g.members,
                     "user_count": len(g.members) + (1 if fault and fault["mode"] == "total" else 0)}
                    for g in self.company.groups.values()]
            return json_answer({"ok": True, "usergroups": [] if fault and fault["mode"] == "empty" else rows})
        return json_answer({"ok": False, "error": "unknown_method"})

    # A document

    def serve_document(self, req, path, fault):
        mode = fault["mode"] if fault else None
        if path.endswith(".csv"):
            body, kind = self.company.csv(self.generated_at), "text/csv"
        elif path.endswith(".json"):
            body, kind = json.dumps(self.company.document(self.generated_at)), "application/json"
        else:
            body, kind = yaml.safe_dump(self.company.document(self.generated_at)), "application/yaml"
        body = body.encode()
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        self.requests.append(f"GET {req.path} {req.headers.get('if-none-match', '-')}")
        if req.headers.get("if-none-match") == etag and not fault:
            return answer(304, b"", None, [("ETag", etag)])
        if mode == "short":
            body = body[:len(body) * 2 // 3]
        return answer(200, body, kind, [("ETag", etag)])
