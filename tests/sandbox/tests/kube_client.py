# SPDX-License-Identifier: Apache-2.0
"""A plain client of the Kubernetes API for the stand-in's tests."""

import http.client
import json
import ssl
from urllib.parse import urlencode, urlsplit

MERGE, JSON_PATCH = "application/merge-patch+json", "application/json-patch+json"
STRATEGIC, APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
APPS, CORE, BATCH = "/apis/apps/v1/namespaces/", "/api/v1/namespaces/", "/apis/batch/v1/namespaces/"


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def type(self):
        return self.headers.get("content-type")


class Stream:
    """An answer that goes on: `line()` gives the next line as text."""

    def __init__(self, conn, response):
        self.conn, self.response = conn, response

    def line(self):
        return self.response.readline()

    def event(self):
        line = self.line()
        return json.loads(line) if line else None

    def close(self):
        self.conn.close()


class Client:
    def __init__(self, base_url, token, cafile=None):
        self.url, self.token = urlsplit(base_url), token
        self.tls = ssl.create_default_context(cafile=cafile) if cafile else None

    def open(self, timeout=60):
        if self.tls:
            return http.client.HTTPSConnection(self.url.netloc, timeout=timeout, context=self.tls)
        return http.client.HTTPConnection(self.url.netloc, timeout=timeout)

    def headers(self, more):
        out = {"Accept": "application/json", "User-Agent": "opsd/0.1 (linux/amd64)"}
        if self.token:
            out["Authorization"] = "Bearer " + self.token
        return {**out, **more}

    def __call__(self, method, path, body=None, ctype="application/json", headers=None, timeout=60, **query):
        conn = self.open(timeout)
        try:
            if query:
                path += "?" + urlencode(query)
            if body is not None and not isinstance(body, (str, bytes)):
                body = json.dumps(body)
            more = {**({"Content-Type": ctype} if body is not None else {}), **(headers or {})}
            conn.request(method, path, body, self.headers(more))
            response = conn.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            conn.close()

    def get(self, path, **query):
        return self("GET", path, **query)

    def patch(self, path, body, ctype=MERGE, **query):
        return self("PATCH", path, body, ctype, **query)

    def stream(self, path, **query):
        conn = self.open()
        conn.request("GET", path + ("?" + urlencode(query) if query else ""), headers=self.headers({}))
        response = conn.getresponse()
        assert response.status == 200, response.read()
        return Stream(conn, response)
