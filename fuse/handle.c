/* SPDX-License-Identifier: BSD-2-Clause */
/* Open files; handle.h has the states. Called by fsops.c. A write to a control file is answered
 * from script_done(), an open that had to ask a target from on_asked(), which the loop calls; the
 * kernel does not release a file while a request on it is unanswered, so a handle outlives its
 * script and its operation unless the daemon ends -- and that waits. */
#include "fuse/handle.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "core/daemon.h"
#include "core/lun.h"
#include "core/reservation.h"
#include "fuse/fs.h"

#define CUT_BYTES 4096 /* what buffers are multiples of */

/* --- the data of a LUN: who has it open (C7) --- */

static struct lun *lun_of(const struct node *n)
{
	return container_of(n->obj, struct lun, obj);
}

static char *read_proc(pid_t pid, const char *name)
{
	g_autofree char *path = g_strdup_printf("/proc/%d/%s", (int)pid, name);
	char *text = NULL;

	return g_file_get_contents(path, &text, NULL, NULL) ? text : NULL;
}

/* The process of a thread: the kernel tells the thread that opens. */
static pid_t process_of(pid_t thread)
{
	g_autofree char *status = thread ? read_proc(thread, "status") : NULL;
	const char *line = status ? strstr(status, "\nTgid:") : NULL;

	return line ? atoi(line + strlen("\nTgid:")) : thread;
}

/* open_pids has two entries a process: pid -> count, and -pid -> what /proc/PID/stat said when
 * it opened the disk first, by which lun_holder() knows whether it is still the same one. */
static void count_pid(struct lun *lun, pid_t pid, int by)
{
	void *key = GINT_TO_POINTER(pid), *name_key = GINT_TO_POINTER(-pid);
	int count = GPOINTER_TO_INT(g_hash_table_lookup(lun->open_pids, key)) + by;
	bool is_named = pid && g_hash_table_contains(lun->open_pids, name_key);

	if (count > 0) {
		g_hash_table_insert(lun->open_pids, key, GINT_TO_POINTER(count));
		if (pid && !is_named)
			g_hash_table_insert(lun->open_pids, name_key, read_proc(pid, "stat"));
		return;
	}
	g_hash_table_remove(lun->open_pids, key);
	if (is_named) {
		g_free(g_hash_table_lookup(lun->open_pids, name_key));
		g_hash_table_remove(lun->open_pids, name_key);
	}
}

/* O_DIRECT sees what is dirty in the cache only the usual way (FS_DIRECT_OPEN_MINOR). */
static bool is_cached(const struct fs *fs, const struct lun *lun, int flags)
{
	return lun->cache != CACHE_NONE &&
	       !(flags & O_DIRECT && fs->has_direct_open && !fs->has_writeback);
}

static int open_disk(struct handle *h)
{
	struct lun *lun = lun_of(h->node);

	if (!lun->has_disk)
		return lun->not_ready ? -lun->not_ready : -EIO;
	if (h->is_writer && lun->disk->is_read_only)
		return -EROFS;
	h->is_counted = true;
	lun->open_count++;
	lun->open_writers += h->is_writer;
	lun->open_mappers += h->is_mapper;
	lun->open_cached += h->is_cached;
	h->node->cached += h->is_cached;
	h->losses_told = lun->disk->losses_told;
	count_pid(lun, h->pid, 1);
	return 0;
}

static void close_disk(struct handle *h)
{
	struct lun *lun = lun_of(h->node);

	lun->open_count--;
	lun->open_writers -= h->is_writer;
	lun->open_mappers -= h->is_mapper;
	lun->open_cached -= h->is_cached;
	h->node->cached -= h->is_cached;
	count_pid(lun, h->pid, -1);
}

/* --- open and close --- */

static void on_meant(struct interrupt *i)
{
	handle_cancel(container_of(i, struct handle, interrupt), EINTR);
}

static struct handle *handle_new(struct fs *fs, struct node *n)
{
	struct handle *h = g_new0(struct handle, 1);

	h->fs = fs;
	h->node = n;
	interrupt_init(&h->interrupt, 0, INTERRUPT_ASKED, on_meant);
	node_open(n);
	list_push_tail(&fs->handles, &h->link);
	return h;
}

