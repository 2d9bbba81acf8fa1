/* SPDX-License-Identifier: BSD-2-Clause */
/* The child process for loop devices; loopdev.h is the manual. A straight program: it may wait,
 * it ends when it is done, and is killed when that takes too long. */
#include "core/loopdev.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/loop.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/text.h"

#define LINUX_WANTED "loop devices need Linux 5.9 or newer"
#define TREE_ROOT_NAME "/targets/" /* what the paths of LUNs in the tree begin with */
#define REQUEST_MAX (64 << 20)
#define BAD_REQUEST 1	 /* of a verb */
#define TRIES 64	 /* for a free device: others look for one as well */
#define PAUSE_US 20000	 /* between two looks */
#define PASSING_LOOKS 50 /* a process that looks at a new device is soon gone (udev) */
#define GONE_LOOKS 100	 /* for a device to be detached by the last who had it open */
#define USERS_TOLD 4

/* ---- saying ---- */

/* One line; what could forge another one is escaped. */
static void __attribute__((format(printf, 1, 2))) say(const char *fmt, ...)
{
	char line[1024];
	va_list args;
	char *text;

	va_start(args, fmt);
	text = g_strdup_vprintf(fmt, args);
	va_end(args);
	text_plain(text, strlen(text), line, sizeof(line));
	g_free(text);
	puts(line);
	fflush(stdout);
}

static int fail(int error, const char *what, const char *advice)
{
	say("error %d %s: %s%s%s", error, what, strerror(error), *advice ? "; " : "", advice);
	return -error;
}

/* ---- sysfs ---- */

/* Without the newline; g_free(). NULL with errno. */
static char *read_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static char *read_line(const char *fmt, ...)
{
	char text[8192];
	va_list args;
	char *path;
	ssize_t n;
	int fd;

	va_start(args, fmt);
	path = g_strdup_vprintf(fmt, args);
	va_end(args);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	g_free(path);
	if (fd < 0)
		return NULL;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n < 0)
		return NULL;
	text[n] = '\0';
	if (n && text[n - 1] == '\n')
		text[n - 1] = '\0';
	return g_strdup(text);
}

static const char *name_of(const char *device)
{
	const char *slash = strrchr(device, '/');

	return slash ? slash + 1 : device;
}

gboolean loopdev_is_path(const char *said, const char *path)
{
	size_t len = strlen(path);

	return !strncmp(said, path, len) && (!said[len] || !strcmp(said + len, " (deleted)"));
}

/* NULL with errno. */
static char *backing_file(const char *device)
{
	return read_line("/sys/block/%s/loop/backing_file", name_of(device));
}

gboolean loopdev_is_own_path(const char *said, const char *path)
{
	const char *below = strstr(path, TREE_ROOT_NAME);

	while (below && !loopdev_is_path(said, below))
		below = strstr(below + 1, TREE_ROOT_NAME);
	return loopdev_is_path(said, path) || below;
}

int loopdev_is_over(const char *device, const char *path)
{
	g_autofree char *said = backing_file(device);
	struct stat st;

	if (said)
		return loopdev_is_own_path(said, path);
	if (errno != ENOENT && errno != ENXIO)
		return -errno;
	return stat("/sys/block", &st) == 0 ? 0 : -errno;
}

/* Names in a directory that begin with @prefix; g_ptr_array_unref(). */
static GPtrArray *list_names(const char *directory, const char *prefix)
{
	GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
	GDir *dir = g_dir_open(directory, 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir)))
		if (g_str_has_prefix(name, prefix))
			g_ptr_array_add(names, g_strdup(name));
	if (dir)
		g_dir_close(dir);
	return names;
}

/* "/dev/loopN" of all that are over @path. */
static GPtrArray *find_loops(const char *path)
{
	g_autoptr(GPtrArray) names = list_names("/sys/block", "loop");
	GPtrArray *found = g_ptr_array_new_with_free_func(g_free);

	for (guint i = 0; i < names->len; i++) {
		g_autofree char *said = backing_file(names->pdata[i]);

		if (said && loopdev_is_path(said, path))
			g_ptr_array_add(found,
					g_strdup_printf("/dev/%s", (char *)names->pdata[i]));
	}
	return found;
}

/* ---- who uses a device ---- */

