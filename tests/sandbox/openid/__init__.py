# SPDX-License-Identifier: Apache-2.0
"""A stand-in for an OpenID provider with the device authorization grant (RFC 8628).

    provider = await OpenidStandin().start(tls=None)
    provider.issuer, provider.client_id, provider.client_secret
    provider.approve(code, "p-ana")   provider.decline(code)   provider.fault(mode, times=1, at="token")

Strict: form bodies only, the client's secret each time, no second use of a device code, no poll within the interval.
What it was sent against the protocol is in `violations`."""

import asyncio
import base64
import json
import secrets
import string
import time

from aiohttp import web
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
SCOPES = {"openid", "email", "profile"}
# What `fault` spoils: an answer (at="discovery", "device", "token", "keys"), or the token.
MODES = {
    "status": "an error of `code`",
    "html": "200 with an HTML page",
    "garbage": "200 with half of a document",
    "hang": "never answers",
    "slow_down": "token: slow_down",
    "error": "token: `error`, with status `code`",
    "claims": "the token says `claims` instead",
    "alg": "the token is signed as `alg`: none, HS256 with the public key, ES256",
    "wrong_key": "the token is signed by another key under the same kid",
    "new_key": "the token is signed by a key that is published from now on",
    "own_key": "the token's header brings the key",
    "no_token": "no id_token in the answer",
    "elsewhere": "discovery: an endpoint at another host",
    "other_issuer": "discovery: another issuer",
}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(n):
    return b64(n.to_bytes((n.bit_length() + 7) // 8, "big"))


class Key:
    def __init__(self, kid, kind="RSA"):
        self.kid, self.kind = kid, kind
        self.private = rsa.generate_private_key(65537, 2048) if kind == "RSA" else ec.generate_private_key(ec.SECP256R1())

    def jwk(self):
        n = self.private.public_key().public_numbers()
        if self.kind == "RSA":
            return {"kty": "RSA", "kid": self.kid, "use": "sig", "alg": "RS256", "n": number(n.n), "e": number(n.e)}
        return {"kty": "EC", "kid": self.kid, "use": "sig", "crv": "P-256",
                "x": b64(n.x.to_bytes(32, "big")), "y": b64(n.y.to_bytes(32, "big"))}

    def sign(self, text):
        if self.kind == "RSA":
            return self.private.sign(text, padding.PKCS1v15(), hashes.SHA256())
        r, s = decode_dss_signature(self.private.sign(text, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def pem(self):
        return self.private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


class OpenidStandin:
    client_id, client_secret = "opsd-sandbox", "sandbox-secret"

    def __init__(self, interval=1, expires_in=300, google=False, key="RSA"):
        self.interval, self.expires_in, self.google = interval, expires_in, google
        self.key, self.keys = Key("k1", key), []
        self.keys = [self.key]
        self.flows, self.faults, self.violations, self.requests, self.tokens = {}, [], [], [], []

    async def start(self, tls=None):
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self.on_discovery)
        app.router.add_post("/device", self.on_device)
        app.router.add_post("/token", self.on_token)
        app.router.add_get("/keys", self.on_keys)
        self.runner = web.AppRunner(app)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        self.issuer = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        return self

    async def stop(self):
        await self.runner.cleanup()

    # What a person does in the browser

    def flow(self, code):
        return next(f for f in self.flows.values() if f["user_code"] == code)

    def approve(self, code, subject, **claims):
        self.flow(code).update(subject=subject, claims=claims)

    def decline(self, code):
        self.flow(code)["declined"] = True

    def expire(self, code):
        self.flow(code)["ends"] = 0

    def fault(self, mode, at="token", times=1, **more):
        assert mode in MODES, mode
        self.faults.append({"mode": mode, "at": at, "times": times, **more})

    def spoiled(self, at, *modes):
        for fault in self.faults:
            if fault["at"] == at and fault["times"] > 0 and fault["mode"] in modes:
                fault["times"] -= 1
                return fault
        return None

    # Endpoints

    async def common(self, at):
        fault = self.spoiled(at, "status", "html", "garbage", "hang")
        if fault is None:
            return None
        if fault["mode"] == "hang":
            await asyncio.sleep(3600)
        if fault["mode"] == "status":
            return web.Response(status=fault.get("code", 503), text="busy")
        return web.Response(text="<html>sign in</html>" if fault["mode"] == "html" else '{"issuer": "http',
                            content_type="text/html" if fault["mode"] == "html" else "application/json")

    async def on_discovery(self, request):
        self.requests.append("discovery")
        spoiled = await self.common("discovery")
        if spoiled is not None:
            return spoiled
        body = {"issuer": self.issuer, "device_authorization_endpoint": self.issuer + "/device",
                "token_endpoint": self.issuer + "/token", "jwks_uri": self.issuer + "/keys"}
        if self.spoiled("discovery", "elsewhere"):
            body["jwks_uri"] = "https://keys.evil.example/keys"
        if self.spoiled("discovery", "other_issuer"):
            body["issuer"] = "https://evil.example"
        return web.json_response(body)

    async def form(self, request):
        if request.content_type != "application/x-www-form-urlencoded":
            self.violations.append(f"{request.path}: content type {request.content_type}")
        return await request.post()

    async def on_device(self, request):
        self.requests.append("device")
        form = await self.form(request)
        spoiled = await self.common("device")
        if spoiled is not None:
            return spoiled
        if form.get("client_id") != self.client_id or form.get("client_secret") != self.client_secret:
            return web.json_response({"error": "invalid_client"}, status=401)
        if not set(form.get("scope", "").split()) <= SCOPES or "openid" not in form.get("scope", ""):
            return web.json_response({"error": "invalid_scope", "error_description": "Invalid device flow scope"}, status=400)
        device = secrets.token_urlsafe(24)
        code = "-".join("".join(secrets.choice(string.ascii_uppercase) for _ in range(4)) for _ in range(2))
        self.flows[device] = {"user_code": code, "ends": time.time() + self.expires_in, "asked": 0, "nonce": form.get("nonce")}
        uri = "verification_url" if self.google else "verification_uri"
        return web.json_response({"device_code": device, "user_code": code, uri: self.issuer + "/go",
                                  "expires_in": self.expires_in, "interval": self.interval})

    def refusal(self, error, status=400):
        # Google: 428 while it waits, 403 for the rest
        status = status if not self.google else 428 if error == "authorization_pending" else 403
        return web.json_response({"error": error}, status=status)

    async def on_token(self, request):
        self.requests.append("token")
        form = await self.form(request)
        spoiled = await self.common("token")
        if spoiled is not None:
            return spoiled
        fault = self.spoiled("token", "slow_down", "error")
        if fault:
            if fault["mode"] == "slow_down":
                for flow in self.flows.values():
                    flow["interval"] = flow.get("interval", self.interval) + 5
            return self.refusal("slow_down") if fault["mode"] == "slow_down" else \
                web.json_response({"error": fault["error"]}, status=fault.get("code", 400))
        if form.get("client_id") != self.client_id or form.get("client_secret") != self.client_secret:
            return web.json_response({"error": "invalid_client"}, status=401)
        flow = self.flows.get(form.get("device_code"))
        if form.get("grant_type") != GRANT or flow is None:
            return self.refusal("invalid_grant")
        now = time.time()
        if now - flow["asked"] < flow.get("interval", self.interval) - 0.2:
            self.violations.append(f"polled after {now - flow['asked']:.2f} s")
        flow["asked"] = now
        if now > flow["ends"]:
            return self.refusal("expired_token")
        if flow.get("declined"):
            return self.refusal("access_denied")
        if "subject" not in flow:
            return self.refusal("authorization_pending")
        del self.flows[form["device_code"]]
        body = {"access_token": secrets.token_urlsafe(16), "token_type": "Bearer", "expires_in": 3600}
        if not self.spoiled("token", "no_token"):
            body["id_token"] = self.token(flow)
            self.tokens.append(body["id_token"])
        return web.json_response(body)

    def token(self, flow):
        now = int(time.time())
        claims = {"iss": self.issuer, "sub": flow["subject"], "aud": self.client_id, "iat": now, "exp": now + 3600,
                  "auth_time": now - 30, "nonce": flow["nonce"], **flow["claims"]}
        fault = self.spoiled("token", "claims", "alg", "wrong_key", "new_key", "own_key")
        mode = fault["mode"] if fault else ""
        key, head = self.key, {"alg": "RS256" if self.key.kind == "RSA" else "ES256", "kid": self.key.kid, "typ": "JWT"}
        if mode == "claims":
            claims.update(fault["claims"])
            claims = {k: v for k, v in claims.items() if v is not None}
        elif mode == "wrong_key":
            key = Key(self.key.kid, self.key.kind)
        elif mode == "new_key":
            key = Key(f"k{len(self.keys) + 1}", self.key.kind)
            self.keys.append(key)
            head["kid"] = key.kid
        elif mode == "own_key":
            key = Key("mine", "RSA")
            head.update(kid="mine", jwk=key.jwk())
        elif mode == "alg":
            head["alg"] = fault["alg"]
        text = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(claims).encode())}".encode()
        if mode == "alg" and fault["alg"] == "none":
            return text.decode() + "."
        if mode == "alg" and fault["alg"] == "HS256":
            mac = hmac.HMAC(key.pem(), hashes.SHA256())
            mac.update(text)
            return f"{text.decode()}.{b64(mac.finalize())}"
        return f"{text.decode()}.{b64(key.sign(text))}"

    async def on_keys(self, request):
        self.requests.append("keys")
        spoiled = await self.common("keys")
        if spoiled is not None:
            return spoiled
        return web.json_response({"keys": [k.jwk() for k in self.keys]}, headers={"Cache-Control": "max-age=3600"})
