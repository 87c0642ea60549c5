# SPDX-License-Identifier: Apache-2.0
"""Methods that speak: chat.*, and the three-step file upload."""

import secrets

from .blocks import check_blocks, units
from .people import BOT
from .webapi import Method, Refused, structured
from .wire import dumps

MAX_TEXT, MAX_UPDATE_TEXT = 40000, 4000
MAX_METADATA = 8 << 10
MAX_FILES = 500


def room(s, args, posting=True):
    """The channel an argument names, as far as the bot may know of it."""
    ref = args.get("channel")
    if type(ref) is not str or not ref:
        raise Refused("channel_not_found")
    channel = s.work.channels.get(ref)
    if channel is None and posting:
        channel = s.work.ims.get(ref) or (s.work.channel(ref) if ref[0] == "#" else None)
    if channel is None or (channel.is_private and BOT not in channel.members):
        raise Refused("channel_not_found")
    return channel


def may_post(s, args, channel):
    if channel.is_im:
        if s.work.users[channel.im_user].deleted:
            raise Refused("channel_not_found")
        return
    if channel.is_archived:
        raise Refused("is_archived")
    if BOT not in channel.members and "chat:write.public" not in args["_token"].scopes:
        raise Refused("not_in_channel")


def content(s, args, need=True):
    """The text and checked blocks of a message; both as given, None when the argument is absent."""
    text = args.get("text")
    if text is not None and type(text) is not str:
        raise Refused("invalid_arguments", ["[ERROR] text must be a string"])
    blocks = structured(args, "blocks", "invalid_blocks_format")
    if blocks is not None:
        if type(blocks) is not list:
            raise Refused("invalid_blocks_format")
        errors = check_blocks(blocks)
        if errors:
            s.violation(f"invalid_blocks: {errors[0]}")
            raise Refused("invalid_blocks", errors)
        if len(dumps(blocks)) > s.switch.blocks_budget:
            raise Refused("msg_blocks_too_long")
    attachments = structured(args, "attachments", "invalid_attachments")
    if attachments is not None and (type(attachments) is not list or len(attachments) > 100):
        raise Refused("too_many_attachments" if type(attachments) is list else "invalid_attachments")
    markdown = args.get("markdown_text")
    if markdown:
        if text or blocks:
            raise Refused("markdown_text_conflict")
        if units(markdown) > 12000:
            raise Refused("msg_too_long")
        text = markdown
    if need and not text and not blocks and not attachments:
        raise Refused("no_text")
    if not text and (blocks or attachments):
        s.violation("message has no text: nothing to show in notifications and to screen readers")
    return text, blocks, attachments


def metadata(args):
    value = structured(args, "metadata")
    if value is None or value == {}:
        return value
    if type(value) is not dict or type(value.get("event_type")) is not str \
            or type(value.get("event_payload")) is not dict:
        raise Refused("invalid_metadata_format")
    if len(dumps(value)) > MAX_METADATA:
        raise Refused("metadata_too_large")
    return value


def thread(s, args):
    value = args.get("thread_ts")
    if value is None or value == "":
        return None
    if type(value) is not str:
        s.violation("thread_ts is not a string")
        value = f"{value:.6f}"
    return value


def post_message(s, args):
    channel = room(s, args)
    may_post(s, args, channel)
    text, blocks, attachments = content(s, args)
    meta = metadata(args)
    s.pace(channel.id)
    out = {}
    if text and units(text) > MAX_TEXT:
        text = text[:MAX_TEXT]
        out["warning"] = "message_truncated"
    m = s.store.post(channel.id, text or "", blocks, thread_ts=thread(s, args), attachments=attachments,
                     metadata=meta or None)
    shown = m.body if meta else {k: v for k, v in m.body.items() if k != "metadata"}
    return {"channel": channel.id, "ts": m.ts, "message": shown, **out}


def own_message(s, args, error):
    channel = room(s, args, posting=False)
    m = s.store.get(channel.id, args.get("ts") if type(args.get("ts")) is str else "")
    if m is None or m.deleted or m.only_for:
        raise Refused("message_not_found")
    if m.body["user"] != BOT:
        raise Refused(error)
    return channel, m


def update(s, args):
    if type(args.get("ts")) is not str and args.get("ts") is not None:
        s.violation("ts is not a string")
    channel, m = own_message(s, args, "cant_update_message")
    if channel.is_archived:
        raise Refused("is_inactive")
    text, blocks, attachments = content(s, args, need=args.get("blocks") is None and args.get("metadata") is None)
    if text and units(text) > MAX_UPDATE_TEXT:
        raise Refused("msg_too_long")
    changes = {}
    if text is not None:
        changes["text"] = text
    if blocks is not None or text is not None:
        changes["blocks"] = blocks or None      # text alone drops the old blocks
    if attachments is not None:
        changes["attachments"] = attachments or None
    meta = metadata(args)
    if meta is not None:
        changes["metadata"] = meta or None
    s.store.update(m, **changes)
    return {"channel": channel.id, "ts": m.ts, "text": m.body.get("text", ""),
            "message": {k: v for k, v in m.body.items() if k not in ("ts", "metadata")}}


