# SPDX-License-Identifier: Apache-2.0
"""A stand-in for Slack: Socket Mode, Web API, response_url, modals, App Home and a page to look at it."""

from .server import APP_TOKEN, BOT_TOKEN, SCOPES, SlackStandin

__all__ = ["APP_TOKEN", "BOT_TOKEN", "SCOPES", "SlackStandin"]
