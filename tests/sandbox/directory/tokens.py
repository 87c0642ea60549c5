# SPDX-License-Identifier: Apache-2.0
"""How a client of a directory comes by its bearer token, as the vendors have it: signatures, certificates, times, audiences
and identifiers are looked at, and what is wrong is refused in their words.

    google  "key": a JWT signed with the account's key; "metadata", "federated": by signJwt of IAM Credentials, for who the
            machine is, or for a token of the cluster that the Security Token Service exchanges
    graph   "client_secret"; "certificate": a JWT signed with its key (PS256); "federated_token": a token of the cluster
    okta    private_key_jwt"""

import base64
import datetime
import hashlib
import json
import secrets
import time
from urllib.parse import parse_qsl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from ..slack.wire import answer, json_answer

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CLIENT_JWT = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
GOOGLE_SCOPES = {f"https://www.googleapis.com/auth/admin.directory.{x}.readonly" for x in ("user", "group", "group.member")}
CLOUD_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
EXCHANGE = {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "scope": CLOUD_SCOPE,
            "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt"}
ENTRA_AUDIENCE = "api://AzureADTokenExchange"
CLUSTER, SUBJECT = "https://cluster.example", "system:serviceaccount:ops:opsd"
PSS = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size)


class Refused(Exception):
    def __init__(self, status, data, headers=()):
        super().__init__(str(data))
        self.out = json_answer(data, status, headers)


def google_error(status, reason, message):
    return Refused(status, {"error": {"code": status, "message": message,
                                      "errors": [{"domain": "global", "reason": reason, "message": message}]}})


def cloud_error(code, status, message):
    """As Google's newer APIs say it."""
    return Refused(code, {"error": {"code": code, "message": message, "status": status}})


def oauth_error(status, error, text):
    return Refused(status, {"error": error, "error_description": text})


