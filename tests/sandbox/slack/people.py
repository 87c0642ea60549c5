# SPDX-License-Identifier: Apache-2.0
"""The workspace of the sandbox: its people, user groups and channels, and how Slack shows each of them."""

import re

TEAM = "T0OPS"
OTHER_TEAM = "T0OTHER"
APP = "A0OPSD"
BOT = "U0OPSD"
BOT_ID = "B0OPSD"
BOT_NAME = "opsd"
SLACKBOT = "USLACKBOT"
CREATED = 1790000000

# id, name, real name, address, more flags
PEOPLE = [
    ("U0ANA", "ana", "Ana Ruiz", "ana@example.com", {}),
    ("U0BEN", "ben", "Ben Okafor", "ben@example.com", {}),
    ("U0CHO", "cho", "Cho Min-seo", "cho@example.com", {}),
    ("U0DIA", "dia", "Dia Haddad", "dia@example.com", {"is_admin": True}),
    ("U0EVE", "eve", "Eve Lindqvist", "eve@example.com", {}),
    ("U0FAY", "fay", "Fay Novak", "fay@example.com", {}),
    ("U0GUS", "gus", "Gus Partner", "gus@partner.example", {"is_restricted": True}),
    ("U0OUT", "out", "Olu Outsider", "olu@other.example", {"team_id": OTHER_TEAM}),
    ("U0OLD", "old", "Old Timer", "old@example.com", {"deleted": True}),
    ("U0UNC", "unc", "Una Confirmed-Not", "unc@example.com", {"is_email_confirmed": False}),
    ("UBOT01", "helperbot", "Helper Bot", None, {"is_bot": True}),
    (BOT, BOT_NAME, "opsd", None, {"is_bot": True}),
    (SLACKBOT, "slackbot", "Slackbot", None, {}),
]
GROUPS = [
    ("S0ADS", "team-ads-oncall", "Ads on call", ["U0ANA", "U0BEN"]),
    ("S0WEB", "team-web", "Web team", ["U0CHO"]),
    ("S0DATA", "data-platform", "Data platform", ["U0DIA", "U0EVE"]),
]
INSIDE = ["U0ANA", "U0BEN", "U0CHO", "U0DIA", "U0EVE", "U0FAY", "U0UNC"]
CHANNELS = [
    ("C0OPS", "ops", [*INSIDE, "U0GUS", BOT], {}),
    ("C0AUDIT", "ops-audit", [*INSIDE, BOT], {}),
    ("C0APPROVE", "ops-approvals", [*INSIDE, BOT], {}),
    ("C0RANDOM", "random", INSIDE, {}),
    ("C0SHARED", "partner", [*INSIDE, "U0OUT", BOT], {"is_ext_shared": True, "is_shared": True}),
]

HOST = re.compile(r"(?<![\w@./-])((?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+(?:com|org|net|io|dev|app|co|me|example))"
                  r"(?![\w.-]*[\w-])", re.I)
MAIL = re.compile(r"(?<![\w.+-])([\w.+-]+@(?:[a-z0-9-]+\.)+[a-z]{2,})", re.I)
URL = re.compile(r"https?://[^\s<>|]+")
TOKEN = re.compile(r"(https?://[^\s<>|]+|[\w.+-]+@(?:[a-z0-9-]+\.)+[a-z]{2,}|(?<![\w&])[@#][\w.-]+)", re.I)
PLAIN = re.compile(r"[\w =\"'-]*\Z", re.A)


class User:
    def __init__(self, uid, name, real, email, flags=None):
        self.id, self.name, self.real_name, self.email = uid, name, real, email
        self.team_id = TEAM
        self.deleted = self.is_bot = self.is_admin = False
        self.is_restricted = self.is_ultra_restricted = False
        self.is_email_confirmed, self.is_invited_user, self.is_stranger = True, False, False
        self.edit(flags or {})

    def edit(self, changes):
        for name, value in changes.items():
            if name not in self.__dict__ or name == "id":
                raise ValueError(f"unknown user field {name!r}")
            setattr(self, name, value)

    def api(self, with_email):
        """The user as users.info gives it."""
        profile = {
            "real_name": self.real_name, "real_name_normalized": self.real_name, "display_name": self.name,
            "display_name_normalized": self.name, "status_text": "", "status_emoji": "", "avatar_hash": "g0",
            "team": self.team_id, "first_name": self.real_name.split(" ")[0], "title": "",
        }
        outside = self.team_id != TEAM
        if with_email and self.email and not outside and not self.is_bot:
            profile["email"] = self.email
        user = {"id": self.id, "team_id": self.team_id, "name": self.name, "deleted": self.deleted,
                "is_bot": self.is_bot, "is_app_user": False, "updated": CREATED, "profile": profile,
                "is_stranger": self.is_stranger}
        if not self.deleted:
            user.update({
                "color": "4bbe2e", "real_name": self.real_name, "tz": "Europe/Amsterdam",
                "tz_label": "Central European Time", "tz_offset": 3600, "is_admin": self.is_admin,
                "is_owner": False, "is_primary_owner": False, "is_restricted": self.is_restricted,
                "is_ultra_restricted": self.is_ultra_restricted, "is_workflow_bot": False,
                "is_connector_bot": False, "has_2fa": False, "locale": "en-US"})
            if self.is_invited_user:
                user["is_invited_user"] = True
        if not outside and not self.is_bot:
            user["is_email_confirmed"] = self.is_email_confirmed
        return user


