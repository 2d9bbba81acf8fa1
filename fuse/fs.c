/* SPDX-License-Identifier: BSD-2-Clause */
/* The FUSE session: making, mounting, the device's readiness, the end. fs.h has the states.
 *
 * libfuse does what is not data: FUSE_INIT, names, attributes, opening, control files. It is
 * handed requests with fuse_session_process_buf(), and answers by writing to the device. Of
 * libfuse 3.14 it matters that INTERRUPT for a request that it has not seen is kept and
 * answered EAGAIN (blkio.c takes those of its own first), and that it leaves the buffer of a
 * FUSE_WRITE to us. */
#include "fuse/fs.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "core/daemon.h"
#include "core/lun.h"
#include "core/usage.h"
#include "fuse/handle.h"
#include "fuse/mountpoint.h"
#include "fuse/tree.h"

#define FS_BUDGET 64 /* requests a turn: so that the targets' sockets get theirs */

/* O_DIRECT can go two ways in the kernel. The usual one makes a short write (over the end of
 * the disk) EIO, waits for each request deaf to signals, and lets one write() at a time in. So
 * an O_DIRECT open is answered with FOPEN_DIRECT_IO, which has none of that (and no shared mmap
 * of that descriptor). From this protocol version on (Linux 6.6) such a write drops the pages
 * that it makes stale; before, other openers could read old data, so there it is the usual
 * way. */
#define FS_DIRECT_OPEN_MINOR 39

/* coreutils write in pieces of st_blksize: so a script comes as one write. */
#define CTL_BLOCK_BYTES DISK_IO_BYTES_MAX

/* What libfuse said last, a line in pieces: kept for the message when it fails. Its log
 * function has no argument, so this is one a process. */
static char fuse_said[256];

static void on_fuse_log(enum fuse_log_level level, const char *fmt, va_list args)
	__attribute__((format(printf, 2, 0)));

static void on_fuse_log(enum fuse_log_level level, const char *fmt, va_list args)
{
	size_t used = strlen(fuse_said);

	if (used && fuse_said[used - 1] == '\n')
		used = 0;
	vsnprintf(fuse_said + used, sizeof(fuse_said) - used, fmt, args);
	used = strlen(fuse_said);
	if (used == sizeof(fuse_said) - 1)
		fuse_said[used - 1] = '\n'; /* cut */
	if (!strchr(fuse_said, '\n'))
		return;
	log_write(level > FUSE_LOG_WARNING ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING, "%.*s",
		  (int)strcspn(fuse_said, "\n"), fuse_said);
}

static void set_fuse_error(GError **err, const char *what)
{
	error_set(err, ISDSC_NON_SPECIFIC_ERROR, "%s%s%s", what, *fuse_said ? ": " : "",
		  g_strchomp(fuse_said));
}

/* --- the device --- */

static bool is_ours(const struct fs *fs)
{
	return fs->device ? mountpoint_is(fs->mountpoint, fs->device) : fs->mountpoint != NULL;
}

static void forget_mount(struct fs *fs)
{
	g_clear_pointer(&fs->mountpoint, g_free);
	g_clear_pointer(&fs->device, g_free);
}

/* The kernel has let go. As a rule the mount went with it, and its number with the mount: the
 * next one may have it, so this is the last time to look. If it is still there, somebody
 * aborted the connection; nobody else would take the dead mount away. */
static void let_go(struct fs *fs)
{
	if (fs->device && is_ours(fs)) {
		log_warning("%s: the connection to the kernel was aborted; unmounting",
			    fs->mountpoint);
		mountpoint_detach(fs->mountpoint);
	}
	forget_mount(fs);
}

static void end(struct fs *fs)
{
	if (fs->state == FS_ENDED)
		return;
	fs->state = FS_ENDED;
	loop_fd_remove(&fs->watch);
	fs->ended(fs, fs->arg);
}

/* A request that went away between epoll and read is ENOENT, the end of the mount ENODEV. */
static bool is_passing(int error)
{
	return error == EAGAIN || error == EINTR || error == ENOENT;
}

/* One request; false: there is none, or none is to be read now. */
static bool take_request(struct fs *fs)
{
	struct fuse_buf buf;
	ssize_t n;

	if (!blkio_reserve(&fs->blkio)) {
		loop_fd_set(&fs->watch, 0);
		return false;
	}
	n = read(fs->watch.fd, fs->blkio.rx, BLKIO_RX_BYTES);
	if (n < 0) {
		if (is_passing(errno))
			return errno != EAGAIN;
		if (errno == ENODEV)
			let_go(fs);
		else
			log_error("reading the FUSE device failed: %s", strerror(errno));
		end(fs);
		return false;
	}
	if (blkio_take(&fs->blkio, (size_t)n))
		return true;
	buf = (struct fuse_buf){ .mem = fs->blkio.rx, .size = (size_t)n };
	fuse_session_process_buf(fs->session, &buf);
	/* What was written to a control file may have a secret in it. */
	if (fs->blkio.rx == buf.mem)
		text_wipe(buf.mem, (size_t)n);
	return fs->state != FS_ENDED;
}