def b64(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Keys:
    """A key pair; the public half is what the other side knows."""

    def __init__(self):
        self.thumbprint = None      # of the certificate, if it has one
        self.key = rsa.generate_private_key(65537, 2048)
        self.pem = self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                          serialization.NoEncryption()).decode()

    def sign(self, claims, **head):
        text = ".".join(b64(json.dumps(x).encode()) for x in ({"alg": "RS256", "typ": "JWT", **head}, claims))
        return f"{text}.{b64(self.key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    def claims(self, token, alg="RS256"):
        """Header and claims of a token that this key has signed; an exception otherwise."""
        parts = token.split(".")
        if len(parts) != 3:
            raise ValueError("not three parts")
        head, body, signature = (base64.urlsafe_b64decode(p + "=" * (-len(p) % 4)) for p in parts)
        how = {"RS256": padding.PKCS1v15(), "PS256": PSS}[alg]
        self.key.public_key().verify(signature, f"{parts[0]}.{parts[1]}".encode(), how, hashes.SHA256())
        head = json.loads(head)
        if head.get("alg") != alg:
            raise ValueError(f"not {alg}")
        return head, json.loads(body)

    def certificate(self, days=30):
        """Of its own, as an application has one; in PEM."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "opsd")])
        now = datetime.datetime.utcnow()
        made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(self.key.public_key())
                .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=60))
                .not_valid_after(now + datetime.timedelta(days=days)).sign(self.key, hashes.SHA256()))
        self.thumbprint = b64(hashlib.sha256(made.public_bytes(serialization.Encoding.DER)).digest())
        return made.public_bytes(serialization.Encoding.PEM).decode()


class Tokens:
    """`life`: of a token, in seconds; set by the stand-in, like `base`."""

    admin = "directory-reader@example.com"
    account = "sync@project.iam.gserviceaccount.com"
    pool = "//iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/ops/providers/cluster"
    tenant, client_id, client_secret = "tenant-1", "9f3c0000-0000-4000-8000-000000000001", "graph-secret-1"
    life = 3600

    def __init__(self):
        self.keys, self.cluster = Keys(), Keys()
        self.tokens, self.identities = {}, {}       # of the directory; of Google's cloud
        self.issued = 0
        self.seen_jti, self.subject_tokens = set(), []
        self.scopes = "okta.users.read okta.groups.read"     # what Okta grants
        self.may_sign = True        # has this identity roles/iam.serviceAccountTokenCreator?
        self.machine = True         # does the metadata server know an account?

    # What the client has

    def google_key(self):
        """The JSON key of the service account, as the console gives it."""
        return json.dumps({"type": "service_account", "client_email": self.account, "private_key_id": "key-1",
                           "private_key": self.keys.pem})

    def google_identity(self, proof, secret):
        if proof == "key":
            return {"key": secret("google.json", self.google_key())}
        own = {"service_account": self.account, "iam_url": f"{self.base}/iam", "metadata_url": f"{self.base}/metadata"}
        if proof == "federated":
            own |= {"audience": self.pool, "sts_url": f"{self.base}/sts/v1/token",
                    "federated_token": secret("cluster.token", self.cluster_token(f"https:{self.pool}"))}
        return own

    def graph_identity(self, proof, secret):
        if proof == "client_secret":
            return {proof: secret("graph", self.client_secret)}
        if proof == "federated_token":
            return {proof: secret("cluster.token", self.cluster_token(ENTRA_AUDIENCE))}
        return {proof: secret("graph.pem", self.keys.certificate()), "key": secret("graph.key", self.keys.pem)}

    def cluster_token(self, audience, life=3600):
        """Of the pod's service account, as the kubelet writes it into a file."""
        now = int(time.time())
        return self.cluster.sign({"iss": CLUSTER, "sub": SUBJECT, "aud": [audience], "iat": now, "nbf": now,
                                  "exp": now + life, "jti": secrets.token_hex(8)}, kid="cluster-1")

    # Answers

    def issue(self, **more):
        token = secrets.token_urlsafe(24)
        self.tokens[token] = time.time() + self.life
        self.issued += 1
        return json_answer({"access_token": token, "token_type": "Bearer", "expires_in": self.life, **more})

    def identity(self, **more):
        """A token of Google's cloud, which is none of the directory."""
        token = "ya29." + secrets.token_urlsafe(24)
        self.identities[token] = time.time() + 3599
        return json_answer({"access_token": token, "expires_in": 3599, "token_type": "Bearer", **more})

    @staticmethod
    def holds(tokens, req):
        name, _, token = req.headers.get("authorization", "").partition(" ")
        return name == "Bearer" and tokens.get(token, 0) > time.time()

    def holds_token(self, req):
        return self.holds(self.tokens, req)

    @staticmethod
    def form(req):
        if req.method != "POST" or req.headers.get("content-type") != "application/x-www-form-urlencoded":
            raise oauth_error(400, "invalid_request", "a form is posted")
        return dict(parse_qsl(req.body.decode()))

    def signed(self, assertion, audience):
        try:
            head, claims = self.keys.claims(assertion)
            now = time.time()
            good = head.get("kid") == "key-1" and claims["aud"] == audience and \
                claims["iat"] <= now < claims["exp"] <= claims["iat"] + 3600
        except Exception as e:      # whatever is wrong with it, it is refused
            raise oauth_error(400, "invalid_grant", f"Bad assertion: {e!r}") from None
        if not good:
            raise oauth_error(400, "invalid_grant", "Invalid JWT")
        return claims

    def of_cluster(self, token, audiences):
        """What is wrong with a token of the cluster; None: nothing."""
        self.subject_tokens.append(token)
        try:
            _head, claims = self.cluster.claims(token)
        except Exception as e:      # likewise
            return f"signature: {e!r}"
        if claims["iss"] != CLUSTER or claims["sub"] != SUBJECT or not set(claims["aud"]) & set(audiences):
            return f"issuer, subject or audience: {claims['iss']} {claims['sub']} {claims['aud']}"
        return None if claims["nbf"] <= time.time() < claims["exp"] else "expired"

    # Google

    def google_token(self, req):
        form = self.form(req)
        if form.get("grant_type") != JWT_BEARER:
            raise Refused(400, {"error": "unsupported_grant_type"})
        claims = self.signed(form.get("assertion", ""), f"{self.base}/google/token")
        if claims["iss"] != self.account or set(claims["scope"].split()) != GOOGLE_SCOPES:
            raise oauth_error(401, "unauthorized_client", "Client is unauthorized to retrieve access tokens")
        if claims["sub"] != self.admin:
            raise oauth_error(400, "invalid_grant", "Invalid email or User ID")
        return self.issue()

    def serve_metadata(self, req, path, _fault):
        if req.headers.get("metadata-flavor") != "Google":
            return answer(403, "<html>Missing Metadata-Flavor:Google header.</html>", "text/html; charset=utf-8")
        if path != "computeMetadata/v1/instance/service-accounts/default/token" or not self.machine:
            return answer(404, "<html>The requested URL was not found on this server.</html>", "text/html; charset=utf-8")
        return self.identity()

    def serve_computeMetadata(self, req, path, fault):
        return self.serve_metadata(req, f"computeMetadata/{path}", fault)

    def serve_sts(self, req, path, _fault):
        form = self.form(req)
        if path != "v1/token" or "authorization" in req.headers or {k: form.get(k) for k in EXCHANGE} != EXCHANGE:
            raise oauth_error(400, "invalid_request", "Invalid token exchange request")
        if form.get("audience") != self.pool:
            raise oauth_error(400, "invalid_target", 'The target service indicated by the "audience" parameters is invalid.')
        wrong = self.of_cluster(form.get("subject_token", ""), (self.pool, f"https:{self.pool}"))
        if wrong:
            raise oauth_error(400, "invalid_grant", f"The credential is not accepted: {wrong}")
        return self.identity(issued_token_type=EXCHANGE["requested_token_type"])

    def serve_iam(self, req, path, _fault):
        if not self.holds(self.identities, req):
            raise cloud_error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
        if req.method != "POST" or path != f"v1/projects/-/serviceAccounts/{self.account}:signJwt" or not self.may_sign:
            raise cloud_error(403, "PERMISSION_DENIED",
                              "Permission 'iam.serviceAccounts.signJwt' denied on resource (or it may not exist).")
        try:
            claims = json.loads(json.loads(req.body)["payload"])
        except (ValueError, KeyError, TypeError):
            raise cloud_error(400, "INVALID_ARGUMENT", "Request contains an invalid argument.") from None
        if not time.time() < claims["exp"] <= time.time() + 12 * 3600:
            raise cloud_error(400, "INVALID_ARGUMENT", "exp must be in the future and no more than 12 hours from now")
        return json_answer({"keyId": "key-1", "signedJwt": self.keys.sign(claims, kid="key-1")})

    # Microsoft

    def graph_token(self, req):
        form = self.form(req)
        if (form.get("grant_type"), form.get("scope")) != ("client_credentials", f"{self.base}/graph/.default"):
            raise oauth_error(400, "invalid_scope", "AADSTS1002012: scope is not valid")
        if form.get("client_id") != self.client_id:
            raise oauth_error(400, "unauthorized_client", "AADSTS700016: Application was not found in the directory")
        if "client_assertion" in form:
            wrong = self.graph_assertion(form)
        else:
            wrong = None if form.get("client_secret") == self.client_secret else \
                "AADSTS7000215: Invalid client secret provided."
        if wrong:
            raise oauth_error(401, "invalid_client", wrong)
        return self.issue()

    def graph_assertion(self, form):
        """What is wrong with it; None: nothing."""
        token = form["client_assertion"]
        if form.get("client_assertion_type") != CLIENT_JWT or "client_secret" in form:
            return "AADSTS900144: The request body must contain client_assertion_type alone"
        if self.keys.thumbprint is None:
            wrong = self.of_cluster(token, (ENTRA_AUDIENCE,))
            return wrong and f"AADSTS700213: No matching federated identity record found for presented assertion: {wrong}"
        try:
            head, claims = self.keys.claims(token, "PS256")
        except Exception as e:      # likewise
            return f"AADSTS700027: Client assertion failed signature validation: {e!r}"
        now = time.time()
        if head.get("typ") != "JWT" or head.get("x5t#S256") != self.keys.thumbprint:
            return "AADSTS700027: The certificate with identifier used to sign the client assertion is not registered"
        if claims["aud"] != f"{self.base}/graph/{self.tenant}/oauth2/v2.0/token" or \
                not claims["iss"] == claims["sub"] == self.client_id:
            return "AADSTS700023: Client assertion audience, issuer or subject does not match"
        if not claims["nbf"] <= now < claims["exp"] <= claims["nbf"] + 600:
            return "AADSTS700024: Client assertion is not within its valid time range"
        if len(claims["jti"]) < 16 or claims["jti"] in self.seen_jti:
            return "AADSTS700025: Client assertion was used before"
        self.seen_jti.add(claims["jti"])
        return None

    # Okta

    def okta_token(self, req):
        form = self.form(req)
        if (form.get("grant_type"), form.get("client_assertion_type")) != ("client_credentials", CLIENT_JWT):
            raise Refused(400, {"error": "invalid_request"})
        claims = self.signed(form.get("client_assertion", ""), f"{self.base}/okta/oauth2/v1/token")
        if not claims["iss"] == claims["sub"] == self.client_id or "jti" not in claims:
            raise oauth_error(401, "invalid_client", "The client_assertion is invalid.")
        return self.issue(scope=self.scopes)
