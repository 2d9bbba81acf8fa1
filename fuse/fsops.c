/* SPDX-License-Identifier: BSD-2-Clause */
/* The operations of the file system but for LUN data: one function each, called by libfuse from
 * fs.c. All answer at once, except a write to a control file and an open that has to ask a
 * target. What has gone answers ESTALE when
 * it is a directory (so that the kernel looks the path up again), ENODEV when it is a file; a
 * disk answers as in blkio.c.
 *
 * Entries are never cached, since what they name comes and goes and notifying the kernel from
 * this thread could dead-lock (architecture). Attributes of `disk` are, for a second. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/statvfs.h>

#include "core/lun.h"
#include "fuse/fs.h"
#include "fuse/handle.h"

#define DISK_ATTR_TIMEOUT 1.0 /* seconds: a resize is seen within this */

static struct fs *fs_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static struct handle *handle_of(const struct fuse_file_info *fi)
{
	return (struct handle *)(uintptr_t)fi->fh;
}

static double attr_timeout(const struct attr *row)
{
	return row->type == ATTR_DISK ? DISK_ATTR_TIMEOUT : 0;
}

static int disk_error(const struct node *n)
{
	const struct disk *d = container_of(n->obj, struct lun, obj)->disk;

	if (!d->is_gone)
		return 0;
	return d->gone_errno == ESTALE ? ESTALE : EIO;
}

/* 0, or the positive errno of a node whose object has gone. */
static int gone_error(const struct node *n)
{
	if (!node_is_gone(n))
		return 0;
	switch (n->row->type) {
	case ATTR_DIR:
		return ESTALE;
	case ATTR_DISK:
		return disk_error(n);
	default:
		return ENODEV;
	}
}

/* The node, or NULL and @req has been answered. */
static struct node *live_node(fuse_req_t req, fuse_ino_t ino)
{
	struct node *n = fs_node(fs_of(req), ino);
	int error = gone_error(n);

	if (!error)
		return n;
	fuse_reply_err(req, error);
	return NULL;
}

/* --- names --- */

/* @n, or another one when it was looked up with another size (enum cache_mode, BACK). */
static struct node *node_of_size(struct fs *fs, struct node *n, uint64_t size)
{
	if (n->size && n->size != size)
		n = node_renew(&fs->nodes, n);
	n->size = size;
	return n;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fs *fs = fs_of(req);
	struct node *p = live_node(req, parent), *n;
	struct fuse_entry_param e = { 0 };
	const struct attr *row;
	struct object *o;

	if (!p)
		return;
	if (p->row->type != ATTR_DIR) {
		fuse_reply_err(req, ENOTDIR);
		return;
	}
	if (!attr_find(p->row->dir, p->obj, name, &row, &o)) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	n = node_get(&fs->nodes, o, row, p->row->dir);
	if (row->type == ATTR_DISK && fs->has_writeback)
		n = node_of_size(fs, n, disk_bytes(container_of(o, struct lun, obj)->disk));
	e.ino = (fuse_ino_t)(uintptr_t)n;
	e.generation = o->id;
	e.attr_timeout = attr_timeout(row);
	fs_stat(fs, o, row, &e.attr);
	if (fuse_reply_entry(req, &e) < 0)
		node_forget(&fs->nodes, n, 1); /* the kernel does not know of it */
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
	struct fs *fs = fs_of(req);

	node_forget(&fs->nodes, fs_node(fs, ino), count);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	struct fs *fs = fs_of(req);

	for (size_t i = 0; i < count; i++)
		node_forget(&fs->nodes, fs_node(fs, forgets[i].ino), forgets[i].nlookup);
	fuse_reply_none(req);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct node *n = live_node(req, ino);
	g_autoptr(GString) text = NULL;

	if (!n)
		return;
	text = g_string_new(NULL);
	attr_print(n->dir, n->row, n->obj, text);
	fuse_reply_readlink(req, text->str);
}

/* --- attributes --- */

/* A command may have taken away what it was written to; programs look at a file before they read
 * it, and the reply is to be read still. */
static struct node *node_to_look_at(fuse_req_t req, fuse_ino_t ino)
{
	struct node *n = fs_node(fs_of(req), ino);

	return n->row->type == ATTR_CTL ? n : live_node(req, ino);
}

static void reply_attr(fuse_req_t req, const struct node *n)
{
	struct stat st;

	fs_stat(fs_of(req), n->obj, n->row, &st);
	fuse_reply_attr(req, &st, attr_timeout(n->row));
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node *n = node_to_look_at(req, ino);

	(void)fi;
	if (n)
		reply_attr(req, n);
}

