/* SPDX-License-Identifier: BSD-2-Clause */
/* Open files and directories. What a value file, README or status.json says is made when it is
 * opened, so that reading it piece by piece gives one consistent text. A control file
 * remembers the reply to the last write. Some opens have to ask a target first: for the text
 * (attr.fetch), or whether a guarded disk may be written to.
 *
 *   a handle is   true in it                                               next
 *   opening       open(2) waits: req is unanswered, op is under way        idle, (freed)
 *   idle          op and script NULL; reads give the text, of a ctl the    running
 *                 verbs, what was fetched, or the last reply
 *   running       a write to a ctl waits: req is unanswered, script is     idle
 *                 under way
 *
 * A script may be longer than one write: programs write buffer by buffer and the kernel splits
 * what is over 1 MiB, in the middle of a line. A write that looks cut (is_cut() in handle.c)
 * has what follows its last newline kept in @tail, and the next write goes on from there. If
 * one of the pieces fails, the rest is refused with the same error. A tail that nobody
 * completes is never run. */
#ifndef ISCSIFS_HANDLE_H
#define ISCSIFS_HANDLE_H

#include <fuse_lowlevel.h>
#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/list.h"
#include "fuse/event_file.h"
#include "fuse/interrupt.h"

struct fs;
struct node;
struct operation;
struct script;

struct handle {
	struct list link; /* fs->handles */
	struct fs *fs;
	struct node *node; /* one of its opens */
	bool is_owners;	   /* opened by root, or by the user whom we run as */
	/* a LUN's data */
	bool is_counted; /* in the LUN's open_count and open_pids */
	pid_t pid;	 /* who opened it; 0: a process that we cannot see */
	bool is_writer;
	bool is_mapper;	       /* a writer through the page cache */
	bool is_cached;	       /* the page cache is between it and us; else FOPEN_DIRECT_IO */
	uint64_t losses_told;  /* of the disk's losses: disk.h */
	/* texts */
	GBytes *text; /* of fs->texts */
	struct event_reader events;
	size_t cursor;	      /* where the next read is, if @has_cursor */
	bool has_cursor;      /* a ctl, or a written value: the file offset does not count */
	struct operation *op; /* asks what the open has to wait for; NULL */
	struct fuse_file_info fi; /* of that open */
	void (*opened)(struct handle *h, fuse_req_t req, struct fuse_file_info *fi, int result);
	struct script *script;
	fuse_req_t req;
	struct interrupt interrupt; /* of @req */
	size_t req_bytes;
	char *tail; /* of the writes so far: the begin of a line; may hold secrets */
	size_t tail_bytes;
	bool is_split;	    /* the script under way is a piece of a longer one */
	int split_error;    /* positive errno: a piece failed, the rest is refused; 0 */
	size_t split_bytes; /* the length of the piece that failed */
	/* directories */
	GArray *entries; /* of struct handle_entry */
};

struct handle_entry {
	char *name;
	uint64_t ino;
	mode_t format;
};

/* Opens @n for @who with open(2)'s @flags. 0, or -errno and nothing is open; of these
 * -EINPROGRESS is none: a target is being asked, call handle_await() now. */
int handle_open(struct fs *fs, struct node *n, int flags, const struct fuse_ctx *who,
		struct handle **ret);
/* @opened runs later, exactly once, and is to answer @req: 0, or -errno; then free @h. */
void handle_await(struct handle *h, fuse_req_t req, const struct fuse_file_info *fi,
		  void (*opened)(struct handle *h, fuse_req_t req, struct fuse_file_info *fi,
				 int result));
/* A directory; its entries come with handle_list(). */
struct handle *handle_open_dir(struct fs *fs, struct node *n);
/* Is a request unanswered that open or write waits in? */
bool handle_is_busy(const struct handle *h);
/* Not while it is busy. */
void handle_free(struct handle *h);

/* Answers @req from the text; a pipe's when there is something. @flags are open(2)'s, of now. */
void handle_read(struct handle *h, fuse_req_t req, size_t size, off_t offset, int flags);
/* Answers @req, at once or when the command has ended. */
void handle_write(struct handle *h, fuse_req_t req, const char *text, size_t len);
/* Break off the open or the command under way, if any: EINTR, somebody pressed Ctrl-C; EBUSY, the
 * daemon ends. */
void handle_cancel(struct handle *h, int errno_value);

/* Take a fresh list of the directory's entries. */
void handle_list(struct handle *h);

#endif
