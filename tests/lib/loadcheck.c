/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loadcheck: reads and writes at random places of a file that is a disk, while somebody pulls
 * cables, and knows at any time what each sector may hold.
 *
 *	loadcheck FILE [threads=16] [size=BYTES] [block=4096] [max=65536] [reads=50]
 *		[mode=direct|buffered|sync] [seed=1] [hang=SECONDS] [pause=MICROSECONDS]
 *
 * First it writes all of the file (or @size bytes). Then it is told line by line on stdin, and
 * answers on stdout:
 *
 *	start		load from now on
 *	now		"now good=N errors=N": at this moment
 *	mark		"mark NAME=VALUE ...": what happened since the last mark (or start)
 *	stop		no new I/O; when the last one has ended: "stopped NAME=VALUE ..." over
 *all verify		reads everything, past the page cache: "verified ok", or lines with "bad
 *..." and "verified bad" compare PATH	the same with another file, e.g. the target's own quit
 *or end of input
 *
 * and besides, at any time: "at SECONDS good=N errors=N inflight=N oldest_ms=N", a few a
 *second; "error ..." for the first failed I/Os; "bad ..." for a sector that held what it must
 *not; "hang ..." when an I/O takes longer than @hang seconds. Exit status: 0 all well (errors
 *are no concern of ours), 1 wrong bytes, 2 usage, 3 hang.
 *
 * What a sector may hold. Each write has a number, and each sector of it is stamped with seed,
 * place and that number, and filled to its end with words made of these. At most one write to a
 * sector is under way. A sector has @base, the number of the last write that succeeded, and
 *@last, the number of the last that was started: what was started after @base has failed or is
 *under way, so each stamp between the two is right, and nothing else is. A read compares with
 *@base of when it was started and @last of when it ended. What a direct read has seen becomes
 *@base: a sector does not go back. A sector that is written during a read may come back half
 *old, half new: no target promises more.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SECTOR 512u
#define WORDS (SECTOR / 8)
#define MAGIC UINT64_C(0x6c6f616463686563)
#define SEQUENTIAL_BYTES (1u << 20)
#define MAX_THREADS 256
#define MAX_TOLD 20
#define REST_AFTER_ERROR_US 20000

enum mode { MODE_DIRECT, MODE_BUFFERED, MODE_SYNC };

struct sector {
	uint64_t base;
	uint64_t last;
	bool is_written; /* by a write under way */
};

struct window {
	uint64_t good, reads, writes, bytes, errors;
	uint64_t max_ns, min_error_ns, max_error_ns, max_gap_ns, start_ns, last_good_ns;
};

struct thread {
	pthread_t id;
	uint64_t random;
	unsigned char *buffer;
	/* of the sectors of its I/O: @base at the start, @last if no write was under way, what
	 * was read */
	uint64_t *base, *quiet, *seen;
	/* the I/O under way; 0 when there is none */
	uint64_t started_ns;
	uint64_t sector;
	bool is_write, is_hang_told;
};

static struct {
	const char *path;
	uint64_t size, block, max, threads, reads, seed, hang, pause;
	enum mode mode;
} option = { .block = 4096, .max = 65536, .threads = 16, .reads = 50, .seed = 1, .hang = 600 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* for all that follows */
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct sector *sectors;
static uint64_t sector_count, next_number = 1;
static struct window window, total;
static struct thread threads[MAX_THREADS];
static unsigned told_errors, told_bad;
static uint64_t bad_sectors, running;
static bool is_loading, is_ending, has_hang;
static int fd;
static uint64_t epoch_ns;

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static double seconds(uint64_t ns)
{
	return (double)ns / 1e9;
}

static double ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

/* A line; always as a whole. */
__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
	va_list list;
	va_start(list, format);
	flockfile(stdout);
	vprintf(format, list);
	putchar('\n');
	fflush(stdout);
	funlockfile(stdout);
	va_end(list);
}

_Noreturn static void die(const char *what)
{
	fprintf(stderr, "loadcheck: %s: %s\n", what, strerror(errno));
	exit(2);
}

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

static uint64_t next_random(uint64_t *state)
{
	*state += UINT64_C(0x9e3779b97f4a7c15);
	return mix(*state);
}

/* ---- stamps ---- */

static uint64_t fill_start(uint64_t place, uint64_t number)
{
	return mix(option.seed * 3 + mix(place + mix(number)));
}

