# SPDX-License-Identifier: Apache-2.0
"""Status answers of the Kubernetes API, word for word, and the bytes of an HTTP answer."""

from http import HTTPStatus
from json import dumps as json_dumps

REASONS = {s.value: s.phrase for s in HTTPStatus}
JSON_TYPE = "application/json"
TRUE = ("1", "t", "T", "true", "TRUE", "True")          # in a query, as Go reads them


def dumps(value):
    return json_dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def answer(status, body=b"", ctype=JSON_TYPE, headers=()):
    if type(body) is str:
        body = body.encode()
    more = "".join(f"{k}: {v}\r\n" for k, v in headers)
    return (f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}\r\nContent-Type: {ctype}\r\n"
            f"Content-Length: {len(body)}\r\n{more}\r\n").encode("latin-1") + body


class Failure(Exception):
    """A refusal; becomes a Status."""

    def __init__(self, code, reason, message, details=None, headers=()):
        super().__init__(message)
        self.code, self.reason, self.message, self.headers = code, reason, message, headers
        self.details = details

    def status(self):
        body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message}
        if self.reason:
            body["reason"] = self.reason
        if self.details is not None:
            body["details"] = self.details
        body["code"] = self.code
        return body

    def answer(self):
        return answer(self.code, dumps(self.status()), headers=self.headers)


def dotted(kind):
    """deployments.apps, or configmaps of the core group."""
    return f"{kind.plural}.{kind.group}" if kind.group else kind.plural


def kind_dotted(kind):
    return f"{kind.kind}.{kind.group}" if kind.group else kind.kind


def details(kind, name="", uid=None, causes=None, retry=None, by_kind=False):
    out = {}
    if name:
        out["name"] = name
    if kind.group:
        out["group"] = kind.group
    out["kind"] = kind.kind if by_kind else kind.plural
    if uid:
        out["uid"] = uid
    if causes:
        out["causes"] = causes
    if retry:
        out["retryAfterSeconds"] = retry
    return out


def bad_request(message):
    return Failure(400, "BadRequest", message)


def unauthorized():
    return Failure(401, "Unauthorized", "Unauthorized")


def forbidden(user, verb, kind, sub="", ns="", name=""):
    resource = f"{kind.plural}/{sub}" if sub else kind.plural
    where = f'in the namespace "{ns}"' if ns else "at the cluster scope"
    subject = f'{dotted(kind)} "{name}"' if name else dotted(kind)
    return Failure(403, "Forbidden", f'{subject} is forbidden: User "{user}" cannot {verb} resource "{resource}" in '
                   f'API group "{kind.group}" {where}', details(kind, name))


def forbidden_because(kind, name, why):
    return Failure(403, "Forbidden", f'{dotted(kind)} "{name}" is forbidden: {why}', details(kind, name))


def not_found(kind, name):
    return Failure(404, "NotFound", f'{dotted(kind)} "{name}" not found', details(kind, name))


def no_resource():
    return Failure(404, "NotFound", "the server could not find the requested resource", {})


def no_path():
    """A path of no API that is served here: plain text, as the server's last handler writes it."""
    return answer(404, "404 page not found\n", "text/plain; charset=utf-8", (("X-Content-Type-Options", "nosniff"),))


def no_method():
    return Failure(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})


def not_acceptable():
    return Failure(406, "NotAcceptable", "406: Not Acceptable\n\nAvailable representations: application/json, "
                   "application/yaml, application/vnd.kubernetes.protobuf", {})


def unsupported_media_type(accepted):
    return Failure(415, "UnsupportedMediaType", "the body of the request was in an unknown format - accepted media "
                   f"types include: {', '.join(accepted)}")


def unsupported_patch_type():
    return Failure(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})


def not_json(error):
    """What Go's decoder says of a text that Python's could not read."""
    if error.pos >= len(error.doc.rstrip()):
        return "unexpected end of JSON input"
    return f"invalid character {quoted(error.doc[error.pos])} looking for beginning of value"