static int make_text(struct handle *h)
{
	struct texts *texts = &h->fs->texts;
	const struct node *n = h->node;
	bool is_shared = n->row->type == ATTR_STATUS;
	GString *s;

	if (is_shared)
		h->text = texts_find(texts, n->ino);
	if (h->text)
		return 0;
	/* Control files open always: who could let go of anything otherwise? */
	if (n->row->type != ATTR_CTL && texts_is_full(texts))
		return -ENFILE;
	if (event_file_is(n->row)) {
		event_file_open(h);
		return 0;
	}
	s = g_string_new(NULL);
	attr_print(n->dir, n->row, n->obj, s);
	h->text = texts_new(texts, s);
	if (is_shared)
		texts_keep(texts, n->ino, h->text);
	return 0;
}

/* --- opens that have to ask --- */

/* @err is kept where people look for it; its errno, as a control file would tell it. */
static int refuse_open(const struct handle *h, const GError *err)
{
	const struct node *n = h->node;
	bool is_disk = n->row->type == ATTR_DISK;
	g_autofree char *what = g_strdup_printf("opening %s%s", n->row->name,
						is_disk ? " for writing" : "");

	if (error_errno(err) != EINTR)
		object_fail(n->obj, what, err);
	return -script_errno(err);
}

static void on_interrupt(fuse_req_t req, void *data)
{
	struct handle *h = data;

	(void)req;
	interrupt_came(&h->fs->interrupts, &h->interrupt);
}

/* @h waits in @req, and can be interrupted. */
static void set_request(struct handle *h, fuse_req_t req)
{
	h->req = req;
	h->interrupt.thread = fuse_req_ctx(req)->pid;
	/* Calls on_interrupt() now if the interrupt is here already. */
	fuse_req_interrupt_func(req, on_interrupt, h);
}

static fuse_req_t take_back_request(struct handle *h)
{
	fuse_req_t req = h->req;

	h->req = NULL;
	interrupt_forget(&h->interrupt);
	return req;
}

static void on_asked(struct operation *op, void *arg)
{
	struct handle *h = arg;
	fuse_req_t req = take_back_request(h);
	struct fuse_file_info fi = h->fi;
	int r = 0;

	h->op = NULL;
	if (op->error)
		r = refuse_open(h, op->error);
	else if (h->node->row->type == ATTR_DISK)
		r = open_disk(h);
	else
		h->text = texts_new(&h->fs->texts, g_string_new(op->result->str));
	operation_unref(op);
	h->opened(h, req, &fi, r);
}

void handle_await(struct handle *h, fuse_req_t req, const struct fuse_file_info *fi,
		  void (*opened)(struct handle *h, fuse_req_t req, struct fuse_file_info *fi,
				 int result))
{
	h->fi = *fi;
	h->opened = opened;
	set_request(h, req);
}

/* Who may do all that the daemon may. */
static bool is_owner(const struct fuse_ctx *who)
{
	return who->uid == 0 || who->uid == geteuid();
}

int handle_open(struct fs *fs, struct node *n, int flags, const struct fuse_ctx *who,
		struct handle **ret)
{
	struct handle *h = handle_new(fs, n);
	void (*question)(struct object *o, struct operation *op) = NULL;
	int r = -EINPROGRESS;

	h->is_owners = is_owner(who);
	h->is_writer = (flags & O_ACCMODE) != O_RDONLY;
	h->has_cursor = n->row->type == ATTR_CTL;
	if (n->row->type == ATTR_DISK) {
		h->pid = process_of(who->pid);
		h->is_cached = is_cached(fs, lun_of(n), flags);
		h->is_mapper = h->is_writer && h->is_cached && !(flags & O_DIRECT);
	}
	if (!h->is_writer)
		question = n->row->fetch;
	if (n->row->type == ATTR_DISK && h->is_writer && reservation_is_guarded(lun_of(n)))
		question = reservation_check;
	if (question) {
		h->op = operation_new(fs->loop, on_asked, h);
		question(n->obj, h->op);
	} else {
		r = n->row->type == ATTR_DISK ? open_disk(h) : make_text(h);
	}
	if (r < 0 && r != -EINPROGRESS)
		handle_free(h);
	else
		*ret = h;
	return r;
}

