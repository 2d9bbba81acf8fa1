/* SPDX-License-Identifier: BSD-2-Clause */
/* Decodes the directory that ibft.h describes; runs in a helper thread and touches nothing but its
 * own memory. The names of the files are those of the kernel's drivers/scsi/iscsi_boot_sysfs.c. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "core/ibft.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"

#define FLAG_VALID 0x1
#define ENTRIES_MAX 1024 /* of the directory */

#define REFUSE(err, errno_value, ...) \
	error_set_errno(err, ISDSC_NON_SPECIFIC_ERROR, errno_value, __VA_ARGS__)

/* A block that is being read. After the first error nothing more is. */
struct block {
	int fd;
	const char *name; /* "target0" */
	GError **err;
	bool has_failed;
};

/* ---- files ---- */

/* -1 with errno; what is not a regular file is EINVAL. */
static int open_value(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0 || (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)))
		return fd;
	close(fd);
	errno = EINVAL;
	return -1;
}

/* How many bytes; more than @size - 1 are not read. */
static ssize_t read_value(int fd, char *to, size_t size)
{
	size_t got = 0;
	ssize_t n;

	do {
		n = read(fd, to + got, size - 1 - got);
		if (n > 0)
			got += (size_t)n;
	} while ((n > 0 && got < size - 1) || (n < 0 && errno == EINTR));
	return n < 0 ? -1 : (ssize_t)got;
}

static void block_fail(struct block *b, const char *file, const char *why)
{
	int errno_value = errno ? errno : EIO;

	b->has_failed = true;
	REFUSE(b->err, errno_value, "%s/%s: %s", b->name, file, why);
}

/* A line: one value, nothing behind it but blanks; of a secret they are part. */
static char *take_line(struct block *b, const char *file, char *text, size_t len)
{
	errno = 0;
	if (len > IBFT_VALUE_MAX) {
		block_fail(b, file, "too long");
		return NULL;
	}
	if (memchr(text, '\0', len)) {
		block_fail(b, file, "has a zero byte");
		return NULL;
	}
	text[len] = '\0';
	if (!g_str_has_suffix(file, "secret"))
		g_strchomp(text);
	else if (len && text[len - 1] == '\n')
		text[len - 1] = '\0';
	return *text ? g_strdup(text) : NULL;
}

/* NULL: there is no such file, it is empty, or @b has failed. */
static char *block_text(struct block *b, const char *file)
{
	char text[IBFT_VALUE_MAX + 2], *value = NULL;
	ssize_t len;
	int fd;

	if (b->has_failed)
		return NULL;
	fd = open_value(b->fd, file);
	if (fd < 0) {
		if (errno != ENOENT)
			block_fail(b, file, g_strerror(errno));
		return NULL;
	}
	len = read_value(fd, text, sizeof(text));
	if (len < 0)
		block_fail(b, file, g_strerror(errno));
	else
		value = take_line(b, file, text, (size_t)len);
	text_wipe(text, sizeof(text));
	close(fd);
	return value;
}

static uint64_t block_number(struct block *b, const char *file, uint64_t max, uint64_t otherwise)
{
	g_autofree char *text = block_text(b, file);
	uint64_t n = otherwise;

	errno = 0;
	if (text && text_parse_u64(text, 0, max, &n) < 0)
		block_fail(b, file, "is not a number that it may be");
	return n;
}

static bool block_is_valid(struct block *b)
{
	return (block_number(b, "flags", UINT8_MAX, FLAG_VALID) & FLAG_VALID) && !b->has_failed;
}

/* ---- addresses ---- */

struct address {
	int family;
	uint8_t bytes[16];
};

static bool address_parse(const char *text, struct address *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->family = AF_INET;
	if (inet_pton(AF_INET, text, ret->bytes) == 1)
		return true;
	ret->family = AF_INET6;
	return inet_pton(AF_INET6, text, ret->bytes) == 1;
}

static bool address_is_zero(const struct address *a)
{
	static const uint8_t zero[16];

	return !memcmp(a->bytes, zero, sizeof(zero));
}