/* A disk has the size it has. `dd of=disk` and `> disk` truncate to 0 as they open it; that is
 * let pass, like on a block device. ftruncate() is refused. */
static int check_size(const struct node *n, const struct stat *now, off_t size, bool has_handle)
{
	if (n->row->type != ATTR_DISK)
		return 0; /* `>` on a ctl or a value */
	if (size == now->st_size || (size == 0 && !has_handle))
		return 0;
	return EINVAL;
}

static int check_setattr(const struct node *n, const struct stat *now, const struct stat *new,
			 int what, bool has_handle)
{
	if (what & FUSE_SET_ATTR_MODE && (new->st_mode & 07777) != (now->st_mode & 07777))
		return EPERM;
	if (what & FUSE_SET_ATTR_UID && new->st_uid != now->st_uid)
		return EPERM;
	if (what & FUSE_SET_ATTR_GID && new->st_gid != now->st_gid)
		return EPERM;
	if (what & FUSE_SET_ATTR_SIZE)
		return check_size(n, now, new->st_size, has_handle);
	return 0; /* times: accepted, and not kept */
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int what,
		       struct fuse_file_info *fi)
{
	struct node *n = live_node(req, ino);
	struct stat now;
	int error;

	if (!n)
		return;
	fs_stat(fs_of(req), n->obj, n->row, &now);
	error = check_setattr(n, &now, attr, what, fi != NULL);
	if (error)
		fuse_reply_err(req, error);
	else
		reply_attr(req, n);
}

/* --- files --- */

static struct lun *lun_of(const struct node *n)
{
	return container_of(n->obj, struct lun, obj);
}

/* Others have it open, by this name: what is cached is what they wrote and read. Those past the
 * cache, such as loop devices, do not count: they may stay for good. */
static bool keeps_cache(const struct node *n)
{
	const struct lun *l = lun_of(n);

	/* ... and not by an inode that was renewed since. */
	return n->cached > 1 && n->cached == l->open_cached && !l->disk->luns->next;
}

/* libfuse 3.14 knows not all of these flags: the answer as the kernel wants it. */
static int reply_open_flags(fuse_req_t req, const struct handle *h, uint32_t flags)
{
	struct fuse_open_out out = { .fh = (uintptr_t)h, .open_flags = flags };

	return fuse_reply_buf(req, (const char *)&out, sizeof(out));
}

static int reply_open(fuse_req_t req, const struct handle *h, struct fuse_file_info *fi)
{
	const struct attr *row = h->node->row;

	if (row->type == ATTR_DISK && !h->is_cached)
		return reply_open_flags(req, h, FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES);
	/* Without a file position no reader waits for another one in the kernel, deaf to signals. */
	if (row->type == ATTR_EVENTS_PIPE)
		return reply_open_flags(req, h,
					FOPEN_DIRECT_IO | FOPEN_NONSEEKABLE | FOPEN_STREAM);
	fi->fh = (uintptr_t)h;
	fi->keep_cache = row->type == ATTR_DISK && keeps_cache(h->node);
	fi->direct_io = row->type != ATTR_DISK;
	fi->nonseekable = row->type == ATTR_CTL;
	return fuse_reply_open(req, fi);
}

/* It may have gone while the target was asked. */
static void on_opened(struct handle *h, fuse_req_t req, struct fuse_file_info *fi, int result)
{
	int error = result < 0 ? -result : gone_error(h->node);

	if (error)
		fuse_reply_err(req, error);
	if (error || reply_open(req, h, fi) < 0)
		handle_free(h);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node *n = live_node(req, ino);
	struct handle *h;
	int r;

	if (!n)
		return;
	r = handle_open(fs_of(req), n, fi->flags, fuse_req_ctx(req), &h);
	if (r == -EINPROGRESS) {
		handle_await(h, req, fi, on_opened);
		return;
	}
	if (r < 0) {
		fuse_reply_err(req, -r);
		return;
	}
	if (reply_open(req, h, fi) < 0)
		handle_free(h); /* interrupted: no RELEASE will come */
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	handle_free(handle_of(fi));
	fuse_reply_err(req, 0);
}

/* What is no disk and no ctl never makes anybody wait, but for the files of events. */
static void op_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
		    struct fuse_pollhandle *poll)
{
	struct handle *h = handle_of(fi);

	(void)ino;
	if (event_file_is(h->node->row)) {
		fuse_reply_poll(req, event_file_poll(h, poll));
		return;
	}
	if (poll)
		fuse_pollhandle_destroy(poll);
	fuse_reply_poll(req, POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM);
}

