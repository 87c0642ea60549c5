# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the platform's own API: datasets with filters and pages, tasks that run for a while."""

from .server import TOKEN, PlatformStandin

__all__ = ["TOKEN", "PlatformStandin"]