/* Texts that go on after the name of the device, "which is ...". */
struct users {
	GPtrArray *lasting;   /* mounts and the like */
	GPtrArray *processes; /* which may just be looking */
};

static void users_init(struct users *u)
{
	u->lasting = g_ptr_array_new_with_free_func(g_free);
	u->processes = g_ptr_array_new_with_free_func(g_free);
}

static void users_done(struct users *u)
{
	g_ptr_array_unref(u->lasting);
	g_ptr_array_unref(u->processes);
}

static void __attribute__((format(printf, 2, 3))) add(GPtrArray *texts, const char *fmt, ...)
{
	va_list args;

	if (texts->len >= USERS_TOLD)
		return;
	va_start(args, fmt);
	g_ptr_array_add(texts, g_strdup_vprintf(fmt, args));
	va_end(args);
}

/* mountinfo writes blanks and the like as \NNN. */
static char *unescape(const char *s)
{
	GString *out = g_string_new(NULL);

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
		    s[3] >= '0' && s[3] <= '7') {
			g_string_append_c(out, (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 |
						      (s[3] - '0')));
			s += 3;
		} else {
			g_string_append_c(out, *s);
		}
	}
	return g_string_free(out, FALSE);
}

/* "ID PARENT MAJOR:MINOR ROOT PLACE OPTIONS [...] - TYPE SOURCE OPTIONS" (proc(5)). The number
 * is not the device's with every file system (btrfs), the source may be another name of it. */
char *loopdev_mount_point(const char *line, const char *device, const char *number)
{
	g_auto(GStrv) words = g_strsplit(line, " ", -1);
	guint count = g_strv_length(words), dash = 6;

	while (dash < count && strcmp(words[dash], "-"))
		dash++;
	if (dash + 2 >= count)
		return NULL;
	if (strcmp(words[2], number) && strcmp(words[dash + 2], device))
		return NULL;
	return unescape(words[4]);
}

static void add_mounts(struct users *u, const char *device, const char *number)
{
	g_autofree char *text = NULL;
	g_auto(GStrv) lines = NULL;

	if (!g_file_get_contents("/proc/self/mountinfo", &text, NULL, NULL))
		return;
	lines = g_strsplit(text, "\n", -1);
	for (char **line = lines; *line; line++) {
		g_autofree char *place = loopdev_mount_point(*line, device, number);

		if (place)
			add(u->lasting, "mounted on %s", place);
	}
}

static void add_swaps(struct users *u, const char *device)
{
	g_autofree char *text = NULL;
	g_auto(GStrv) lines = NULL;
	size_t len = strlen(device);

	if (!g_file_get_contents("/proc/swaps", &text, NULL, NULL))
		return;
	lines = g_strsplit(text, "\n", -1);
	for (char **line = lines; *line; line++)
		if (!strncmp(*line, device, len) && (*line)[len] == ' ')
			add(u->lasting, "swapped to");
}

static void add_holders(struct users *u, const char *directory)
{
	g_autofree char *path = g_strdup_printf("%s/holders", directory);
	g_autoptr(GPtrArray) names = list_names(path, "");

	for (guint i = 0; i < names->len; i++) {
		const char *name = names->pdata[i];
		g_autofree char *called = read_line("/sys/block/%s/dm/name", name);

		if (called)
			add(u->lasting, "part of /dev/mapper/%s", called);
		else
			add(u->lasting, "part of /dev/%s", name);
	}
}

/* What the processes have open: names only, no file system is asked for its file. */
struct open_file {
	int pid;
	char *path;
};

static void clear_open_file(void *p)
{
	g_free(((struct open_file *)p)->path);
}

static void look_at(GArray *files, int pid)
{
	g_autofree char *directory = g_strdup_printf("/proc/%d/fd", pid);
	g_autoptr(GPtrArray) names = list_names(directory, "");
	char said[8192];

	for (guint i = 0; i < names->len; i++) {
		g_autofree char *link =
			g_strdup_printf("%s/%s", directory, (char *)names->pdata[i]);
		ssize_t n = readlink(link, said, sizeof(said) - 1);
		struct open_file f = { pid, NULL };

		if (n <= 0 || said[0] != '/')
			continue;
		f.path = g_strndup(said, (gsize)n);
		g_array_append_val(files, f);
	}
}