static void on_readable(struct loop_fd *w, uint32_t events)
{
	struct fs *fs = container_of(w, struct fs, watch);

	if (events & EPOLLERR) {
		let_go(fs);
		end(fs);
		return;
	}
	for (unsigned i = 0; i < FS_BUDGET && take_request(fs); i++)
		;
}

static void on_room(struct blkio *b)
{
	struct fs *fs = container_of(b, struct fs, blkio);

	if (loop_fd_is_active(&fs->watch))
		loop_fd_set(&fs->watch, EPOLLIN);
}

/* --- the start --- */

static void on_ready(struct loop_call *c)
{
	struct fs *fs = container_of(c, struct fs, ready_call);

	fs->ready(fs, fs->arg);
}

/* The answer to FUSE_INIT leaves when this has returned: whoever waits hears of it
 * after that. */
static void on_init(void *userdata, struct fuse_conn_info *conn)
{
	static const unsigned wanted = FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO |
				       FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_AUTO_INVAL_DATA;
	/* Without atomic O_TRUNC, `> disk` comes as a truncation to 0, which does nothing. */
	static const unsigned unwanted = FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_SPLICE_READ |
					 FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
					 FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_READDIRPLUS |
					 FUSE_CAP_READDIRPLUS_AUTO;
	struct fs *fs = userdata;

	conn->want |= conn->capable & wanted;
	conn->want &= ~unwanted;
	fs->has_writeback = fs->daemon->conf.cache == CACHE_BACK &&
			    conn->capable & FUSE_CAP_WRITEBACK_CACHE;
	if (fs->has_writeback)
		conn->want |= FUSE_CAP_WRITEBACK_CACHE;
	fs->blkio.has_writeback = fs->has_writeback;
	conn->max_write = DISK_IO_BYTES_MAX;
	conn->max_readahead = DISK_IO_BYTES_MAX;
	conn->max_background = fs->daemon->conf.io_depth;
	conn->congestion_threshold = conn->max_background;
	conn->time_gran = 1000;
	fs->has_direct_open =
		conn->proto_major > 7 || conn->proto_minor >= FS_DIRECT_OPEN_MINOR;
	fs->state = FS_READY;
	loop_call_queue(fs->loop, &fs->ready_call);
}

static struct fuse_session *session_make(struct fs *fs, GError **err)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_lowlevel_ops ops = fsops;
	struct fuse_session *session;
	const char *own = "fsname=iscsifs,subtype=iscsifs,default_permissions";
	const char *users = fs->config.fuse_options;

	ops.init = on_init;
	fuse_said[0] = '\0';
	fuse_set_log_func(on_fuse_log);
	fuse_opt_add_arg(&args, "iscsifs");
	fuse_opt_add_arg(&args, "-o");
	fuse_opt_add_arg(&args, own);
	if (users && *users) {
		fuse_opt_add_arg(&args, "-o");
		fuse_opt_add_arg(&args, users);
	}
	session = fuse_session_new(&args, &ops, sizeof(ops), fs);
	fuse_opt_free_args(&args);
	if (!session)
		set_fuse_error(err, "bad mount options");
	return session;
}

void fs_take_conf(struct fs *fs)
{
	fs->blkio.spin_us = fs->daemon->conf.busy_poll;
}

struct fs *fs_new(struct loop *l, struct daemon *d, const struct fs_config *c,
		  void (*ready)(struct fs *, void *), void (*ended)(struct fs *, void *),
		  void *arg, GError **err)
{
	struct fs *fs = g_new0(struct fs, 1);

	fs->loop = l;
	fs->daemon = d;
	fs->config = *c;
	fs->ready = ready;
	fs->ended = ended;
	fs->arg = arg;
	list_init(&fs->handles);
	texts_init(&fs->texts, l);
	event_files_init(&fs->event_files, d);
	loop_call_init(&fs->ready_call, on_ready);
	clock_gettime(CLOCK_REALTIME, &fs->started);
	if (blkio_init(&fs->blkio, d->conf.io_depth, d->worker, on_room) < 0) {
		error_set(err, ISDSC_OUT_OF_RESOURCES, "no memory for %u I/O buffers",
			  d->conf.io_depth);
		event_files_end(&fs->event_files);
		texts_done(&fs->texts);
		g_free(fs);
		return NULL;
	}
	fs_take_conf(fs);
	fs->blkio.interrupts = &fs->interrupts;
	interrupt_watch_init(&fs->interrupts, l);
	node_table_init(&fs->nodes, &tree_root_row, &d->obj);
	fs->session = session_make(fs, err);
	if (fs->session)
		return fs;
	fs_free(fs);
	return NULL;
}

