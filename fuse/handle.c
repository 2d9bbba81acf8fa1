/* SPDX-License-Identifier: BSD-2-Clause */
/* Open files; handle.h has the states. Called by fsops.c. A write to a control file is answered
 * from script_done(), which the loop calls; the kernel does not release a file while a write on
 * it is unanswered, so a handle outlives its script unless the daemon ends -- and that
 * waits. */
#include "fuse/handle.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "core/daemon.h"
#include "core/lun.h"
#include "fuse/fs.h"

/* --- the data of a LUN: who has it open (C7) --- */

static struct lun *lun_of(const struct node *n)
{
	return container_of(n->obj, struct lun, obj);
}

static void count_pid(struct lun *lun, pid_t pid, int by)
{
	void *key = GINT_TO_POINTER(pid);
	int count = GPOINTER_TO_INT(g_hash_table_lookup(lun->open_pids, key)) + by;

	if (count > 0)
		g_hash_table_insert(lun->open_pids, key, GINT_TO_POINTER(count));
	else
		g_hash_table_remove(lun->open_pids, key);
}

static int open_disk(struct handle *h, int flags, pid_t pid)
{
	struct lun *lun = lun_of(h->node);

	h->is_writer = (flags & O_ACCMODE) != O_RDONLY;
	if (!lun->has_disk)
		return lun->not_ready ? -lun->not_ready : -ENODEV;
	if (h->is_writer && lun->disk.is_read_only)
		return -EROFS;
	h->pid = pid;
	lun->open_count++;
	lun->open_writers += h->is_writer;
	count_pid(lun, pid, 1);
	return 0;
}

static void close_disk(struct handle *h)
{
	struct lun *lun = lun_of(h->node);

	lun->open_count--;
	lun->open_writers -= h->is_writer;
	count_pid(lun, h->pid, -1);
}

/* --- open and close --- */

static struct handle *handle_new(struct fs *fs, struct node *n)
{
	struct handle *h = g_new0(struct handle, 1);

	h->fs = fs;
	h->node = n;
	node_open(n);
	list_push_tail(&fs->handles, &h->link);
	return h;
}

static void make_text(struct handle *h)
{
	h->text = g_string_new(NULL);
	attr_print(h->node->dir, h->node->row, h->node->obj, h->text);
}

int handle_open(struct fs *fs, struct node *n, int flags, pid_t pid, struct handle **ret)
{
	struct handle *h = handle_new(fs, n);
	int r = 0;

	if (n->row->type == ATTR_DISK)
		r = open_disk(h, flags, pid);
	else
		make_text(h);
	h->has_cursor = n->row->type == ATTR_CTL;
	if (r < 0) {
		handle_free(h);
		return r;
	}
	*ret = h;
	return 0;
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

void handle_free(struct handle *h)
{
	assert(!h->script);
	if (h->pid)
		close_disk(h);
	if (h->text)
		g_string_free(h->text, TRUE);
	if (h->entries)
		g_array_free(h->entries, TRUE);
	list_remove(&h->link);
	node_close(&h->fs->nodes, h->node);
	g_free(h);
}

/* --- reading --- */

void handle_read(struct handle *h, fuse_req_t req, size_t size, off_t offset)
{
	size_t from = h->has_cursor ? h->cursor : (size_t)offset;
	size_t left = from < h->text->len ? h->text->len - from : 0;

	if (size > left)
		size = left;
	if (h->has_cursor)
		h->cursor += size;
	fuse_reply_buf(req, h->text->str + (size ? from : 0), size);
}

/* --- writing --- */

static void set_text(struct handle *h, const char *text)
{
	g_string_assign(h->text, text);
	h->cursor = 0;
	h->has_cursor = true;
}

static void script_done(void *arg, const GError *err, const char *reply)
{
	struct handle *h = arg;
	fuse_req_t req = h->req;

	h->script = NULL;
	h->req = NULL;
	set_text(h, reply);
	if (err)
		fuse_reply_err(req, error_errno(err));
	else
		fuse_reply_write(req, h->req_bytes);
}

static void on_interrupt(fuse_req_t req, void *data)
{
	(void)req;
	handle_cancel(data);
}

static void write_ctl(struct handle *h, fuse_req_t req, const char *text, size_t len)
{
	struct object *o = h->node->obj;
	g_autoptr(GString) place = g_string_new(NULL);

	if (h->script) {
		fuse_reply_err(req, EBUSY);
		return;
	}
	attr_place(h->node->dir, o, place);
	h->req = req;
	h->req_bytes = len;
	h->script =
		script_run(h->fs->loop, o, daemon_verbs(o->kind), text, len, script_done, h);
	script_set_place(h->script, place->str);
	/* Calls on_interrupt() now if the interrupt is here already. */
	fuse_req_interrupt_func(req, on_interrupt, h);
}

static void write_value(struct handle *h, fuse_req_t req, const char *text, size_t len)
{
	g_autoptr(GString) reply = g_string_new(NULL);
	struct node *n = h->node;
	int error = attr_write(n->dir, n->row, n->obj, text, len, reply);

	set_text(h, reply->str);
	if (error)
		fuse_reply_err(req, error);
	else
		fuse_reply_write(req, len);
}

void handle_write(struct handle *h, fuse_req_t req, const char *text, size_t len)
{
	if (h->node->row->type == ATTR_CTL)
		write_ctl(h, req, text, len);
	else
		write_value(h, req, text, len);
}

void handle_cancel(struct handle *h)
{
	if (h->script)
		script_cancel(h->script);
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