def delete(s, args):
    channel, m = own_message(s, args, "cant_delete_message")
    s.store.delete(m)
    return {"channel": channel.id, "ts": m.ts}


def post_ephemeral(s, args):
    channel = room(s, args)
    may_post(s, args, channel)
    user = args.get("user")
    if user not in s.work.users or user not in channel.members or s.work.users[user].deleted:
        raise Refused("user_not_in_channel")
    text, blocks, attachments = content(s, args)
    if text and units(text) > MAX_TEXT:
        raise Refused("msg_too_long")
    if s.faults.active and s.faults.take("ephemeral_lost", user=user):
        return {"message_ts": s.store.ts()}
    m = s.store.post(channel.id, text or "", blocks, only_for=user, thread_ts=thread(s, args),
                     attachments=attachments)
    return {"message_ts": m.ts}


def permalink(s, args):
    channel = room(s, args, posting=False)
    ts = args.get("message_ts") or ""
    m = s.store.get(channel.id, ts)
    if m is None or m.deleted or m.only_for:
        raise Refused("message_not_found")
    return {"channel": channel.id, "permalink": f"https://ops.slack.example/archives/{channel.id}/p"
                                                + ts.replace(".", "")}


# Files

def upload_url(s, args):
    name = args.get("filename")
    try:
        length = int(args.get("length") or 0)
    except (TypeError, ValueError):
        raise Refused("invalid_arguments") from None
    if type(name) is not str or not name or length <= 0:
        raise Refused("missing_argument")
    fid = "F0" + secrets.token_hex(4).upper()
    if len(s.files) >= MAX_FILES:
        del s.files[next(iter(s.files))]
    s.files[fid] = {"id": fid, "name": name, "size": length, "data": None, "done": False,
                    "secret": secrets.token_hex(12)}
    return {"upload_url": f"{s.base_url}/upload/v1/{fid}/{s.files[fid]['secret']}", "file_id": fid}


def complete_upload(s, args):
    files = structured(args, "files")
    if type(files) is not list or not files:
        raise Refused("invalid_arguments", ["[ERROR] missing required field: files"])
    found = []
    for item in files:
        f = s.files.get(item.get("id")) if type(item) is dict else None
        if f is None or f["data"] is None or f["done"]:
            raise Refused("file_not_found")
        found.append((f, item.get("title") or f["name"]))
    wanted = [c for c in (args.get("channel_id"), *(args.get("channels") or "").split(",")) if c]
    rooms = []
    for ref in wanted[:100]:
        channel = room(s, {"channel": ref})
        may_post(s, args, channel)
        rooms.append(channel)
    out = []
    for f, title in found:
        f["done"], f["title"] = True, title
        out.append({"id": f["id"], "title": title, "name": f["name"], "size": f["size"], "user": BOT,
                    "mimetype": "text/plain", "filetype": "text", "channels": [c.id for c in rooms]})
    for channel in rooms:
        s.store.post(channel.id, args.get("initial_comment") or "", thread_ts=thread(s, args), files=out, upload=True)
    return {"files": out}


POST = ("channel text blocks attachments thread_ts reply_broadcast metadata unfurl_links unfurl_media mrkdwn parse "
        "link_names username icon_url icon_emoji markdown_text")
WRITE = ("chat:write",)
METHODS = {
    "chat.postMessage": Method(post_message, POST, WRITE, json=True),
    "chat.update": Method(update, "channel ts text blocks attachments metadata link_names parse reply_broadcast "
                          "markdown_text file_ids", WRITE, 3, json=True),
    "chat.delete": Method(delete, "channel ts", WRITE, 3, json=True),
    "chat.postEphemeral": Method(post_ephemeral, "channel user text blocks attachments thread_ts parse link_names "
                                 "username icon_url icon_emoji markdown_text", WRITE, 4, json=True),
    "chat.getPermalink": Method(permalink, "channel message_ts"),
    "files.getUploadURLExternal": Method(upload_url, "filename length snippet_type alt_txt", ("files:write",), 4),
    "files.completeUploadExternal": Method(complete_upload, "files channel_id channels thread_ts initial_comment "
                                           "blocks", ("files:write",), 4, json=True),
}