static void stamp(unsigned char *at, uint64_t place, uint64_t number)
{
	uint64_t words[WORDS], state = fill_start(place, number);

	words[0] = MAGIC ^ option.seed;
	words[1] = place;
	words[2] = number;
	for (unsigned i = 3; i < WORDS; i++)
		words[i] = next_random(&state);
	memcpy(at, words, SECTOR);
}

/* The number in a sector's stamp. 0: no whole stamp of this place; @ret_why tells, if given. */
static uint64_t read_stamp(const unsigned char *at, uint64_t place, char *ret_why, size_t size)
{
	uint64_t words[WORDS], state;
	unsigned differ = 0, first = 0;

	memcpy(words, at, SECTOR);
	if (words[0] == (MAGIC ^ option.seed) && words[1] == place) {
		state = fill_start(place, words[2]);
		for (unsigned i = 3; i < WORDS; i++) {
			if (words[i] != next_random(&state)) {
				first = differ++ ? first : i * 8;
			}
		}
		if (!differ)
			return words[2];
		if (ret_why)
			snprintf(ret_why, size,
				 "%u words differ from what write %" PRIu64 " put there, "
				 "the first at byte %u",
				 differ, words[2], first);
		return 0;
	}
	if (!ret_why)
		return 0;
	if (words[0] == (MAGIC ^ option.seed))
		snprintf(ret_why, size, "holds sector %" PRIu64 " of write %" PRIu64, words[1],
			 words[2]);
	else
		snprintf(ret_why, size, "no stamp: %016" PRIx64 " %016" PRIx64 " %016" PRIx64,
			 words[0], words[1], words[2]);
	return 0;
}

/* With the lock. */
static void tell_bad(const char *where, uint64_t place, const unsigned char *at, uint64_t base,
		     uint64_t last)
{
	char why[160];
	uint64_t number = read_stamp(at, place, why, sizeof(why));

	bad_sectors++;
	if (told_bad++ >= MAX_TOLD)
		return;
	if (number)
		snprintf(why, sizeof(why), "%s: write %" PRIu64,
			 number < base ? "stale" : "never written", number);
	say("bad %s sector=%" PRIu64 " allowed=%" PRIu64 "..%" PRIu64 " time=%.3f: %s", where,
	    place, base, last, seconds(now_ns() - epoch_ns), why);
}

/* ---- load ---- */

static int wait_until_loading(void)
{
	pthread_mutex_lock(&lock);
	while (!is_loading && !is_ending)
		pthread_cond_wait(&changed, &lock);
	bool is_on = is_loading;
	running += is_on;
	pthread_mutex_unlock(&lock);
	return is_on;
}

/* Note an I/O that begins; false when it would write where a write is under way. With the lock.
 */
static bool begin(struct thread *t, uint64_t sector, uint64_t count, bool is_write,
		  uint64_t *ret_number)
{
	for (uint64_t i = 0; is_write && i < count; i++)
		if (sectors[sector + i].is_written)
			return false;
	if (is_write)
		*ret_number = next_number++;
	for (uint64_t i = 0; i < count; i++) {
		struct sector *s = &sectors[sector + i];
		t->base[i] = s->base;
		t->quiet[i] = s->is_written ? 0 : s->last;
		if (is_write) {
			s->is_written = true;
			s->last = *ret_number;
		}
	}
	t->sector = sector;
	t->is_write = is_write;
	t->is_hang_told = false;
	t->started_ns = now_ns();
	return true;
}

static void account(struct window *w, uint64_t now, uint64_t took, uint64_t bytes,
		    bool is_write, int error)
{
	if (took > w->max_ns)
		w->max_ns = took;
	if (error) {
		w->errors++;
		if (took > w->max_error_ns)
			w->max_error_ns = took;
		if (!w->min_error_ns || took < w->min_error_ns)
			w->min_error_ns = took;
		return;
	}
	w->good++;
	w->bytes += bytes;
	if (is_write)
		w->writes++;
	else
		w->reads++;
	if (now - w->last_good_ns > w->max_gap_ns)
		w->max_gap_ns = now - w->last_good_ns;
	w->last_good_ns = now;
}