def quoted(char):
    """A character as Go's %q writes it."""
    return f"'{char}'" if char.isprintable() else f"'\\u{ord(char):04x}'"


def exists(kind, name):
    return Failure(409, "AlreadyExists", f'{dotted(kind)} "{name}" already exists', details(kind, name))


def conflict(kind, name, why, causes=None, sub=""):
    shown = details(kind, name, causes=causes)
    resource = dotted(kind)
    if sub:
        shown["kind"] += "/" + sub
        resource = resource.replace(kind.plural, f"{kind.plural}/{sub}", 1)
    return Failure(409, "Conflict", f'Operation cannot be fulfilled on {resource} "{name}": {why}', shown)


def modified(kind, name):
    return conflict(kind, name, "the object has been modified; please apply your changes to the latest version and "
                    "try again")


def unmet(kind, name, what, wanted, have):
    """A precondition of a DELETE; here the server names the kind and not the resource."""
    short, end = {"uid": ("UID", "deleted and then recreated"), "resourceVersion": ("ResourceVersion", "modified")}[what]
    return Failure(409, "Conflict", f'Operation cannot be fulfilled on {kind_dotted(kind)} "{name}": the {short} in the '
                   f"precondition ({wanted}) does not match the {short} in record ({have}). The object might have been "
                   f"{end}", details(kind, name, by_kind=True))


def uid_differs(kind, name, wanted, have, sub=""):
    return conflict(kind, name, f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {have}",
                    sub=sub)


def apply_conflict(kind, causes):
    what = f"conflict{'s' if len(causes) > 1 else ''}"
    managers = {}
    for cause in causes:
        managers.setdefault(cause["message"].partition("conflict with ")[2], []).append(cause["field"])
    if len(causes) == 1:
        text = f'Apply failed with 1 {what}: {causes[0]["message"]}: {causes[0]["field"]}'
    else:
        text = f"Apply failed with {len(causes)} {what}: " + "\n".join(
            f"conflicts with {who}:\n" + "\n".join(f"- {f}" for f in fields) for who, fields in managers.items())
    return Failure(409, "Conflict", text, {"causes": causes})


def expired(message):
    return Failure(410, "Expired", message)


def too_large():
    return Failure(413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728")


def cause(reason, field, message):
    return {"reason": reason, "message": message, "field": field}


def invalid(kind, name, causes, called=None):
    """causes: [cause()].  kind None: the errors that name no kind at all (a patch that cannot be decoded); called: where
    the server says the resource instead of the kind."""
    texts = list(dict.fromkeys(f"{c['field']}: {c['message']}" for c in causes))      # each once, unlike the causes
    joined = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    shown = {"causes": causes} if kind is None else details(kind, name, causes=causes, by_kind=True)
    who = kind_dotted(kind) if kind else ""
    if called:
        shown["kind"], who = called, who.replace(kind.kind, called, 1)
    return Failure(422, "Invalid", f'{who} "{name}" is invalid: {joined}', shown)


def invalid_options(options, field, reason, message):
    return Failure(422, "Invalid", f'{options}.meta.k8s.io "" is invalid: {field}: {message}',
                   {"group": "meta.k8s.io", "kind": options, "causes": [cause(reason, field, message)]})


def patch_not_applied():
    """A JSON Patch that is well formed and cannot be applied: the cluster says no more than this."""
    return Failure(422, "Invalid", "the server rejected our request due to an error in our request", {})


def version_too_large(wanted, current):
    return Failure(504, "Timeout", f"Too large resource version: {wanted}, current: {current}", {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1}, (("Retry-After", "1"),))


def too_many_requests(retry_after=1):
    return answer(429, "Too many requests, please try again later.\n", "text/plain; charset=utf-8",
                  (("Retry-After", retry_after), ("X-Content-Type-Options", "nosniff")))


def shutting_down():
    return answer(429, "The apiserver is shutting down, please try again later.\n", "text/plain; charset=utf-8",
                  (("Retry-After", 5), ("Connection", "close"), ("X-Content-Type-Options", "nosniff")))
