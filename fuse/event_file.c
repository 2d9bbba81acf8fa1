/* SPDX-License-Identifier: BSD-2-Clause */
/* The files of events; event_file.h is the manual. */
#include "fuse/event_file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "core/daemon.h"
#include "core/event.h"
#include "fuse/fs.h"
#include "fuse/handle.h"

#define PIECE_BYTES (64 * 1024) /* of a pipe's lines made at once: more when a read wants more */

struct waiter {
	struct list link; /* event_files.waiting */
	struct handle *h;
	fuse_req_t req;
	size_t size;
	struct interrupt interrupt; /* of @req */
};

static const struct attr *row_of(const struct handle *h)
{
	return h->node->row;
}

static enum event_format format_of(const struct attr *row)
{
	return row->is_json ? EVENT_JSON : EVENT_LINES;
}

static bool is_pipe(const struct attr *row)
{
	return row->type == ATTR_EVENTS_PIPE;
}

/* Not of the node's object: it may be on its way out. */
static const struct event_log *log_of(const struct handle *h)
{
	return h->fs->daemon->events;
}

bool event_file_is(const struct attr *row)
{
	return row->type == ATTR_EVENTS || row->type == ATTR_EVENTS_PIPE;
}

/* --- events --- */

static void print_text(struct handle *h, uint64_t after)
{
	struct event_reader *r = &h->events;
	GString *s = g_string_new(NULL);

	r->seen = event_print_after(log_of(h), format_of(row_of(h)), after, SIZE_MAX, s);
	if (h->text)
		g_bytes_unref(h->text);
	h->text = texts_new(&h->fs->texts, s);
}

/* The file grows. Its size counts all lines that there ever were, of which the text has what was
 * not dropped: so that is at the end of the file for whoever reads there first (tail), and at the
 * start for whoever begins with that. What is read past the text follows it. Returns the place of
 * @from in the text. */
static size_t place(struct handle *h, uint64_t from)
{
	struct event_reader *r = &h->events;
	uint64_t end;

	if (from == 0 ? r->text_start > 0 : !r->is_placed) {
		print_text(h, 0);
		end = from ? event_log_bytes(log_of(h), format_of(row_of(h)))
			   : g_bytes_get_size(h->text);
		r->text_start = end - g_bytes_get_size(h->text);
	}
	r->is_placed = true;
	end = r->text_start + g_bytes_get_size(h->text);
	if (from < r->text_start)
		return g_bytes_get_size(h->text); /* dropped: nothing is read */
	if (from >= end) {
		print_text(h, r->seen);
		r->text_start = end;
	}
	return (size_t)(from - r->text_start);
}

static void read_text(struct handle *h, fuse_req_t req, size_t size, uint64_t offset)
{
	size_t from = place(h, offset), left;
	gsize bytes;
	const char *text = g_bytes_get_data(h->text, &bytes);

	left = from < bytes ? bytes - from : 0;
	size = MIN(size, left);
	h->events.read_end = offset + size;
	fuse_reply_buf(req, size ? text + from : NULL, size);
}

static bool has_more_text(const struct handle *h)
{
	const struct event_reader *r = &h->events;

	return r->seen < event_log_last(log_of(h)) ||
	       r->read_end < r->text_start + g_bytes_get_size(h->text);
}

/* --- events_pipe --- */

static bool has_more_lines(const struct handle *h)
{
	return h->events.rest || h->events.seen < event_log_last(log_of(h));
}

static void drop_rest(struct event_reader *r)
{
	if (r->rest)
		g_string_free(r->rest, TRUE);
	r->rest = NULL;
	r->rest_from = 0;
}

/* There is something: at most @size bytes of it. What of a line does not fit is kept. */
static void reply_lines(struct handle *h, fuse_req_t req, size_t size)
{
	struct event_reader *r = &h->events;
	size_t bytes;

	if (!r->rest) {
		r->rest = g_string_new(NULL);
		r->seen = event_print_after(log_of(h), format_of(row_of(h)), r->seen,
					    MIN(size, PIECE_BYTES), r->rest);
	}
	bytes = MIN(size, r->rest->len - r->rest_from);
	/* Of a reader that was killed meanwhile nobody will ever want it. */
	fuse_reply_buf(req, r->rest->str + r->rest_from, bytes);
	r->rest_from += bytes;
	if (r->rest_from == r->rest->len)
		drop_rest(r);
}

/* The request is the caller's now. */
static fuse_req_t waiter_free(struct waiter *w)
{
	fuse_req_t req = w->req;

	interrupt_forget(&w->interrupt);
	list_remove(&w->link);
	g_free(w);
	return req;
}

static void on_meant(struct interrupt *i)
{
	fuse_reply_err(waiter_free(container_of(i, struct waiter, interrupt)), EINTR);
}