/* The script ends in the middle of a line that nobody will complete. */
static void report_tail(struct handle *h)
{
	const struct node *n = h->node;
	g_autofree char *line = g_strndup(h->tail, h->tail_bytes);
	g_autofree char *shown = command_shown(line, attr_verbs(n->row, n->obj));
	g_autoptr(GString) place = g_string_new(NULL);
	g_autoptr(GError) err = NULL;

	text_wipe(line, strlen(line));
	attr_place(n->dir, n->obj, place);
	error_set_errno(
		&err, ISDSC_INVALID_PARAMETER, EINVAL,
		"the last line was cut off, nothing of it was run; end it with a newline");
	object_fail(n->obj, shown, err);
	log_error("%s: %s: %s", place->str, shown, err->message);
}

static void drop_tail(struct handle *h)
{
	if (!h->tail)
		return;
	text_wipe(h->tail, h->tail_bytes);
	g_free(h->tail);
	h->tail = NULL;
	h->tail_bytes = 0;
}

static void clear_entry(void *p)
{
	g_free(((struct handle_entry *)p)->name);
}

struct handle *handle_open_dir(struct fs *fs, struct node *n)
{
	struct handle *h = handle_new(fs, n);

	h->entries = g_array_new(FALSE, FALSE, sizeof(struct handle_entry));
	g_array_set_clear_func(h->entries, clear_entry);
	return h;
}

bool handle_is_busy(const struct handle *h)
{
	return h->script || h->op;
}

void handle_free(struct handle *h)
{
	assert(!handle_is_busy(h));
	if (h->is_counted)
		close_disk(h);
	if (h->tail && !h->split_error)
		report_tail(h);
	drop_tail(h);
	event_file_close(h);
	if (h->text)
		g_bytes_unref(h->text);
	if (h->entries)
		g_array_free(h->entries, TRUE);
	list_remove(&h->link);
	node_close(&h->fs->nodes, h->node);
	g_free(h);
}

/* --- reading --- */

void handle_read(struct handle *h, fuse_req_t req, size_t size, off_t offset, int flags)
{
	size_t from = h->has_cursor ? h->cursor : (size_t)offset, left;
	const char *text;
	gsize bytes;

	if (event_file_is(h->node->row)) {
		event_file_read(h, req, size, (uint64_t)offset, flags);
		return;
	}
	text = g_bytes_get_data(h->text, &bytes);
	left = from < bytes ? bytes - from : 0;
	if (size > left)
		size = left;
	if (h->has_cursor)
		h->cursor += size;
	fuse_reply_buf(req, size ? text + from : NULL, size);
}

/* --- writing --- */

static void set_text(struct handle *h, const char *text)
{
	g_bytes_unref(h->text);
	h->text = texts_new(&h->fs->texts, g_string_new(text));
	h->cursor = 0;
	h->has_cursor = true;
}

static void script_done(void *arg, const GError *err, const char *reply)
{
	struct handle *h = arg;
	fuse_req_t req = take_back_request(h);

	h->script = NULL;
	texts_forget(&h->fs->texts);
	set_text(h, reply);
	if (!err) {
		fuse_reply_write(req, h->req_bytes);
		return;
	}
	if (h->is_split) {
		h->split_error = error_errno(err);
		h->split_bytes = h->req_bytes;
	}
	fuse_reply_err(req, error_errno(err));
}

/* Is this the begin of something longer? Buffers are multiples of a page. The kernel splits a
 * write at 256 pages of memory, and the first of those may be used in part only. */
static bool is_cut(const char *text, size_t len)
{
	if (!len || text[len - 1] == '\n')
		return false;
	return len % CUT_BYTES == 0 || len > DISK_IO_BYTES_MAX - CUT_BYTES;
}

/* How much of @text is whole lines. */
static size_t whole_bytes(const char *text, size_t len)
{
	const char *end = memrchr(text, '\n', len);

	return end ? (size_t)(end - text) + 1 : 0;
}

/* A piece of this script failed. What comes after it is not run; nor is the same piece when it
 * comes again, as it does from a writer whom the kernel told that only the pieces before were
 * written. */
static bool refuse_rest(struct handle *h, fuse_req_t req, const char *text, size_t len)
{
	int error = h->split_error;
	bool is_rest = h->tail || len == h->split_bytes;

	if (!error)
		return false;
	if (!is_rest || !is_cut(text, len)) {
		drop_tail(h);
		h->split_error = 0;
	}
	if (is_rest)
		fuse_reply_err(req, error);
	return is_rest;
}

