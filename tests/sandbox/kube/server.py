# SPDX-License-Identifier: Apache-2.0
"""The Kubernetes stand-in: routing, faults, the record of requests. Start it in a running asyncio loop."""

import asyncio
import json
import time
from collections import Counter, deque
from urllib.parse import parse_qsl, unquote

from ports import free_port

from ..slack.wire import Conn
from . import seed, status, views
from .access import Access, User, service_user
from .api import Api, read_body
from .behave import Behave
from .control import Control
from .faults import Faults
from .kinds import POD, QUOTA, find
from .logs import Logs
from .patch import merge
from .status import TRUE, Failure, answer, dumps
from .store import Store

TOKEN = "sandbox-kube-token"
SETTINGS = {
    "observe_ms": 20,           # until a controller has seen a change
    "step_ms": 150,             # of a rollout: pods of one step become ready
    "workloads": "full",        # full: replica sets and pods; instant: the status only, at once; off: nothing moves
    "pods_max": 200,            # pods of a workload that exist as objects
    "hpa_ms": 1000,             # between two looks of an autoscaler (15 s in a real cluster)
    "argo_ms": 5000,            # until Argo CD heals
    "argo_prune": False,        # healing also removes annotations of the pod template that Git does not have
    "job_start_ms": 50, "job_run_ms": 500, "job_finish_ms": 20, "job_lines": 5,
    "bookmark_ms": 60000, "watch_timeout": 1800.0,
    "record": True, "latency_ms": 0,
    "version": "v1.36.3",
}
KEPT = 2000
KEPT_BODY = 64 << 10
HEADERS = ("accept", "content-type", "user-agent", "audit-id", "impersonate-user", "impersonate-group", "impersonate-uid",
           "impersonate-extra-slack-user", "if-match")
VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class KubeStandin:
    """`settings` are those of SETTINGS; `objects` replaces the sandbox's own objects."""

    def __init__(self, token=TOKEN, objects=None, **settings):
        self.token = token
        self.settings = dict(SETTINGS)
        self.change_settings(settings)
        self.seed = objects
        self.conns, self.tasks, self.open_watches = set(), set(), set()
        self.server = self.control_server = None
        self.base_url = self.control_url = ""
        self.access = Access({token: service_user(),
                              "sandbox-admin-token": User("admin", "admin", ["system:masters"], True)})
        self.faults = Faults()
        self.api = Api(self)
        self.control = Control(self)
        self.requests = deque(maxlen=KEPT)
        self.waiters = set()
        self.paths = {}
        self.behave = None

    def fill(self):
        """Fresh objects, faults and records; listening and tokens stay."""
        if self.behave:
            self.behave.stop()
        for watch in list(self.open_watches):
            watch.abort()
        self.removed = set()            # kinds that this cluster does not have
        self.mutations, self.policies = [], []
        self.stuck = {}                 # (ns, name) -> {"reason", "message"}
        self.store = Store(self.changed)
        self.logs = Logs()
        self.behave = Behave(self)
        self.faults.clear()
        self.faults.struck.clear()
        self.requests.clear()
        self.counts = Counter()
        self.number = 0
        seed.fill(self, self.seed)

    def change_settings(self, wishes):
        for name, value in wishes.items():
            if name not in SETTINGS:
                raise ValueError(f"unknown setting {name!r}; known: {', '.join(SETTINGS)}")
            self.settings[name] = value

    # Life

    async def start(self, host="127.0.0.1", port=0, tls=None):
        self.fill()
        self.host, self.port, self.tls = host, port or free_port(), tls
        loop = asyncio.get_running_loop()
        self.control_server = await loop.create_server(lambda: Conn(self), host, 0)
        self.control_url = f"http://{host}:{self.control_server.sockets[0].getsockname()[1]}"
        await self.listen()
        return self

    async def listen(self):
        """Listen (again) on the port of the API."""
        if self.server is None:
            loop = asyncio.get_running_loop()
            self.server = await loop.create_server(lambda: Conn(self), self.host, self.port, ssl=self.tls,
                                                   backlog=1024)
            self.port = self.server.sockets[0].getsockname()[1]
            self.base_url = f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"

    def refuse(self):
        """Stop listening and cut what is open: connections are refused until listen()."""
        if self.server:
            self.server.close()
            self.server = None
        for conn in list(self.conns):
            if conn.transport.get_extra_info("sockname")[1] == self.port:
                conn.transport.abort()

    async def stop(self):
        self.behave.stop()
        self.refuse()
        self.control_server.close()
        for conn in list(self.conns):
            conn.transport.abort()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.sleep(0)

    def kubeconfig(self, token=None, token_file=None, ca_file=None, server=None):
        """A kubeconfig for the service, as a dict."""
        cluster = {"server": server or self.base_url}
        if ca_file:
            cluster["certificate-authority"] = str(ca_file)
        user = {"tokenFile": str(token_file)} if token_file else {"token": token or self.token}
        return {"apiVersion": "v1", "kind": "Config", "current-context": "main",
                "clusters": [{"name": "main", "cluster": cluster}], "users": [{"name": "opsd", "user": user}],
                "contexts": [{"name": "main", "context": {"cluster": "main", "user": "opsd"}}]}

    def background(self, coroutine):
        task = asyncio.ensure_future(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def changed(self, event):
        self.behave.on_change(event)
        if self.waiters:
            self.wake()

    def wake(self):
        for event in list(self.waiters):
            event.set()

    def admit(self, verb, kind, obj, old):
        """What admission adds to an object that is about to be stored, or refuses."""
        for policy in self.policies:
            if policy.get("kind") in (None, kind.kind) and policy.get("ns") in (None, obj["metadata"].get("namespace")):
                raise status.forbidden_because(kind, obj["metadata"]["name"], policy["message"])
        for change in self.mutations:
            if change.get("kind") in (None, kind.kind) and change.get("ns") in (None, obj["metadata"].get("namespace")):
                obj.update(merge(obj, change["patch"]))
        if verb == "CREATE" and kind.namespaced:
            self.heed_quotas(kind, obj["metadata"])

    def heed_quotas(self, kind, meta):
        """"count/jobs.batch": how many objects of a kind there may be."""
        key = f"count/{kind.plural}" + (f".{kind.group}" if kind.group else "")
        for quota in self.store.objects(QUOTA, meta["namespace"]):
            limit = ((quota.get("spec") or {}).get("hard") or {}).get(key)
            used = len(self.store.objects(kind, meta["namespace"])) if limit is not None else 0
            if limit is not None and used >= int(limit):
                raise status.forbidden_because(kind, meta["name"], f"exceeded quota: {quota['metadata']['name']}, requested: "
                                               f"{key}=1, used: {key}={used}, limited: {key}={limit}")

    # Requests

    def handle(self, req):
        path = req.path
        if path.startswith("/_/"):
            return self.control.handle(req, path[3:])
        if path in ("/readyz", "/livez", "/healthz"):
            return answer(200, "ok", "text/plain; charset=utf-8")
        if path == "/version":
            return answer(200, dumps(version(self.settings["version"])))
        target = self.paths.get(path)
        if target is None:
            target = find([unquote(p) for p in path[1:].split("/")], self.removed)
            if len(self.paths) > 5000:
                self.paths.clear()
            self.paths[path] = target
        args = dict(parse_qsl(req.query, keep_blank_values=True)) if req.query else {}
        about = self.about(req, target, args)
        fault = self.faults.take(about) if self.faults.active else None
        self.counts[about["verb"], about["resource"]] += 1
        if fault is None and not self.settings["latency_ms"]:
            out = self.serve(req, target, args, about, None)
            self.record(req, about, args, out)
            return out
        return self.broken(req, target, args, about, fault)

    def about(self, req, target, args):
        """How rules speak of a request."""
        verb = VERBS.get(req.method, "get")
        about = {"verb": verb, "resource": "", "ns": "", "name": "", "path": req.path, "method": req.method,
                 "dry_run": args.get("dryRun") == "All"}
        if type(target) is not str:
            if target.review:
                about["resource"] = target.review
                return about
            about["resource"] = f"{target.kind.plural}/{target.sub}" if target.sub else target.kind.plural
            about["ns"], about["name"] = target.ns, target.name
            if not target.name:
                if verb == "get":
                    about["verb"] = "watch" if args.get("watch") in TRUE else "list"
                elif verb == "delete":
                    about["verb"] = "deletecollection"
        return about

    def record(self, req, about, args, out):
        self.number += 1
        if not self.settings["record"]:
            return
        body = req.body
        if body:
            try:
                body = json.loads(body) if len(body) <= KEPT_BODY else f"{len(body)} bytes"
            except ValueError:
                body = body.decode("utf-8", "replace")
        code = int(out[9:12]) if type(out) is bytes and out else None
        self.requests.append({
            "n": self.number, "at": time.time(), **about, "query": args, "body": body or None, "status": code,
            "headers": {h: req.headers[h] for h in HEADERS if h in req.headers},
            "impersonated": req.headers.get("impersonate-user")})
        if self.waiters:
            self.wake()

    def serve(self, req, target, args, about, fault):
        """Authenticate, authorize, do. Bytes, or None when a stream has taken the connection."""
        try:
            out = self.act(req, target, args, about, fault)
        except Failure as e:
            out = e.answer()
        except Exception as e:                              # the stand-in's own mistake
            self.counts["mistake", repr(e)] += 1
            out = Failure(500, "InternalError", f"Internal error occurred: stand-in: {e!r}").answer()
            import traceback
            traceback.print_exc()
        audit = req.headers.get("audit-id")
        if audit and out:
            head, _, rest = out.partition(b"\r\n")
            out = head + b"\r\nAudit-Id: " + audit.encode("latin-1") + b"\r\n" + rest
        return out

    def act(self, req, target, args, about, fault):
        authorization = req.headers.get("authorization")
        if authorization is None:
            user = User("system:anonymous", "", ["system:unauthenticated"])
        else:
            user = self.access.user(authorization)
            if user is None:
                raise status.unauthorized()
        user = self.speaker(req, target, about, user)
        if fault and fault.mode not in ("watch", "log"):
            self.refusal(fault, target, user, about)
        form = views.form_of(req.headers.get("accept", ""))
        if type(target) is str:
            return self.discover(req, target, form)
        if form == views.REFUSED:
            raise status.not_acceptable()
        if target.review:
            if req.method != "POST":
                raise status.no_method()
            return answer(201, dumps(self.access.review(target.review, user, read_body(req, target.review))))
        kind = target.kind
        if not self.access.may(user, about["verb"], kind.group, about["resource"], target.ns, target.name):
            raise status.forbidden(user.name, about["verb"], kind, target.sub, target.ns, target.name)
        if target.sub and target.sub not in kind.subs:
            raise status.not_found(kind, target.name)
        return self.verb(req, target, args, about["verb"], form, fault)

    def speaker(self, req, target, about, user):
        """Who a request speaks for."""
        name, groups = req.headers.get("impersonate-user"), req.headers.get("impersonate-group")
        if name is None and groups is None:
            return user
        groups = [g.strip() for g in groups.split(",")] if groups else []
        if name is None:
            shown = ", ".join(f'"{g}"' for g in groups)
            raise status.bad_request(f'requested &user.DefaultInfo{{Name:"", UID:"", Groups:[]string{{{shown}}}, '
                                     "Extra:map[string][]string(nil)} without impersonating a user name")
        may = self.access.may(user, "impersonate", "", "users") and \
            (not groups or self.access.may(user, "impersonate", "", "groups"))
        if not may and (type(target) is str or target.review):
            raise Failure(403, "Forbidden", f'users "{name}" is forbidden: User "{user.name}" cannot impersonate '
                          'resource "users" in API group "" at the cluster scope', {"name": name, "kind": "users"})
        if not may:                     # as a server with constrained impersonation says it
            raise status.forbidden(user.name, f"impersonate-on:user-info:{about['verb']}", target.kind, target.sub,
                                   target.ns, target.name)
        return User(name, "", groups, rules=self.access.rules_of(name, groups))

    def verb(self, req, target, args, verb, form, fault):
        api = self.api
        if target.sub == "log":
            if verb != "get":
                raise status.no_method()
            pod = self.store.item(POD, target.ns, target.name).obj
            return self.logs.answer(req, pod, target.ns, target.name, args, fault)
        if verb == "get":
            return api.get(target, form, args)
        if verb == "list":
            return api.list(target, args, form)
        if verb == "watch":
            return api.watch(req, target, args, form, fault)
        if verb == "patch" and target.name:
            return api.patch(req, target, args)
        if verb == "update" and target.name:
            return api.update(req, target, args)
        if target.sub == "eviction":
            if verb != "create":
                raise status.no_method()
            return api.evict(req, target, args)
        if verb == "create" and not target.name and (target.ns or not target.kind.namespaced):
            return api.create(req, target, args)
        if verb == "delete" and not target.sub:
            return api.delete(req, target, args)
        if verb == "deletecollection" and target.ns:
            return api.delete_collection(target, args)
        raise status.no_method()

    def discover(self, req, target, form):
        parts = req.path.strip("/").split("/")
        if req.method == "GET" and parts in (["api"], ["apis"]):
            core = parts == ["api"]
            if form.startswith("discovery "):
                v = form.split()[1]
                return answer(200, views.aggregated(core, self.removed, v), "application/json;"
                              f"g=apidiscovery.k8s.io;v={v};as=APIGroupDiscoveryList")
            if core:
                return answer(200, dumps({"kind": "APIVersions", "versions": ["v1"]}))
            return answer(200, views.groups(self.removed))
        found = None
        if req.method == "GET" and parts[0] == "api" and len(parts) == 2:
            found = views.resources("", parts[1], self.removed)
        elif req.method == "GET" and parts[0] == "apis" and len(parts) == 3:
            found = views.resources(parts[1], parts[2], self.removed)
        if found:
            return answer(200, found)
        if target == "resource":
            raise status.no_resource()
        return status.no_path()

    # Faults

    def refusal(self, fault, target, user, about):
        """Faults that are an answer of the server itself."""
        kind = None if type(target) is str else target.kind
        mode, get = fault.mode, fault.get
        if mode == "unauthorized":
            raise status.unauthorized()
        if kind is not None and mode == "forbidden":
            raise status.forbidden(user.name, about["verb"], kind, target.sub, target.ns, target.name)
        if kind is not None and mode == "conflict":
            raise status.modified(kind, target.name)
        if kind is not None and mode == "missing":
            raise status.not_found(kind, target.name)
        retry = (("Retry-After", str(get("retry_after"))),) if get("retry_after") is not None else ()
        if mode == "status":
            raise Failure(get("code", 500), get("reason", "InternalError"),
                          get("message", "Internal error occurred: etcdserver: request timed out"),
                          get("details"), retry)
        if mode == "webhook_denied":
            raise Failure(get("code", 400), get("reason", "BadRequest"),
                          f'admission webhook "{get("webhook", "policy.example.com")}" denied the request: '
                          f'{get("message", "not during the freeze")}')
        if mode == "webhook_down":
            raise Failure(500, "InternalError", 'Internal error occurred: failed calling webhook '
                          '"policy.example.com": failed to call webhook: Post '
                          '"https://policy.policy.svc:443/validate?timeout=10s": dial tcp 10.0.0.7:443: connect: '
                          'connection refused', {"causes": [{"message": "failed calling webhook"}]})

    async def broken(self, req, target, args, about, fault):
        mode = fault.mode if fault else "delay"
        get = fault.get if fault else {}.get
        wait = get("ms", 0) if mode == "delay" else 0
        wait += self.settings["latency_ms"]
        if wait:
            await asyncio.sleep(wait / 1000)
        if mode == "hold":
            await fault.cleared.wait()
        conn = req.conn
        if mode in ("hang", "close", "throttle", "shutdown", "raw", "html", "garbage", "huge") or \
                (mode in ("server_timeout", "timeout") and not get("applied")):
            out = canned(mode, get)
        else:
            out = self.serve(req, target, args, about, fault)
            if mode in ("server_timeout", "timeout"):
                out = canned(mode, get)
        self.record(req, about, args, out)
        if mode in ("close", "close_after"):
            conn.transport.abort()
            return None
        if mode in ("hang", "hang_after"):
            return None
        if mode == "truncate" and out:
            conn.transport.write(out[:(out.index(b"\r\n\r\n") + 4 + len(out)) // 2])
            conn.transport.close()
            return None
        if mode == "shutdown":
            conn.transport.write(out)
            conn.transport.close()
            return None
        return out


def canned(mode, get):
    """The answer of a fault that does not depend on the request."""
    if mode == "throttle":
        return status.too_many_requests(get("retry_after", 1))
    if mode == "shutdown":
        return status.shutting_down()
    if mode == "raw":
        return answer(get("code", 500), get("body", ""), get("ctype", "text/plain"),
                      (("Retry-After", get("retry_after")),) if get("retry_after") is not None else ())
    if mode == "html":
        code = get("code", 502)
        return answer(code, f"<html>\r\n<head><title>{code} Bad Gateway</title></head>\r\n<body>\r\n<center><h1>{code} "
                      "Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n", "text/html")
    if mode == "garbage":
        return answer(200, '{"kind":"Deployment","spec":')
    if mode == "huge":
        size = get("bytes", 64 << 20)
        return answer(200, b'{"kind":"ConfigMap","data":{"x":"' + b"x" * size + b'"}}')
    if mode == "server_timeout":
        return Failure(500, "ServerTimeout", "The patch operation against deployments.apps could not be completed at "
                       "this time, please try again.", {"group": "apps", "kind": "deployments"}).answer()
    if mode == "timeout":
        return Failure(504, "Timeout", "Timeout: request did not complete within the allotted timeout", {}).answer()
    return b""


def version(text):
    major, minor = text.lstrip("v").split(".")[:2]
    return {"major": major, "minor": minor, "gitVersion": text, "gitCommit": "0" * 40, "gitTreeState": "clean",
            "buildDate": "2026-01-01T00:00:00Z", "goVersion": "go1.24.5", "compiler": "gc", "platform": "linux/amd64"}