/* For child processes: see attach.h. */
static char *disk_path(const struct lun *l, void *arg)
{
	const struct fs *fs = arg;
	g_autoptr(GString) place = g_string_new(NULL);

	if (!fs->mountpoint)
		return NULL;
	tree_lun_dir.place(&l->obj, place);
	return g_strdup_printf("%s/%s/disk", fs->mountpoint, place->str);
}

gboolean fs_mount(struct fs *fs, const char *mountpoint, GError **err)
{
	int fd, r;

	assert(fs->state == FS_NEW);
	fuse_said[0] = '\0';
	if (fuse_session_mount(fs->session, mountpoint) < 0) {
		set_fuse_error(err, "mounting failed");
		return FALSE;
	}
	fs->state = FS_MOUNTED;
	fs->mountpoint = g_strdup(mountpoint);
	fs->device = mountpoint_device(mountpoint);
	fs->daemon->disk_path = disk_path;
	fs->daemon->disk_path_arg = fs;
	fd = fuse_session_fd(fs->session);
	fs->blkio.fd = fd;
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	r = loop_fd_add(fs->loop, &fs->watch, fd, EPOLLIN, on_readable);
	if (r == 0)
		return TRUE;
	error_set_errno(err, ISDSC_NON_SPECIFIC_ERROR, -r,
			"watching the FUSE device failed: %s", strerror(-r));
	fs_unmount(fs);
	return FALSE;
}

/* --- the end --- */

void fs_cancel_commands(struct fs *fs)
{
	list_for_each(link, &fs->handles)
		handle_cancel(list_entry(link, struct handle, link), EBUSY);
}

bool fs_is_idle(const struct fs *fs)
{
	list_for_each(link, &fs->handles)
		if (handle_is_busy(list_entry(link, struct handle, link)))
			return false;
	return blkio_is_idle(&fs->blkio);
}

/* Make libfuse believe that its device is unmounted: then it closes it, and does no more. */
static void hide_mount(int device)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return;
	close(fds[0]); /* the other end has POLLERR now */
	dup3(fds[1], device, O_CLOEXEC);
	close(fds[1]);
}

void fs_unmount(struct fs *fs)
{
	bool is_left;

	loop_call_cancel(&fs->ready_call);
	event_files_end(&fs->event_files);
	loop_fd_remove(&fs->watch);
	fs->state = FS_ENDED;
	if (fs->blkio.fd < 0)
		return;
	is_left = fs->mountpoint && is_ours(fs);
	if (fs->mountpoint && !is_left)
		log_warning("%s: something else is mounted there now, or nothing; it stays",
			    fs->mountpoint);
	if (!is_left)
		hide_mount(fs->blkio.fd);
	fs->blkio.fd = -1;
	/* Closes first: unmounting a mount that we serve would wait for us. */
	fuse_session_unmount(fs->session);
	forget_mount(fs);
}

void fs_free(struct fs *fs)
{
	struct list *link;

	if (!fs)
		return;
	fs_unmount(fs);
	fs->daemon->disk_path = NULL;
	while ((link = list_first(&fs->handles)))
		handle_free(list_entry(link, struct handle, link));
	texts_done(&fs->texts);
	node_table_done(&fs->nodes);
	blkio_done(&fs->blkio);
	interrupt_watch_done(&fs->interrupts);
	if (fs->session)
		fuse_session_destroy(fs->session);
	g_free(fs);
}

/* --- nodes --- */

struct node *fs_node(struct fs *fs, fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? fs->nodes.root : (struct node *)(uintptr_t)ino;
}

static void stat_disk(const struct object *o, struct stat *st)
{
	struct lun *lun = container_of(o, struct lun, obj);
	uint64_t used = usage_bytes(lun);

	if (lun->disk->is_read_only)
		st->st_mode &= ~(mode_t)0222;
	st->st_size = (off_t)disk_bytes(lun->disk);
	st->st_blocks = (blkcnt_t)(used / 512);
	st->st_blksize = (blksize_t)lun_block_size_hint(lun);
}

void fs_stat(const struct fs *fs, const struct object *o, const struct attr *row,
	     struct stat *ret)
{
	bool is_root = o == fs->nodes.root->obj && row == fs->nodes.root->row;

	*ret = (struct stat){
		.st_ino = is_root ? fs->nodes.root->ino : node_ino(&fs->nodes, o, row),
		.st_mode = attr_format(row),
		.st_nlink = row->type == ATTR_DIR ? 2 : 1,
		.st_blksize = 4096,
		.st_atim = fs->started,
		.st_mtim = fs->started,
		.st_ctim = fs->started,
	};
	permissions_apply(&fs->config.permissions, row, ret);
	if (row->type == ATTR_CTL)
		ret->st_blksize = CTL_BLOCK_BYTES;
	if (event_file_is(row))
		event_file_stat(fs->daemon, row, ret);
	if (row->type == ATTR_DISK)
		stat_disk(o, ret);
}