static void on_interrupt(fuse_req_t req, void *data)
{
	struct waiter *w = data;

	(void)req;
	interrupt_came(&w->h->fs->interrupts, &w->interrupt);
}

static void wait_for_more(struct handle *h, fuse_req_t req, size_t size)
{
	struct waiter *w = g_new0(struct waiter, 1);

	w->h = h;
	w->req = req;
	w->size = size;
	interrupt_init(&w->interrupt, fuse_req_ctx(req)->pid, INTERRUPT_CAUGHT, on_meant);
	list_push_tail(&h->fs->event_files.waiting, &w->link);
	/* Calls on_interrupt() now if the interrupt is here already. */
	fuse_req_interrupt_func(req, on_interrupt, w);
}

static void read_lines(struct handle *h, fuse_req_t req, size_t size, int flags)
{
	if (!size)
		fuse_reply_buf(req, NULL, 0);
	else if (has_more_lines(h))
		reply_lines(h, req, size);
	else if (flags & O_NONBLOCK)
		fuse_reply_err(req, EAGAIN);
	else if (!h->fs->event_files.daemon) /* ended */
		fuse_reply_buf(req, NULL, 0);
	else
		wait_for_more(h, req, size);
}

/* --- who wants to be told --- */

static void forget_poll(struct event_reader *r)
{
	if (!r->poll)
		return;
	list_remove(&r->link);
	fuse_pollhandle_destroy(r->poll);
	r->poll = NULL;
}

/* The kernel asks again if it wants to hear of the next. */
static void tell_polls(struct event_files *f)
{
	struct list *link;

	while ((link = list_first(&f->polled))) {
		struct event_reader *r = list_entry(link, struct event_reader, link);

		fuse_lowlevel_notify_poll(r->poll);
		forget_poll(r);
	}
}

static void on_wake(struct loop_call *call)
{
	struct event_files *f = container_of(call, struct event_files, wake);

	/* Several may wait by one handle: who finds nothing waits on. */
	list_for_each_safe(pos, &f->waiting) {
		struct waiter *w = list_entry(pos, struct waiter, link);
		struct handle *h = w->h;
		size_t size = w->size;

		if (has_more_lines(h))
			reply_lines(h, waiter_free(w), size);
	}
	tell_polls(f);
}

static void on_event(void *arg)
{
	struct event_files *f = arg;

	loop_call_queue(f->daemon->loop, &f->wake);
}

/* --- for the others --- */

void event_files_init(struct event_files *f, struct daemon *d)
{
	f->daemon = d;
	list_init(&f->waiting);
	list_init(&f->polled);
	loop_call_init(&f->wake, on_wake);
	event_log_watch(d->events, on_event, f);
}

void event_files_end(struct event_files *f)
{
	struct list *link;

	if (!f->daemon)
		return;
	event_log_watch(f->daemon->events, NULL, NULL);
	loop_call_cancel(&f->wake);
	on_wake(&f->wake);
	f->daemon = NULL;
	while ((link = list_first(&f->waiting)))
		fuse_reply_buf(waiter_free(list_entry(link, struct waiter, link)), NULL, 0);
}

void event_file_open(struct handle *h)
{
	if (is_pipe(row_of(h))) {
		h->events.seen = event_log_last(log_of(h));
		h->text = g_bytes_new(NULL, 0);
	} else {
		print_text(h, 0);
	}
}

void event_file_close(struct handle *h)
{
	forget_poll(&h->events);
	drop_rest(&h->events);
}

void event_file_read(struct handle *h, fuse_req_t req, size_t size, uint64_t offset, int flags)
{
	if (is_pipe(row_of(h)))
		read_lines(h, req, size, flags);
	else
		read_text(h, req, size, offset);
}

unsigned event_file_poll(struct handle *h, struct fuse_pollhandle *poll)
{
	struct event_reader *r = &h->events;
	bool has_more = is_pipe(row_of(h)) ? has_more_lines(h) : has_more_text(h);

	forget_poll(r);
	if (poll && !h->fs->event_files.daemon) { /* ended */
		fuse_pollhandle_destroy(poll);
	} else if (poll) {
		r->poll = poll;
		list_push_tail(&h->fs->event_files.polled, &r->link);
	}
	return has_more ? POLLIN | POLLRDNORM : 0;
}

void event_file_stat(const struct daemon *d, const struct attr *row, struct stat *st)
{
	int64_t us = event_log_time_us(d->events);

	if (!is_pipe(row))
		st->st_size = (off_t)event_log_bytes(d->events, format_of(row));
	if (!us)
		return;
	st->st_mtim.tv_sec = us / G_USEC_PER_SEC;
	st->st_mtim.tv_nsec = us % G_USEC_PER_SEC * 1000;
	st->st_ctim = st->st_mtim;
}