static void run_lines(struct handle *h, fuse_req_t req, const char *text, size_t len)
{
	struct object *o = h->node->obj;
	const struct verb *verbs = attr_verbs(h->node->row, o);
	g_autoptr(GString) place = g_string_new(NULL);

	attr_place(h->node->dir, o, place);
	h->script = script_run(h->fs->loop, o, verbs, text, len, script_done, h);
	script_set_place(h->script, place->str);
	script_set_daemon(h->script, h->fs->daemon);
	/* Both: whoever opened it may have handed it to a program that writes, with more rights,
	 * what he made up (sudo's messages), or less. */
	if (h->is_owners && is_owner(fuse_req_ctx(req)))
		script_set_owner(h->script);
	set_request(h, req);
}

static void write_ctl(struct handle *h, fuse_req_t req, const char *text, size_t len)
{
	size_t all = h->tail_bytes + len, whole = all;
	char *joined;

	if (h->script) {
		fuse_reply_err(req, EBUSY);
		return;
	}
	if (refuse_rest(h, req, text, len))
		return;
	joined = g_malloc(all + 1);
	if (h->tail)
		memcpy(joined, h->tail, h->tail_bytes);
	memcpy(joined + h->tail_bytes, text, len);
	h->is_split = h->tail != NULL;
	drop_tail(h);
	if (is_cut(text, len))
		whole = whole_bytes(joined, all);
	if (all - whole > command_line_max(attr_verbs(h->node->row, h->node->obj)))
		whole = all; /* too long a line in any case: refused when it is its turn */
	if (whole < all) {
		h->is_split = true;
		h->tail_bytes = all - whole;
		h->tail = g_memdup2(joined + whole, h->tail_bytes);
	}
	h->req_bytes = len;
	run_lines(h, req, joined, whole);
	text_wipe(joined, all);
	g_free(joined);
}

/* What was set is on the disk, or not. */
static void on_kept(struct operation *op, void *arg)
{
	struct handle *h = arg;
	fuse_req_t req = take_back_request(h);
	struct node *n = h->node;
	g_autoptr(GString) reply = g_string_new(NULL);
	int error = attr_kept(n->dir, n->row, n->obj, op->error, reply);

	h->op = NULL;
	operation_unref(op);
	if (!error) {
		fuse_reply_write(req, h->req_bytes);
		return;
	}
	set_text(h, reply->str);
	fuse_reply_err(req, error);
}

static void write_value(struct handle *h, fuse_req_t req, const char *text, size_t len)
{
	g_autoptr(GString) reply = g_string_new(NULL);
	struct node *n = h->node;
	int error;

	if (h->op) {
		fuse_reply_err(req, EBUSY);
		return;
	}
	error = attr_write(n->dir, n->row, n->obj, text, len, reply);

	texts_forget(&h->fs->texts);
	set_text(h, reply->str);
	if (!error && n->row->keep) {
		h->req_bytes = len;
		h->op = operation_new(h->fs->loop, on_kept, h);
		set_request(h, req);
		n->row->keep(n->obj, h->op);
	} else if (error) {
		fuse_reply_err(req, error);
	} else {
		fuse_reply_write(req, len);
	}
}

void handle_write(struct handle *h, fuse_req_t req, const char *text, size_t len)
{
	if (h->node->row->type == ATTR_CTL)
		write_ctl(h, req, text, len);
	else
		write_value(h, req, text, len);
}

void handle_cancel(struct handle *h, int errno_value)
{
	if (h->op)
		operation_cancel(h->op, errno_value);
	if (h->script)
		script_cancel(h->script, errno_value);
}

/* --- directories --- */

struct lister {
	struct attr_sink sink;
	struct handle *h;
};

static void add_entry(struct handle *h, const char *name, uint64_t ino, mode_t format)
{
	struct handle_entry e = { .name = g_strdup(name), .ino = ino, .format = format };

	g_array_append_val(h->entries, e);
}

static bool lister_add(struct attr_sink *s, const char *name, const struct attr *row,
		       struct object *o)
{
	struct handle *h = container_of(s, struct lister, sink)->h;

	add_entry(h, name, node_ino(&h->fs->nodes, o, row), attr_format(row));
	return true;
}

void handle_list(struct handle *h)
{
	struct lister l = { .sink.add = lister_add, .h = h };
	struct node *n = h->node;

	g_array_set_size(h->entries, 0);
	add_entry(h, ".", n->ino, S_IFDIR);
	add_entry(h, "..", n->ino, S_IFDIR);
	attr_each(n->row->dir, n->obj, &l.sink);
}
