/* SPDX-License-Identifier: BSD-2-Clause */
/* Telling the service manager how we are (sd_notify(3)): datagrams to the socket that it names in
 * NOTIFY_SOCKET. Without a manager nothing happens, and what it does not take is lost: it is never
 * waited for. */
#ifndef ISCSIFS_SDNOTIFY_H
#define ISCSIFS_SDNOTIFY_H

#include <stdint.h>

/* Takes NOTIFY_SOCKET out of the environment, so that no child speaks for us. The socket and its
 * path are of this process, also after a fork. Before any thread is made. */
void sdnotify_init(void);
/* STATUS=: a text for people. */
void sdnotify_status(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* EXTEND_TIMEOUT_USEC=: the start takes so much longer, from now on. */
void sdnotify_extend(int64_t ms);
/* READY=1, with MAINPID= and STATUS=. */
void sdnotify_ready(const char *status);
/* RELOADING=1, with the time: sdnotify_ready() is due when it is over. */
void sdnotify_reloading(void);
/* STOPPING=1. */
void sdnotify_stopping(void);

#endif