/* An I/O has ended: what do we know now? With the lock. */
static void end(struct thread *t, uint64_t count, uint64_t number, int error)
{
	uint64_t now = now_ns(), took = now - t->started_ns;

	for (uint64_t i = 0; i < count; i++) {
		struct sector *s = &sectors[t->sector + i];
		if (t->is_write) {
			s->is_written = false;
			if (!error)
				s->base = number;
		} else if (!error) {
			uint64_t seen = t->seen[i];
			if (!seen && t->quiet[i] != s->last)
				continue; /* written meanwhile: may be half of each */
			if (!seen || seen < t->base[i] || seen > s->last)
				tell_bad("read", t->sector + i, t->buffer + i * SECTOR,
					 t->base[i], s->last);
			else if (seen > s->base && option.mode != MODE_BUFFERED)
				s->base = seen;
		}
	}
	account(&window, now, took, count * SECTOR, t->is_write, error);
	account(&total, now, took, count * SECTOR, t->is_write, error);
	if (error && told_errors++ < MAX_TOLD)
		say("error %s sector=%" PRIu64 " count=%" PRIu64 " took_ms=%.0f time=%.3f: %s",
		    t->is_write ? "write" : "read", t->sector, count, ms(took),
		    seconds(now - epoch_ns), strerror(error));
	t->started_ns = 0;
}

static int transfer(struct thread *t, uint64_t sector, uint64_t count, bool is_write)
{
	size_t bytes = count * SECTOR;
	off_t offset = (off_t)(sector * SECTOR);
	ssize_t n;

	if (is_write)
		n = pwrite(fd, t->buffer, bytes, offset);
	else
		n = pread(fd, t->buffer, bytes, offset);

	if (n < 0)
		return errno;
	if ((size_t)n != bytes)
		return EIO; /* short: as bad as none */
	if (is_write && option.mode == MODE_BUFFERED && fdatasync(fd) < 0)
		return errno;
	return 0;
}

static void *run_load(void *argument)
{
	struct thread *t = argument;

	while (wait_until_loading()) {
		uint64_t per_block = option.block / SECTOR, blocks = sector_count / per_block;
		uint64_t n = 1 + next_random(&t->random) % (option.max / option.block);
		uint64_t sector = next_random(&t->random) % (blocks - n + 1) * per_block;
		uint64_t count = n * per_block, number = 0;
		bool is_write = next_random(&t->random) % 100 >= option.reads, is_begun;
		int error = 0;

		pthread_mutex_lock(&lock);
		is_begun = begin(t, sector, count, is_write, &number);
		pthread_mutex_unlock(&lock);
		if (is_begun) {
			for (uint64_t i = 0; is_write && i < count; i++)
				stamp(t->buffer + i * SECTOR, sector + i, number);
			error = transfer(t, sector, count, is_write);
			for (uint64_t i = 0; !is_write && !error && i < count; i++)
				t->seen[i] =
					read_stamp(t->buffer + i * SECTOR, sector + i, NULL, 0);
		}
		pthread_mutex_lock(&lock);
		if (is_begun)
			end(t, count, number, error);
		running--;
		pthread_cond_broadcast(&changed);
		pthread_mutex_unlock(&lock);
		if (error || option.pause)
			usleep(error ? REST_AFTER_ERROR_US : (useconds_t)option.pause);
	}
	return NULL;
}

/* ---- all of the file ---- */

static unsigned char *aligned(size_t size)
{
	void *p;
	if (posix_memalign(&p, 4096, size))
		die("memory");
	memset(p, 0, size);
	return p;
}

static void fill_all(void)
{
	unsigned char *buffer = aligned(SEQUENTIAL_BYTES);
	uint64_t number = next_number++;

	for (uint64_t sector = 0; sector < sector_count;) {
		uint64_t n = SEQUENTIAL_BYTES / SECTOR;
		if (n > sector_count - sector)
			n = sector_count - sector;
		for (uint64_t i = 0; i < n; i++) {
			stamp(buffer + i * SECTOR, sector + i, number);
			sectors[sector + i] = (struct sector){ number, number, false };
		}
		if (pwrite(fd, buffer, n * SECTOR, (off_t)(sector * SECTOR)) !=
		    (ssize_t)(n * SECTOR))
			die("the first write");
		sector += n;
	}
	if (fdatasync(fd) < 0)
		die("the first fsync");
	free(buffer);
}