/* In the usual spelling: the kernel writes out every digit of IPv6. NULL: none is told. */
static char *block_address(struct block *b, const char *file)
{
	g_autofree char *text = block_text(b, file);
	char spelled[INET6_ADDRSTRLEN];
	struct address a;

	errno = 0;
	if (!text)
		return NULL;
	if (!address_parse(text, &a)) {
		block_fail(b, file, "is not an address");
		return NULL;
	}
	if (address_is_zero(&a))
		return NULL;
	return g_strdup(inet_ntop(a.family, a.bytes, spelled, sizeof(spelled)));
}

static bool is_same(const struct sockaddr *s, const struct address *a)
{
	const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)s;
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)s;

	if (!s || s->sa_family != a->family)
		return false;
	return a->family == AF_INET ? !memcmp(&four->sin_addr, a->bytes, 4)
				    : !memcmp(&six->sin6_addr, a->bytes, 16);
}

/* If that cannot be told, none is ours: connections then go as the kernel's routes say. */
static void find_ours(struct ibft *t)
{
	struct ifaddrs *all;
	struct address a;

	if (getifaddrs(&all) < 0)
		return;
	for (unsigned i = 0; i < t->nics->len; i++) {
		struct ibft_nic *n = t->nics->pdata[i];

		if (!n->address || !address_parse(n->address, &a))
			continue;
		for (const struct ifaddrs *k = all; k; k = k->ifa_next)
			n->is_here |= is_same(k->ifa_addr, &a);
	}
	freeifaddrs(all);
}

/* ---- blocks ---- */

static void nic_free(void *data)
{
	struct ibft_nic *n = data;

	g_free(n->mac);
	g_free(n->address);
	g_free(n->mask);
	g_free(n->gateway);
	g_free(n->dns);
	g_free(n->vlan);
	g_free(n);
}

static void target_free(void *data)
{
	struct ibft_target *t = data;

	g_free(t->name);
	g_free(t->address);
	g_free(t->user);
	text_free_secret(t->secret);
	g_free(t->user_in);
	text_free_secret(t->secret_in);
	g_free(t);
}

static void read_initiator(struct ibft *t, struct block *b, unsigned number)
{
	(void)number;
	if (!block_is_valid(b) || t->initiator_name)
		return;
	t->initiator_name = block_text(b, "initiator-name");
}

static void read_nic(struct ibft *t, struct block *b, unsigned number)
{
	struct ibft_nic *n;

	if (!block_is_valid(b))
		return;
	n = g_new0(struct ibft_nic, 1);
	g_ptr_array_add(t->nics, n);
	n->number = number;
	n->mac = block_text(b, "mac");
	n->address = block_address(b, "ip-addr");
	n->mask = block_text(b, "subnet-mask");
	n->gateway = block_address(b, "gateway");
	n->dns = block_address(b, "primary-dns");
	n->vlan = block_text(b, "vlan");
}

/* What is told of authentication and no type: what it calls for. */
static enum ibft_chap guess_chap(const struct ibft_target *t)
{
	return !t->secret ? IBFT_CHAP_NONE : t->secret_in ? IBFT_CHAP_MUTUAL : IBFT_CHAP;
}

static void read_target(struct ibft *t, struct block *b, unsigned number)
{
	struct ibft_target *k;

	if (!block_is_valid(b))
		return;
	k = g_new0(struct ibft_target, 1);
	k->number = number;
	k->name = block_text(b, "target-name");
	k->address = block_address(b, "ip-addr");
	k->port = (uint16_t)block_number(b, "port", UINT16_MAX, ISCSI_DEFAULT_PORT);
	k->user = block_text(b, "chap-name");
	k->secret = block_text(b, "chap-secret");
	k->user_in = block_text(b, "rev-chap-name");
	k->secret_in = block_text(b, "rev-chap-name-secret");
	k->chap = (enum ibft_chap)block_number(b, "chap-type", IBFT_CHAP_MUTUAL, guess_chap(k));
	k->nic = (int)block_number(b, "nic-assoc", UINT8_MAX, (uint64_t)-1);
	if (!k->port)
		k->port = ISCSI_DEFAULT_PORT;
	if (b->has_failed || !k->name || !k->address)
		target_free(k);
	else
		g_ptr_array_add(t->targets, k);
}