/* Of all processes that we can see, without this one; g_array_unref(). */
static GArray *list_open_files(void)
{
	g_autoptr(GPtrArray) pids = list_names("/proc", "");
	GArray *files = g_array_new(FALSE, FALSE, sizeof(struct open_file));

	g_array_set_clear_func(files, clear_open_file);
	for (guint i = 0; i < pids->len; i++) {
		int pid = atoi(pids->pdata[i]);

		if (pid > 0 && pid != getpid())
			look_at(files, pid);
	}
	return files;
}

/* Texts "open by pid N (NAME)" of those that have @path open, each once. */
static void add_processes(GPtrArray *texts, const GArray *files, const char *path)
{
	int last = 0;

	for (guint i = 0; i < files->len; i++) {
		const struct open_file *f = &g_array_index(files, struct open_file, i);
		g_autofree char *name = NULL;

		if (f->pid == last || !loopdev_is_path(f->path, path))
			continue;
		last = f->pid;
		name = read_line("/proc/%d/comm", f->pid);
		add(texts, "open by pid %d (%s)", f->pid, name ? name : "?");
	}
}

static void add_node(struct users *u, const GArray *files, const char *directory,
		     const char *name)
{
	g_autofree char *device = g_strdup_printf("/dev/%s", name);
	g_autofree char *number = read_line("%s/dev", directory);

	if (number)
		add_mounts(u, device, number);
	add_swaps(u, device);
	add_holders(u, directory);
	add_processes(u->processes, files, device);
}

static void find_users(struct users *u, const GArray *files, const char *device)
{
	const char *name = name_of(device);
	g_autofree char *directory = g_strdup_printf("/sys/block/%s", name);
	g_autofree char *prefix = g_strdup_printf("%sp", name);
	g_autoptr(GPtrArray) parts = list_names(directory, prefix);

	add_node(u, files, directory, name);
	for (guint i = 0; i < parts->len; i++) {
		g_autofree char *part =
			g_strdup_printf("%s/%s", directory, (char *)parts->pdata[i]);

		add_node(u, files, part, parts->pdata[i]);
	}
}

/* ---- attach ---- */

static int open_control(void)
{
	int fd = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	return fail(errno, "/dev/loop-control",
		    errno == ENOENT || errno == ENODEV	? "load the kernel's module loop"
		    : errno == EACCES || errno == EPERM ? "attaching loop devices needs root"
							: "");
}

/* Of the tree, and not of what is in its place when that was unmounted meanwhile. */
static int open_file(const char *path, bool is_read_only)
{
	const int flags = O_DIRECT | O_NOFOLLOW | O_CLOEXEC;
	int access = is_read_only ? O_RDONLY : O_RDWR;
	int fd = open(path, access | flags);
	struct statfs fs;

	/* The tree may be mounted read-only. */
	if (fd < 0 && access == O_RDWR && (errno == EROFS || errno == EACCES || errno == EPERM))
		fd = open(path, O_RDONLY | flags);
	if (fd < 0)
		return fail(errno, path,
			    errno == EBUSY ? "guard=yes, and this side does not hold the "
					     "reservation: take it first, then `attach`"
					   : "");
	if (fstatfs(fd, &fs) < 0 || fs.f_type != FUSE_SUPER_MAGIC) {
		close(fd);
		return fail(ENODEV, path, "the tree is not mounted there any more");
	}
	return fd;
}

/* A free device, open; its number may be somebody else's when we use it. -errno after fail().
 */
static int open_free(int control, char *name, size_t size)
{
	int fd = -1, error = EAGAIN, number;

	for (int i = 0; i < TRIES && fd < 0; i++) {
		number = ioctl(control, LOOP_CTL_GET_FREE);
		if (number < 0)
			return fail(errno, "no free loop device", "");
		snprintf(name, size, "/dev/loop%d", number);
		fd = open(name, O_RDWR | O_CLOEXEC);
		error = errno;
		if (fd < 0 && error != ENOENT && error != ENXIO)
			break;
		if (fd < 0)
			usleep(PAUSE_US); /* its node is being made */
	}
	return fd < 0 ? fail(error, name, "") : fd;
}

/* The LUN's own block size, if the kernel takes it; else the largest that it does: then writes
 * of less than a block of the LUN are completed by the daemon. */