/* Compare a file with what is known; nothing is under way. */
static void check_all(const char *where, const char *path, int flags)
{
	unsigned char *buffer = aligned(SEQUENTIAL_BYTES);
	uint64_t bad = bad_sectors;
	int file = open(path, O_RDONLY | O_CLOEXEC | flags);

	if (file < 0) {
		say("%s bad: %s: %s", where, path, strerror(errno));
		bad_sectors++;
		free(buffer);
		return;
	}
	for (uint64_t sector = 0; sector < sector_count;) {
		uint64_t n = SEQUENTIAL_BYTES / SECTOR;
		if (n > sector_count - sector)
			n = sector_count - sector;
		ssize_t got = pread(file, buffer, n * SECTOR, (off_t)(sector * SECTOR));
		if (got != (ssize_t)(n * SECTOR)) {
			say("bad %s sector=%" PRIu64 " count=%" PRIu64 ": %s", where, sector, n,
			    got < 0 ? strerror(errno) : "the file ends");
			bad_sectors += n;
		} else {
			for (uint64_t i = 0; i < n; i++) {
				struct sector *s = &sectors[sector + i];
				uint64_t seen =
					read_stamp(buffer + i * SECTOR, sector + i, NULL, 0);
				if (!seen || seen < s->base || seen > s->last)
					tell_bad(where, sector + i, buffer + i * SECTOR,
						 s->base, s->last);
				else
					s->base = s->last = seen;
			}
		}
		sector += n;
	}
	close(file);
	free(buffer);
	say("%s %s", where, bad == bad_sectors ? "ok" : "bad");
}

/* ---- being told ---- */

static void restart(struct window *w)
{
	*w = (struct window){ 0 };
	w->start_ns = w->last_good_ns = now_ns();
}

/* The age of the oldest I/O under way, and how many there are. With the lock. */
static uint64_t oldest(uint64_t *ret_count)
{
	uint64_t now = now_ns(), age = 0;

	*ret_count = 0;
	for (uint64_t i = 0; i < option.threads; i++) {
		struct thread *t = &threads[i];
		if (!t->started_ns)
			continue;
		++*ret_count;
		uint64_t its = now - t->started_ns;
		if (its > age)
			age = its;
		if (its / 1000000000 >= option.hang && !t->is_hang_told) {
			t->is_hang_told = has_hang = true;
			say("hang %s sector=%" PRIu64 " age_ms=%.0f",
			    t->is_write ? "write" : "read", t->sector, ms(its));
		}
	}
	return age;
}

/* With the lock. */
static void tell_window(const char *what, struct window *w)
{
	uint64_t count, age = oldest(&count), now = now_ns();
	uint64_t gap = now - w->last_good_ns;

	if (gap < w->max_gap_ns)
		gap = w->max_gap_ns;
	say("%s seconds=%.3f good=%" PRIu64 " reads=%" PRIu64 " writes=%" PRIu64
	    " bytes=%" PRIu64 " errors=%" PRIu64 " bad=%" PRIu64
	    " max_ms=%.1f min_error_ms=%.1f max_error_ms=%.1f"
	    " gap_ms=%.1f inflight=%" PRIu64,
	    what, seconds(now - w->start_ns), w->good, w->reads, w->writes, w->bytes, w->errors,
	    bad_sectors, ms(w->max_ns > age ? w->max_ns : age), ms(w->min_error_ns),
	    ms(w->max_error_ns), ms(gap), count);
}

static void tell_progress(void)
{
	uint64_t count, age;

	pthread_mutex_lock(&lock);
	age = oldest(&count);
	if (is_loading)
		say("at %.3f good=%" PRIu64 " errors=%" PRIu64 " inflight=%" PRIu64
		    " oldest_ms=%.0f",
		    seconds(now_ns() - epoch_ns), total.good, total.errors, count, ms(age));
	pthread_mutex_unlock(&lock);
}

static void start_load(void)
{
	pthread_mutex_lock(&lock);
	restart(&window);
	restart(&total);
	is_loading = true;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	say("started");
}

static void stop_load(void)
{
	struct timespec limit;
	uint64_t count;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += (time_t)option.hang;
	pthread_mutex_lock(&lock);
	is_loading = false;
	while (running && !r)
		r = pthread_cond_timedwait(&changed, &lock, &limit);
	if (running) {
		has_hang = true;
		oldest(&count);
	}
	tell_window("stopped", &total);
	pthread_mutex_unlock(&lock);
	if (r)
		_exit(3); /* its threads do not end */
}

static bool obey(char *line)
{
	if (!strcmp(line, "start")) {
		start_load();
	} else if (!strcmp(line, "now")) {
		pthread_mutex_lock(&lock);
		say("now good=%" PRIu64 " errors=%" PRIu64, total.good, total.errors);
		pthread_mutex_unlock(&lock);
	} else if (!strcmp(line, "mark")) {
		pthread_mutex_lock(&lock);
		tell_window("mark", &window);
		restart(&window);
		pthread_mutex_unlock(&lock);
	} else if (!strcmp(line, "stop")) {
		stop_load();
	} else if (!strcmp(line, "verify")) {
		check_all("verified", option.path, O_DIRECT);
	} else if (!strncmp(line, "compare ", 8)) {
		check_all("compared", line + 8, 0);
	} else if (!strcmp(line, "quit")) {
		return false;
	} else {
		say("what is %s?", line);
	}
	return true;
}

