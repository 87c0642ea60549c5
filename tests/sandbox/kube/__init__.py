# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the Kubernetes API: the kinds that the operations touch, controllers, faults."""

from .server import TOKEN, KubeStandin

__all__ = ["TOKEN", "KubeStandin"]