class Channel:
    def __init__(self, cid, name, members, **flags):
        self.id, self.name = cid, name
        self.members = dict.fromkeys(members)       # ordered set
        self.is_private = self.is_archived = self.is_ext_shared = self.is_shared = False
        self.is_pending_ext_shared = self.is_org_shared = False
        self.im_user = None                         # a direct message with this person
        self.is_mpim = False
        self.edit(flags)

    def edit(self, changes):
        for name, value in changes.items():
            if name not in self.__dict__ or name in ("id", "members"):
                raise ValueError(f"unknown channel field {name!r}")
            setattr(self, name, value)

    @property
    def is_im(self):
        return self.im_user is not None

    def kind(self):
        if self.is_im:
            return "im"
        return "mpim" if self.is_mpim else "groups" if self.is_private else "channels"

    def api(self, num_members=False):
        if self.is_im:
            return {"id": self.id, "created": CREATED, "is_archived": self.is_archived, "is_im": True,
                    "is_org_shared": False, "user": self.im_user, "context_team_id": TEAM, "updated": CREATED,
                    "priority": 0}
        out = {
            "id": self.id, "name": self.name, "is_channel": True, "is_group": False, "is_im": False,
            "is_mpim": self.is_mpim, "is_private": self.is_private, "created": CREATED,
            "is_archived": self.is_archived, "is_general": False, "unlinked": 0, "name_normalized": self.name,
            "is_shared": self.is_shared, "is_org_shared": self.is_org_shared,
            "is_pending_ext_shared": self.is_pending_ext_shared, "pending_shared": [], "context_team_id": TEAM,
            "updated": CREATED, "creator": "U0DIA", "is_ext_shared": self.is_ext_shared,
            "shared_team_ids": [TEAM, OTHER_TEAM] if self.is_ext_shared else [TEAM],
            "pending_connected_team_ids": [], "is_member": BOT in self.members,
            "topic": {"value": "", "creator": "", "last_set": 0},
            "purpose": {"value": "", "creator": "", "last_set": 0}, "previous_names": []}
        if num_members:
            out["num_members"] = len(self.members)
        return out


class Workspace:
    def __init__(self):
        self.users = {u[0]: User(*u) for u in PEOPLE}
        self.groups = {g[0]: {"id": g[0], "handle": g[1], "name": g[2], "users": list(g[3]), "date_delete": 0,
                              "is_external": False} for g in GROUPS}
        self.channels = {c[0]: Channel(c[0], c[1], c[2], **c[3]) for c in CHANNELS}
        self.ims = {}
        for user in list(self.users.values()):
            if not user.is_bot and user.id != SLACKBOT:
                self.im(user.id)

    def im(self, user):
        """The direct channel of the bot with a person."""
        if user not in self.ims:
            channel = Channel("D0" + user[1:], "directmessage", [user, BOT], im_user=user)
            self.channels[channel.id] = self.ims[user] = channel
        return self.ims[user]

    def mpim(self, users):
        cid = "C0MP" + "".join(sorted(u[-3:] for u in users))
        if cid not in self.channels:
            self.channels[cid] = Channel(cid, "mpdm-" + cid.lower(), [*users, BOT], is_mpim=True, is_private=True)
        return self.channels[cid]

    def channel(self, ref):
        """A channel by id, #name, or the word dm:<user>."""
        if not isinstance(ref, str):
            return None
        if ref in self.channels:
            return self.channels[ref]
        if ref.startswith("dm:"):
            return self.ims.get(ref[3:])
        name = ref.lstrip("#")
        for channel in self.channels.values():
            if channel.name == name and not channel.is_im:
                return channel
        return None

    def groups_of(self, user):
        return [g["handle"] for g in self.groups.values() if user in g["users"]]

    def group_api(self, group, users, count):
        out = {"id": group["id"], "team_id": TEAM, "is_usergroup": True, "is_subteam": True, "name": group["name"],
               "description": "", "handle": group["handle"], "is_external": group["is_external"],
               "date_create": CREATED, "date_update": CREATED, "date_delete": group["date_delete"],
               "auto_type": None, "auto_provision": False, "created_by": "U0DIA", "updated_by": "U0DIA",
               "deleted_by": None, "prefs": {"channels": [], "groups": []}}
        if users:
            out["users"] = list(group["users"])
        if users or count:
            out["user_count"] = len(group["users"])
        return out

    def escape(self, text):
        """What `should_escape` makes of typed text: mentions, channels, links and the three entities."""
        if PLAIN.match(text):
            return text
        out = []
        for i, part in enumerate(TOKEN.split(text)):
            out.append(self._token(part) if i % 2 else self._hosts(part))
        return "".join(out)

    def _token(self, part):
        if part[0] == "@":
            for user in self.users.values():
                if user.name == part[1:]:
                    return f"<@{user.id}|{user.name}>"
            for group in self.groups.values():
                if group["handle"] == part[1:]:
                    return f"<!subteam^{group['id']}|@{group['handle']}>"
            if part[1:] in ("here", "channel", "everyone"):
                return f"<!{part[1:]}>"
            return entities(part)
        if part[0] == "#":
            channel = self.channel(part)
            if channel:
                return f"<#{channel.id}|{'' if channel.is_private else channel.name}>"
            return part
        if URL.match(part):
            return f"<{entities(part)}>"
        return f"<mailto:{part}|{part}>" if MAIL.match(part) else entities(part)

    @staticmethod
    def _hosts(part):
        return HOST.sub(lambda m: f"<http://{m.group(1)}|{m.group(1)}>", entities(part))


def entities(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