static void listen_to_stdin(void)
{
	char line[4096];
	size_t used = 0;
	uint64_t told_ns = 0;

	for (;;) {
		struct pollfd p = { .fd = 0, .events = POLLIN };
		if (poll(&p, 1, 100) > 0) {
			ssize_t n = read(0, line + used, sizeof(line) - 1 - used);
			if (n <= 0)
				return;
			used += (size_t)n;
			line[used] = 0;
			for (char *nl; (nl = strchr(line, '\n'));) {
				*nl = 0;
				if (!obey(line))
					return;
				used -= (size_t)(nl + 1 - line);
				memmove(line, nl + 1, used + 1);
			}
			if (used == sizeof(line) - 1)
				return;
		}
		if (now_ns() - told_ns > 200000000) {
			told_ns = now_ns();
			tell_progress();
		}
	}
}

/* ---- start ---- */

static bool take_option(const char *word)
{
	static const struct {
		const char *name;
		uint64_t *value;
	} numbers[] = {
		{ "threads=", &option.threads }, { "size=", &option.size },
		{ "block=", &option.block },	 { "max=", &option.max },
		{ "reads=", &option.reads },	 { "seed=", &option.seed },
		{ "hang=", &option.hang },	 { "pause=", &option.pause },
	};
	static const char *const modes[] = { "mode=direct", "mode=buffered", "mode=sync" };

	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		size_t n = strlen(numbers[i].name);
		char *rest;
		if (strncmp(word, numbers[i].name, n))
			continue;
		*numbers[i].value = strtoull(word + n, &rest, 10);
		return !*rest && word[n];
	}
	for (unsigned i = 0; i < 3; i++) {
		if (!strcmp(word, modes[i])) {
			option.mode = (enum mode)i;
			return true;
		}
	}
	return false;
}

int main(int argc, char **argv)
{
	static const int flags[] = {
		[MODE_DIRECT] = O_DIRECT,
		[MODE_BUFFERED] = 0,
		[MODE_SYNC] = O_DSYNC,
	};
	struct stat st;
	bool is_good = argc > 1;

	for (int i = 2; i < argc; i++)
		is_good = take_option(argv[i]) && is_good;
	if (!is_good || !option.block || option.block % SECTOR || option.max < option.block ||
	    !option.threads || option.threads > MAX_THREADS) {
		fprintf(stderr, "usage: see the head of loadcheck.c\n");
		return 2;
	}
	option.path = argv[1];
	fd = open(option.path, O_RDWR | O_CLOEXEC | flags[option.mode]);
	if (fd < 0 || fstat(fd, &st) < 0)
		die(option.path);
	if (!option.size || option.size > (uint64_t)st.st_size)
		option.size = (uint64_t)st.st_size;
	sector_count = option.size / option.block * option.block / SECTOR;
	if (sector_count * SECTOR < option.max) {
		fprintf(stderr, "loadcheck: the file is too small\n");
		return 2;
	}
	sectors = calloc(sector_count, sizeof(*sectors));
	if (!sectors)
		die("memory");
	epoch_ns = now_ns();
	fill_all();
	for (uint64_t i = 0; i < option.threads; i++) {
		struct thread *t = &threads[i];
		t->random = mix(option.seed) + i * 7919;
		t->buffer = aligned(option.max);
		t->base = calloc(option.max / SECTOR, sizeof(*t->base));
		t->quiet = calloc(option.max / SECTOR, sizeof(*t->quiet));
		t->seen = calloc(option.max / SECTOR, sizeof(*t->seen));
		if (!t->base || !t->quiet || !t->seen)
			die("memory");
		if ((errno = pthread_create(&t->id, NULL, run_load, t)))
			die("a thread");
	}
	say("ready seconds=%.3f", seconds(now_ns() - epoch_ns));
	listen_to_stdin();
	if (is_loading)
		stop_load();
	pthread_mutex_lock(&lock);
	is_ending = true;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	for (uint64_t i = 0; i < option.threads; i++)
		pthread_join(threads[i].id, NULL);
	return bad_sectors ? 1 : has_hang ? 3 : 0;
}