static int configure(int fd, int file, uint32_t block_bytes, bool is_read_only)
{
	struct loop_config c = { .fd = (uint32_t)file };

	/* Until it is there for good, it goes with this process. */
	c.info.lo_flags = LO_FLAGS_DIRECT_IO | LO_FLAGS_AUTOCLEAR | LO_FLAGS_PARTSCAN |
			  (is_read_only ? LO_FLAGS_READ_ONLY : 0);
	while (block_bytes & (block_bytes - 1))
		block_bytes &= block_bytes - 1;
	for (c.block_size = MAX(block_bytes, 512);; c.block_size /= 2) {
		if (ioctl(fd, LOOP_CONFIGURE, &c) == 0)
			return 0;
		if (errno != EINVAL || c.block_size == 512)
			return -errno;
	}
}

static int keep(int fd)
{
	struct loop_info64 info;

	if (ioctl(fd, LOOP_GET_STATUS64, &info) < 0)
		return -errno;
	info.lo_flags &= ~(uint32_t)LO_FLAGS_AUTOCLEAR;
	for (int i = 0; i < TRIES; i++) {
		if (ioctl(fd, LOOP_SET_STATUS64, &info) == 0)
			return 0;
		if (errno != EAGAIN)
			return -errno;
		usleep(PAUSE_US);
	}
	return -EAGAIN;
}

static int configure_free(int control, int file, uint32_t block_bytes, bool is_read_only,
			  char *name, size_t size)
{
	int fd, r = -EBUSY;

	for (int i = 0; i < TRIES && r == -EBUSY; i++) {
		fd = open_free(control, name, size);
		if (fd < 0)
			return fd;
		r = configure(fd, file, block_bytes, is_read_only);
		if (r == 0)
			return fd;
		close(fd);
	}
	return fail(-r, name, r == -ENOTTY || r == -EINVAL ? LINUX_WANTED : "");
}

static int attach(char **words, guint count)
{
	char device[32];
	int control, file, fd, r;
	bool is_read_only;
	uint64_t block_bytes;

	if (count != 3 || text_parse_u64(words[1], 1, UINT32_MAX, &block_bytes) < 0)
		return BAD_REQUEST;
	is_read_only = !strcmp(words[2], "ro");
	control = open_control();
	if (control < 0)
		return control;
	file = open_file(words[0], is_read_only);
	if (file < 0)
		return file;
	fd = configure_free(control, file, (uint32_t)block_bytes, is_read_only, device,
			    sizeof(device));
	if (fd < 0)
		return fd;
	say("device %s", device);
	r = keep(fd);
	if (r < 0)
		return fail(-r, device, "");
	puts("ok");
	return 0;
}

/* ---- release ---- */

struct item {
	const char *name, *device, *path;
	int fd; /* of the device, exclusive; -1: none */
};

static bool is_ours(const struct item *x)
{
	return *x->device && loopdev_is_over(x->device, x->path) == 1;
}

static unsigned tell_users(const struct item *x, const char *device, const struct users *u)
{
	unsigned told = 0;
	const GPtrArray *const all[] = { u->lasting, u->processes };

	for (unsigned k = 0; k < 2; k++)
		for (guint i = 0; i < all[k]->len; i++, told++)
			say("busy %s is open by %s, which is %s", x->name, device,
			    (char *)all[k]->pdata[i]);
	return told;
}

/* Opening it exclusively keeps others from mounting it from now on, and finds those whom we
 * cannot see: in other mount namespaces, for instance. */
static unsigned tell_hidden(struct item *x)
{
	x->fd = open(x->device, O_RDONLY | O_EXCL | O_CLOEXEC);
	if (x->fd >= 0 || errno != EBUSY)
		return 0;
	say("busy %s is open by %s, which is mounted or held by something that cannot be seen "
	    "from here",
	    x->name, x->device);
	return 1;
}

static unsigned check_own(struct item *x, const GArray *files)
{
	struct users u;
	unsigned told;

	users_init(&u);
	find_users(&u, files, x->device);
	told = tell_users(x, x->device, &u);
	users_done(&u);
	return told ? told : tell_hidden(x);
}

