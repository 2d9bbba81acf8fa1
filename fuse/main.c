/* SPDX-License-Identifier: BSD-2-Clause */
/* iscsifs: the program. Command line, checks, background, then one loop until the end:
 *
 *   state     true in it                                                   next
 *   STARTING  mounted, FUSE_INIT not answered yet                          WAITING, ENDING
 *   WAITING   the tree is usable; persistent logins are under way, and     RUNNING, ENDING
 *             some of the bound volumes are not there yet
 *   RUNNING   they are, or the time was up: the parent has exited, the     ENDING
 *             service manager knows
 *   ENDING    commands were cancelled, daemon_shutdown() is under way;     SETTLING, OVER
 *             files are still answered
 *   SETTLING  logged out of everything; the last writes to control files   OVER
 *             and the last data requests are being answered
 *   OVER      the loop ends; unmount, exit                                 -
 *
 * The end begins with SIGTERM or SIGINT, `shutdown` in the top ctl, or umount. A second SIGTERM
 * goes to OVER at once: the targets see connections closed. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "core/loopdev.h"
#include "core/reload.h"
#include "core/persistent.h"
#include "fuse/background.h"
#include "fuse/cmdline.h"
#include "fuse/fs.h"
#include "fuse/harden.h"
#include "fuse/mountpoint.h"
#include "fuse/sdnotify.h"
#include "fuse/version.h"

#define SETTLE_MS 2000 /* longest time in SETTLING */
#define SETTLE_LOOK_MS 5
#define START_SLACK_MS 30000 /* of the service manager, beyond volumes_timeout */

enum app_state { APP_STARTING, APP_WAITING, APP_RUNNING, APP_ENDING, APP_SETTLING, APP_OVER };

struct app {
	enum app_state state;
	struct cmdline cmdline;
	struct conf conf, file; /* in force; what the file says */
	struct background background;
	char *mountpoint; /* resolved */
	struct loop *loop;
	struct daemon *daemon;
	struct fs *fs;
	int signal_fd;
	struct loop_fd signal_watch;
	struct loop_timer settle_timer;
	int64_t settle_until_ms;
	bool is_hurried; /* did not wait for everything: nothing may be freed */
};

/* --- the end --- */

static void over(struct app *app, bool is_hurried)
{
	app->state = APP_OVER;
	app->is_hurried = is_hurried;
	loop_stop(app->loop);
}

/* Nobody tells when the last answer has been given: look. */
static void on_settle_timer(struct loop_timer *t)
{
	struct app *app = container_of(t, struct app, settle_timer);

	if (fs_is_idle(app->fs))
		over(app, false);
	else if (loop_now_ms(app->loop) >= app->settle_until_ms)
		over(app, true);
	else
		loop_timer_start(t, SETTLE_LOOK_MS);
}

static void on_shutdown_done(struct daemon *d, void *arg)
{
	struct app *app = arg;

	(void)d;
	if (app->state != APP_ENDING)
		return;
	app->state = APP_SETTLING;
	app->settle_until_ms = loop_now_ms(app->loop) + SETTLE_MS;
	/* One turn at least: the answer to `shutdown` itself may be on its way. */
	loop_timer_start(&app->settle_timer, SETTLE_LOOK_MS);
}

static void begin_end(struct app *app)
{
	if (app->state >= APP_ENDING)
		return;
	background_failed(&app->background, app->state == APP_WAITING ?
							"ended before all bound volumes were there" :
							"ended before the tree was usable");
	app->state = APP_ENDING;
	sdnotify_stopping();
	fs_cancel_commands(app->fs);
	daemon_shutdown(app->daemon, on_shutdown_done, app);
}

static void on_quit(void *arg)
{
	log_info("ends: asked for by the control file");
	begin_end(arg);
}

static void on_fs_ended(struct fs *fs, void *arg)
{
	(void)fs;
	log_info("ends: unmounted");
	begin_end(arg);
}

static void on_end_signal(struct app *app, const char *name)
{
	if (app->state < APP_ENDING) {
		log_info("ends: %s", name);
		begin_end(app);
		return;
	}
	log_warning("ends at once: %s again", name);
	over(app, true);
}

