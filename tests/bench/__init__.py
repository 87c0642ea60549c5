# SPDX-License-Identifier: Apache-2.0
"""Time and memory of opsd, measured beside a Go program that does the same job."""