static unsigned check_foreign(const struct item *x, const GArray *files, const char *device)
{
	struct users u;
	unsigned told;

	users_init(&u);
	find_users(&u, files, device);
	told = tell_users(x, device, &u);
	users_done(&u);
	if (told)
		return told;
	say("busy %s is open by %s, a loop device that nobody uses: losetup -d %s", x->name,
	    device, device);
	return 1;
}

/* Is @device over what was at @path before: a unit that has gone? (Or the file was renewed for its
 * size; then the daemon knows that it is open.) */
static bool is_over_a_former_one(const char *device, const char *path)
{
	struct loop_info64 info;
	struct stat st;
	int fd = open(device, O_RDONLY | O_CLOEXEC);
	bool is_known = fd >= 0 && ioctl(fd, LOOP_GET_STATUS64, &info) == 0;

	if (fd >= 0)
		close(fd);
	return is_known && stat(path, &st) == 0 && info.lo_inode != st.st_ino;
}

/* Others than our own device. */
static unsigned check_path(const struct item *x, const GArray *files)
{
	g_autoptr(GPtrArray) loops = find_loops(x->path);
	g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(g_free);
	unsigned told = 0;

	for (guint i = 0; i < loops->len; i++)
		if (strcmp(loops->pdata[i], x->device) &&
		    !is_over_a_former_one(loops->pdata[i], x->path))
			told += check_foreign(x, files, loops->pdata[i]);
	add_processes(texts, files, x->path);
	for (guint i = 0; i < texts->len; i++)
		say("busy %s is %s: %s", x->name, (char *)texts->pdata[i], x->path);
	return told + texts->len;
}

/* 0: it is gone, or goes with the last who has it open. Else -errno; -EBUSY: it is not gone
 * after so many looks. It is open when it is looked at, and so does not become another's. */
static int detach(struct item *x, int looks)
{
	int r;

	if (x->fd < 0)
		x->fd = open(x->device, O_RDONLY | O_CLOEXEC);
	if (x->fd < 0)
		return errno == ENOENT || errno == ENXIO ? 0 : -errno;
	r = loopdev_is_over(x->device, x->path);
	if (r == 1) {
		r = ioctl(x->fd, LOOP_CLR_FD) < 0 && errno != ENXIO ? -errno : 0;
		looks = r == 0 ? looks : 0;
	} else {
		looks = 0;
	}
	close(x->fd); /* with this, as a rule */
	x->fd = -1;
	for (int i = 0; i < looks; i++) {
		if (!is_ours(x))
			return 0;
		r = -EBUSY;
		usleep(PAUSE_US);
	}
	return r;
}

/* Does only a process use them, which may just be looking, as udev does at every new device? */
static bool is_passing(const GArray *items, const GArray *files)
{
	bool has_process = false, has_more = false;

	for (guint i = 0; i < items->len; i++) {
		const struct item *x = &g_array_index(items, struct item, i);
		struct users u;

		if (!is_ours(x))
			continue;
		users_init(&u);
		find_users(&u, files, x->device);
		has_process |= u.processes->len > 0;
		has_more |= u.lasting->len > 0;
		users_done(&u);
	}
	return has_process && !has_more;
}

static unsigned check(GArray *items, bool is_logout)
{
	g_autoptr(GArray) files = list_open_files();
	unsigned busy = 0;

	for (int i = 0; i < PASSING_LOOKS && is_passing(items, files); i++) {
		usleep(PAUSE_US);
		g_array_unref(files);
		files = list_open_files();
	}
	for (guint i = 0; i < items->len; i++) {
		struct item *x = &g_array_index(items, struct item, i);

		if (is_ours(x))
			busy += check_own(x, files);
		if (is_logout)
			busy += check_path(x, files);
	}
	return busy;
}

static int release_items(GArray *items, bool is_forced)
{
	int error = 0;

	for (guint i = 0; i < items->len; i++) {
		struct item *x = &g_array_index(items, struct item, i);
		int r = *x->device ? detach(x, is_forced ? 0 : GONE_LOOKS) : 0;

		if (r < 0)
			say("busy %s: %s: %s", x->name, x->device,
			    r == -EBUSY ? "somebody keeps it open" : strerror(-r));
		else if (*x->device)
			say("detached %s", x->device);
		error = r < 0 ? r : error;
	}
	if (error < 0) {
		say("error %d not all loop devices could be detached", -error);
		return error;
	}
	puts("ok");
	return 0;
}