static void on_signal(struct loop_fd *w, uint32_t events)
{
	struct app *app = container_of(w, struct app, signal_watch);
	struct signalfd_siginfo info;

	(void)events;
	while (read(w->fd, &info, sizeof(info)) == sizeof(info))
		if (info.ssi_signo == SIGHUP)
			reload_run(app->daemon, NULL);
		else
			on_end_signal(app, info.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM");
}

/* --- the start --- */

/* The last one was a moment ago, or the time was up. */
static void on_volumes_ready(void *arg)
{
	struct app *app = arg;

	if (app->state != APP_WAITING)
		return;
	app->state = APP_RUNNING;
	log_info("iscsifs " ISCSIFS_VERSION " is ready on %s", app->mountpoint);
	background_ready(&app->background);
	sdnotify_ready("ready");
}

/* The service manager must not run out of patience before we do. */
static void on_volumes_missing(void *arg, unsigned missing, unsigned total)
{
	struct app *app = arg;

	log_info("waiting for %u of %u bound volumes", missing, total);
	sdnotify_extend(app->conf.volumes_timeout_ms + START_SLACK_MS);
	sdnotify_status("waiting for %u of %u bound volumes", missing, total);
}

static void on_fs_ready(struct fs *fs, void *arg)
{
	struct app *app = arg;

	(void)fs;
	if (app->state != APP_STARTING)
		return;
	app->state = APP_WAITING;
	mountpoint_set_readahead(app->mountpoint, DISK_IO_BYTES_MAX);
	log_info("iscsifs " ISCSIFS_VERSION " is mounted on %s", app->mountpoint);
	persistent_start(app->daemon->persistent, on_volumes_missing, on_volumes_ready, app);
}

static gboolean start_signals(struct app *app, GError **err)
{
	sigset_t set;
	int r;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	app->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	r = app->signal_fd < 0 ? -errno
			       : loop_fd_add(app->loop, &app->signal_watch, app->signal_fd,
					     EPOLLIN, on_signal);
	if (r == 0)
		return TRUE;
	error_set_errno(err, ISDSC_NON_SPECIFIC_ERROR, -r, "no signals: %s", strerror(-r));
	return FALSE;
}

/* Groups that nobody lets in. */
static void warn_about_groups(const struct cmdline *c)
{
	const struct permissions *p = &c->permissions;
	bool has_group = p->operators != PERMISSIONS_NOBODY ||
			 p->disk_group != PERMISSIONS_NOBODY;

	if (has_group && !c->has_other)
		log_warning("operators and disk_group have no effect: nobody else can enter the "
			    "tree without allow_other");
}

static gboolean start_fs(struct app *app, GError **err)
{
	const struct fs_config c = {
		.fuse_options = app->cmdline.fuse_options->str,
		.permissions = app->cmdline.permissions,
	};

	warn_about_groups(&app->cmdline);
	app->fs = fs_new(app->loop, app->daemon, &c, on_fs_ready, on_fs_ended, app, err);
	return app->fs && fs_mount(app->fs, app->mountpoint, err);
}

/* The configuration was read again. */
static void on_conf_changed(struct daemon *d, void *arg)
{
	struct app *app = arg;

	if (!app->cmdline.is_debug)
		log_set_level(d->conf.log_level);
	if (app->fs)
		fs_take_conf(app->fs);
}

/* While it waits for volumes the service manager is not to believe that it is ready. */
static void on_reload(bool is_busy, void *arg)
{
	struct app *app = arg;

	if (app->state != APP_RUNNING)
		return;
	if (is_busy)
		sdnotify_reloading();
	else
		sdnotify_ready("ready");
}

static void start_reloader(struct app *app)
{
	const struct reload_config c = {
		.path = app->cmdline.conf_file,
		.file = &app->file,
		.changed = on_conf_changed,
		.busy = on_reload,
		.arg = app,
	};

	app->daemon->reloader = reloader_new(app->daemon, &c);
}

static gboolean start(struct app *app, GError **err)
{
	log_init(app->cmdline.is_debug ? LOG_LEVEL_DEBUG : app->conf.log_level,
		 app->cmdline.wants_syslog);
	harden_process(app->conf.lock_memory);
	umask(022);
	app->loop = loop_new();
	if (!app->loop) {
		error_set_errno(err, ISDSC_NON_SPECIFIC_ERROR, errno, "no event loop: %s",
				strerror(errno));
		return FALSE;
	}
	loop_timer_init(app->loop, &app->settle_timer, on_settle_timer);
	if (!start_signals(app, err))
		return FALSE;
	app->daemon = daemon_new(app->loop, &app->conf, app->cmdline.state_dir, err);
	if (!app->daemon)
		return FALSE;
	app->daemon->quit = on_quit;
	app->daemon->quit_arg = app;
	start_reloader(app);
	if (app->cmdline.pid_file && !background_write_pid(app->cmdline.pid_file, err))
		return FALSE;
	return start_fs(app, err);
}

/* --- from begin to end --- */

static void stop(struct app *app)
{
	if (app->fs)
		fs_unmount(app->fs);
	if (app->cmdline.pid_file)
		unlink(app->cmdline.pid_file);
	if (app->is_hurried)
		_exit(EXIT_SUCCESS);
	fs_free(app->fs);
	if (app->daemon)
		daemon_free(app->daemon);
	if (app->loop) {
		loop_timer_done(&app->settle_timer);
		loop_fd_remove(&app->signal_watch);
		loop_free(app->loop);
	}
	if (app->signal_fd >= 0)
		close(app->signal_fd);
}

/* In the child, or in the foreground. */
static gboolean run(struct app *app, GError **err)
{
	gboolean is_ok = start(app, err);
	int r;

	if (is_ok) {
		r = loop_run(app->loop);
		is_ok = r == 0;
		if (!is_ok)
			error_set_errno(err, ISDSC_NON_SPECIFIC_ERROR, -r,
					"ends, the event loop failed: %s", strerror(-r));
		background_failed(&app->background, "ended before the tree was usable");
	}
	stop(app);
	return is_ok;
}

static gboolean prepare(struct app *app, GError **err)
{
	if (!conf_read(&app->conf, app->cmdline.conf_file, err))
		return FALSE;
	if (!cmdline_fill(&app->cmdline, &app->conf, err))
		return FALSE;
	conf_copy(&app->file, &app->conf);
	if (app->cmdline.has_cache)
		app->conf.cache = app->cmdline.cache;
	app->mountpoint = mountpoint_check(app->cmdline.mountpoint, err);
	if (!app->mountpoint)
		return FALSE;
	return app->cmdline.is_foreground || background_start(&app->background, err);
}

/* To whoever waits for us, and in the background to the log. */
static int fail(struct app *app, bool is_started, const GError *err)
{
	if (is_started && !app->cmdline.is_foreground)
		log_error("%s", err->message);
	if (app->background.fd >= 0)
		background_failed(&app->background, err->message);
	else
		fprintf(stderr, "iscsifs: %s\n", err->message);
	return EXIT_FAILURE;
}

static int go(struct app *app, int argc, char **argv)
{
	g_autoptr(GError) err = NULL;

	if (!cmdline_parse(&app->cmdline, argc, argv, &err)) {
		fprintf(stderr, "iscsifs: %s\n" CMDLINE_USAGE "iscsifs -h tells more\n",
			err->message);
		return 2;
	}
	if (app->cmdline.wants_help) {
		cmdline_help(stdout);
		return EXIT_SUCCESS;
	}
	if (app->cmdline.wants_version) {
		puts("iscsifs " ISCSIFS_VERSION);
		return EXIT_SUCCESS;
	}
	if (!prepare(app, &err))
		return fail(app, false, err);
	return run(app, &err) ? EXIT_SUCCESS : fail(app, true, err);
}

int main(int argc, char **argv)
{
	struct app app = { .background.fd = -1, .signal_fd = -1 };
	int status;

	if (argc == 3 && !strcmp(argv[1], LOOPDEV_OPTION))
		return loopdev_main(argv[2]);
	sdnotify_init();
	conf_default(&app.conf);
	status = go(&app, argc, argv);
	conf_done(&app.conf);
	conf_done(&app.file);
	g_free(app.mountpoint);
	cmdline_done(&app.cmdline);
	return status;
}