static const struct {
	const char *prefix;
	void (*read)(struct ibft *t, struct block *b, unsigned number);
	bool is_single; /* may be without a number */
} kinds[] = {
	{ "initiator", read_initiator, true },
	{ "ethernet", read_nic, false },
	{ "target", read_target, false },
};

/* "target0" is of kind "target"; -1: of none. */
static int find_kind(const char *name, unsigned *ret_number)
{
	for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
		const char *rest = name + strlen(kinds[i].prefix);
		uint64_t n = 0;

		if (!g_str_has_prefix(name, kinds[i].prefix) ||
		    (!*rest && !kinds[i].is_single) ||
		    (*rest && (!g_ascii_isdigit(*rest) ||
			       text_parse_u64(rest, 0, UINT8_MAX, &n) < 0)))
			continue;
		*ret_number = (unsigned)n;
		return (int)i;
	}
	return -1;
}

static gboolean read_block(struct ibft *t, int dir, const char *name, GError **err)
{
	struct block b = { .name = name, .err = err };
	unsigned number;
	int kind = find_kind(name, &number);

	if (kind < 0)
		return TRUE;
	b.fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (b.fd < 0) {
		REFUSE(err, errno, "%s: %s", name, g_strerror(errno));
		return FALSE;
	}
	kinds[kind].read(t, &b, number);
	close(b.fd);
	if (!b.has_failed && (t->nics->len > IBFT_BLOCKS_MAX ||
			      t->targets->len > IBFT_BLOCKS_MAX)) {
		REFUSE(err, E2BIG, "%s: more than %d of these", name, IBFT_BLOCKS_MAX);
		return FALSE;
	}
	return !b.has_failed;
}

static gboolean read_blocks(struct ibft *t, DIR *dir, GError **err)
{
	const struct dirent *e;
	unsigned entries = 0;

	while (errno = 0, (e = readdir(dir))) {
		if (++entries > ENTRIES_MAX) {
			REFUSE(err, E2BIG, "too many entries");
			return FALSE;
		}
		if (!read_block(t, dirfd(dir), e->d_name, err))
			return FALSE;
	}
	if (!errno)
		return TRUE;
	REFUSE(err, errno, "%s", g_strerror(errno));
	return FALSE;
}

static int compare_targets(const void *a, const void *b)
{
	const struct ibft_target *const *x = a, *const *y = b;

	return (int)(*x)->number - (int)(*y)->number;
}

static int compare_nics(const void *a, const void *b)
{
	const struct ibft_nic *const *x = a, *const *y = b;

	return (int)(*x)->number - (int)(*y)->number;
}

struct ibft *ibft_read(const char *path, GError **err)
{
	struct ibft *t;
	DIR *dir = opendir(path);

	if (!dir) {
		if (errno != ENOENT && errno != ENOTDIR)
			REFUSE(err, errno, "%s", g_strerror(errno));
		return NULL;
	}
	t = g_new0(struct ibft, 1);
	t->nics = g_ptr_array_new_with_free_func(nic_free);
	t->targets = g_ptr_array_new_with_free_func(target_free);
	if (!read_blocks(t, dir, err))
		g_clear_pointer(&t, ibft_free);
	closedir(dir);
	if (!t)
		return NULL;
	g_ptr_array_sort(t->nics, compare_nics);
	g_ptr_array_sort(t->targets, compare_targets);
	find_ours(t);
	return t;
}

void ibft_free(struct ibft *t)
{
	if (!t)
		return;
	g_free(t->initiator_name);
	g_ptr_array_unref(t->nics);
	g_ptr_array_unref(t->targets);
	g_free(t);
}

const struct ibft_nic *ibft_find_nic(const struct ibft *t, int number)
{
	for (unsigned i = 0; i < t->nics->len; i++) {
		const struct ibft_nic *n = t->nics->pdata[i];

		if ((int)n->number == number)
			return n;
	}
	return NULL;
}
