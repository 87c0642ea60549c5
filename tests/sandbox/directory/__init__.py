# SPDX-License-Identifier: Apache-2.0
"""Where a company directory comes from: Google, Graph, Okta, SCIM, Slack and a document behind HTTPS on one server
(server.py), a real slapd (slapd.py), and companies of any size (company.py)."""

from .company import Company
from .server import DirectoryStandin

__all__ = ["Company", "DirectoryStandin"]
