# SPDX-License-Identifier: BSD-2-Clause
"""Addresses on the loopback device, those of each process its own: scenes run side by side, portals die in them and
are connected to again and again, and the kernel gives a port that is free to whoever asks next."""
import os


def loopback(n=1):
	pid = os.getpid()
	return '127.%d.%d.%d' % (1 + (pid >> 8) % 254, pid & 255, n)