static int release(char **words, guint count)
{
	g_autoptr(GArray) items = g_array_new(FALSE, FALSE, sizeof(struct item));
	bool is_forced, is_check, is_logout;

	if (count % 3 != 1)
		return BAD_REQUEST;
	is_forced = !strcmp(words[0], "force");
	is_check = !strcmp(words[0], "check");
	is_logout = is_check || !strcmp(words[0], "logout");
	for (guint i = 1; i < count; i += 3) {
		struct item x = { words[i], words[i + 1], words[i + 2], -1 };

		g_array_append_val(items, x);
	}
	if (!is_forced && check(items, is_logout)) {
		say("error %d in use", EBUSY);
		return -EBUSY;
	}
	if (is_check) {
		puts("ok"); /* its exclusive opens of the devices end with it */
		return 0;
	}
	return release_items(items, is_forced);
}

/* ---- resize ---- */

/* Older kernels take the size that the kernel has of the file: it must be asked for first. */
static int resize(char **words, guint count)
{
	g_autoptr(GPtrArray) loops = NULL;
	struct statx stx;

	if (count != 1)
		return BAD_REQUEST;
	statx(AT_FDCWD, words[0], AT_STATX_FORCE_SYNC, STATX_SIZE, &stx);
	loops = find_loops(words[0]);
	for (guint i = 0; i < loops->len; i++) {
		int fd = open(loops->pdata[i], O_RDONLY | O_CLOEXEC);

		if (fd >= 0 && ioctl(fd, LOOP_SET_CAPACITY) == 0)
			say("resized %s", (char *)loops->pdata[i]);
		else
			say("kept %s %s", (char *)loops->pdata[i], strerror(errno));
		if (fd >= 0)
			close(fd);
	}
	puts("ok");
	return 0;
}

/* ---- look ---- */

static int look(char **words, guint count)
{
	char real[PATH_MAX];
	struct stat st;

	if (count != 1)
		return BAD_REQUEST;
	if (!realpath(words[0], real) || stat(real, &st) < 0)
		return fail(errno, words[0], "");
	if (S_ISBLK(st.st_mode))
		say("device %u:%u", major(st.st_rdev), minor(st.st_rdev));
	else
		say("%s %s", S_ISDIR(st.st_mode) ? "directory" : "file", real);
	puts("ok");
	return 0;
}

/* ---- main ---- */

static const struct {
	const char *name;
	/* 0, -errno after it has said why, or BAD_REQUEST. */
	int (*run)(char **words, guint count);
} verbs[] = {
	{ "attach", attach },
	{ "release", release },
	{ "resize", resize },
	{ "look", look },
};

static GString *read_all(int fd)
{
	GString *text = g_string_new(NULL);
	char piece[65536];
	ssize_t n;

	while (text->len < REQUEST_MAX && (n = read(fd, piece, sizeof(piece))) > 0)
		g_string_append_len(text, piece, n);
	return text;
}

static GPtrArray *split(const GString *text)
{
	GPtrArray *words = g_ptr_array_new();

	for (size_t at = 0; at < text->len; at += strlen(text->str + at) + 1)
		g_ptr_array_add(words, text->str + at);
	return words;
}

int loopdev_main(const char *parent)
{
	g_autoptr(GString) text = NULL;
	g_autoptr(GPtrArray) words = NULL;
	int r = BAD_REQUEST;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "iscsifs"); /* else it is "exe" */
	if (getppid() != atoi(parent))
		return EXIT_FAILURE;
	/* memfd and pipe are 0 and 1: whatever else there is, is nothing of ours. */
	if (close_range(3, ~0U, 0) < 0) {
		say("error %d %s", errno, LINUX_WANTED);
		fflush(stdout);
		return EXIT_FAILURE;
	}
	text = read_all(STDIN_FILENO);
	words = split(text);
	for (size_t i = 0; words->len && i < G_N_ELEMENTS(verbs); i++)
		if (!strcmp(verbs[i].name, words->pdata[0]))
			r = verbs[i].run((char **)words->pdata + 1, words->len - 1);
	if (r == BAD_REQUEST)
		say("error %d bad request", EINVAL);
	fflush(stdout);
	return EXIT_SUCCESS;
}