/* Of a disk: blkio.c has taken those. */
static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *fi)
{
	(void)ino;
	handle_read(handle_of(fi), req, size, offset, fi->flags);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *text, size_t size,
		     off_t offset, struct fuse_file_info *fi)
{
	(void)offset; /* every write is a command, or a value */
	if (live_node(req, ino))
		handle_write(handle_of(fi), req, text, size);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int is_data_only,
		     struct fuse_file_info *fi)
{
	(void)ino;
	(void)is_data_only;
	(void)fi;
	fuse_reply_err(req, 0);
}

/* Of a disk they come to blkio.c. Not to be there would be ENOSYS, and with that the kernel would
 * never ask again, nor of a disk. */
static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence,
		     struct fuse_file_info *fi)
{
	(void)ino;
	(void)offset;
	(void)whence;
	(void)fi;
	fuse_reply_err(req, EINVAL);
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
			 struct fuse_file_info *fi)
{
	(void)ino;
	(void)mode;
	(void)offset;
	(void)length;
	(void)fi;
	fuse_reply_err(req, EOPNOTSUPP);
}

static void op_copy_file_range(fuse_req_t req, fuse_ino_t ino, off_t offset,
			       struct fuse_file_info *fi, fuse_ino_t to_ino, off_t to_offset,
			       struct fuse_file_info *to_fi, size_t length, int flags)
{
	(void)ino;
	(void)offset;
	(void)fi;
	(void)to_ino;
	(void)to_offset;
	(void)to_fi;
	(void)length;
	(void)flags;
	fuse_reply_err(req, EOPNOTSUPP);
}

/* --- directories --- */

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node *n = live_node(req, ino);
	struct handle *h;

	if (!n)
		return;
	h = handle_open_dir(fs_of(req), n);
	fi->fh = (uintptr_t)h;
	if (fuse_reply_open(req, fi) < 0)
		handle_free(h);
}

/* The offset of an entry is its index + 1: where to go on. From the start means a fresh list,
 * for rewinddir(). */
static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		       struct fuse_file_info *fi)
{
	struct handle *h = handle_of(fi);
	g_autofree char *buf = NULL;
	size_t used = 0;

	if (!live_node(req, ino))
		return;
	if (offset == 0)
		handle_list(h);
	buf = g_malloc(size);
	for (size_t i = (size_t)offset; i < h->entries->len; i++) {
		const struct handle_entry *e =
			&g_array_index(h->entries, struct handle_entry, i);
		struct stat st = { .st_ino = e->ino, .st_mode = e->format };
		size_t need = fuse_add_direntry(req, buf + used, size - used, e->name, &st,
						(off_t)i + 1);

		if (need > size - used)
			break;
		used += need;
	}
	fuse_reply_buf(req, buf, used);
}

static void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	op_release(req, ino, fi);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs st = { .f_bsize = 4096, .f_frsize = 4096, .f_namemax = 255 };

	(void)ino;
	fuse_reply_statfs(req, &st);
}

/* --- what people may not do: EPERM reads better than "Function not implemented" --- */

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		     dev_t rdev)
{
	(void)parent;
	(void)name;
	(void)mode;
	(void)rdev;
	fuse_reply_err(req, EPERM);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	op_mknod(req, parent, name, mode, 0);
}

static void op_remove(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	op_mknod(req, parent, name, 0, 0);
}

static void op_symlink(fuse_req_t req, const char *link, fuse_ino_t parent, const char *name)
{
	(void)link;
	op_mknod(req, parent, name, 0, 0);
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t to,
		      const char *to_name, unsigned flags)
{
	(void)to;
	(void)to_name;
	(void)flags;
	op_mknod(req, parent, name, 0, 0);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	(void)ino;
	op_mknod(req, parent, name, 0, 0);
}

/* flush is not there: ENOSYS, once, spares us a request at every close. So with access (the
 * kernel checks permissions), extended attributes, locks. */
const struct fuse_lowlevel_ops fsops = {
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.unlink = op_remove,
	.rmdir = op_remove,
	.symlink = op_symlink,
	.rename = op_rename,
	.link = op_link,
	.open = op_open,
	.poll = op_poll,
	.read = op_read,
	.write = op_write,
	.fsync = op_fsync,
	.lseek = op_lseek,
	.fallocate = op_fallocate,
	.copy_file_range = op_copy_file_range,
	.release = op_release,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.releasedir = op_releasedir,
	.statfs = op_statfs,
};
