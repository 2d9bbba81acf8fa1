/* SPDX-License-Identifier: BSD-2-Clause */
/* Names to addresses, without a name server: numeric ones, those that cannot be names, and
 * localhost. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/loop.h"
#include "core/resolve.h"
#include "unit.h"

static struct loop *loop;
static struct worker *worker;

static unsigned done_count, found_count;
static struct conn_address found[RESOLVE_MAX];
static int found_errno, found_code;

static void on_done(void *arg, const struct conn_address *a, unsigned count, const GError *err)
{
	CU_ASSERT_PTR_EQUAL(arg, &done_count);
	CU_ASSERT_TRUE(count <= RESOLVE_MAX);
	CU_ASSERT_EQUAL(err != NULL, count == 0);
	done_count++;
	found_count = count;
	memcpy(found, a, count * sizeof(*a));
	found_errno = err ? error_errno(err) : 0;
	found_code = err ? err->code : 0;
}

static void set_up(void)
{
	loop = loop_new();
	worker = worker_new(loop, 2);
	done_count = found_count = 0;
	found_errno = -1;
}

static void tear_down(void)
{
	worker_free(worker);
	loop_free(loop);
}

static void resolve(const char *host, const char *source)
{
	done_count = 0;
	resolve_start(worker, host, 3260, source, on_done, &done_count);
	CU_ASSERT_EQUAL(done_count, 0);
	for (int i = 0; i < 100 && !done_count; i++)
		loop_run_once(loop, 1000);
	CU_ASSERT_EQUAL(done_count, 1);
}

static void test_resolve_takes_a_numeric_ipv4_address(void)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)&found[0].addr;

	set_up();
	resolve("192.0.2.7", NULL);
	CU_ASSERT_EQUAL(found_count, 1);
	CU_ASSERT_EQUAL(found[0].addr_bytes, sizeof(*in));
	CU_ASSERT_EQUAL(in->sin_family, AF_INET);
	CU_ASSERT_EQUAL(ntohl(in->sin_addr.s_addr), 0xc0000207);
	CU_ASSERT_EQUAL(ntohs(in->sin_port), 3260);
	CU_ASSERT_EQUAL(found[0].source.ss_family, 0);
	CU_ASSERT_EQUAL(found[0].source_bytes, 0);
	CU_ASSERT_STRING_EQUAL(found[0].interface, "");
	tear_down();
}

static void test_resolve_takes_a_numeric_ipv6_address(void)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&found[0].addr;
	static const uint8_t wanted[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 };

	set_up();
	resolve("2001:db8::1", NULL);
	CU_ASSERT_EQUAL(found_count, 1);
	CU_ASSERT_EQUAL(in6->sin6_family, AF_INET6);
	CU_ASSERT_EQUAL(memcmp(&in6->sin6_addr, wanted, 16), 0);
	CU_ASSERT_EQUAL(ntohs(in6->sin6_port), 3260);
	tear_down();
}

static void test_resolve_keeps_the_scope_of_a_link_local_address(void)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&found[0].addr;

	set_up();
	resolve("fe80::1%lo", NULL);
	CU_ASSERT_EQUAL(found_count, 1);
	CU_ASSERT_EQUAL(in6->sin6_scope_id, if_nametoindex("lo"));
	tear_down();
}

static void test_resolve_gives_the_source_to_bind_to(void)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)&found[0].source;

	set_up();
	resolve("192.0.2.7", "127.0.0.3");
	CU_ASSERT_EQUAL(found_count, 1);
	CU_ASSERT_EQUAL(found[0].source_bytes, sizeof(*in));
	CU_ASSERT_EQUAL(in->sin_family, AF_INET);
	CU_ASSERT_EQUAL(ntohl(in->sin_addr.s_addr), 0x7f000003);
	CU_ASSERT_EQUAL(in->sin_port, 0);
	tear_down();
}

static void test_resolve_source_of_another_family_finds_nothing(void)
{
	set_up();
	resolve("192.0.2.7", "::1");
	CU_ASSERT_EQUAL(found_count, 0);
	CU_ASSERT_EQUAL(found_code, ISDSC_ADDRESS_TYPE_NOT_SUPPORTED);
	CU_ASSERT_EQUAL(found_errno, EOPNOTSUPP);
	tear_down();
}

static void test_resolve_source_must_be_numeric(void)
{
	set_up();
	resolve("192.0.2.7", "localhost");
	CU_ASSERT_EQUAL(found_code, ISDSC_INVALID_PARAMETER);
	CU_ASSERT_EQUAL(found_errno, EINVAL);
	tear_down();
}

static void test_resolve_name_that_does_not_exist_is_enoent(void)
{
	set_up();
	resolve("no such name", NULL);
	CU_ASSERT_EQUAL(found_count, 0);
	CU_ASSERT_EQUAL(found_code, ISDSC_DNS_NAME_UNRESOLVED);
	CU_ASSERT_EQUAL(found_errno, ENOENT);
	tear_down();
}

static void test_resolve_gives_each_address_once(void)
{
	set_up();
	resolve("localhost", NULL);
	CU_ASSERT_TRUE(found_count > 0);
	for (unsigned i = 0; i < found_count; i++)
		for (unsigned j = 0; j < i; j++)
			CU_ASSERT_FALSE(
				found[i].addr_bytes == found[j].addr_bytes &&
				!memcmp(&found[i].addr, &found[j].addr, found[i].addr_bytes));
	tear_down();
}

static void test_resolve_cancelled_is_silent(void)
{
	struct resolve *r;

	set_up();
	r = resolve_start(worker, "192.0.2.7", 3260, NULL, on_done, &done_count);
	resolve_cancel(r);
	resolve("192.0.2.8", NULL); /* long enough for the other, too */
	worker_free(worker);
	worker = NULL;
	CU_ASSERT_EQUAL(done_count, 1);
	tear_down();
}

static void test_resolve_ends_with_the_worker(void)
{
	set_up();
	for (int i = 0; i < 20; i++)
		resolve_start(worker, "192.0.2.7", 3260, NULL, on_done, &done_count);
	tear_down();
	CU_ASSERT_EQUAL(done_count, 20);
}

static void test_resolve_knows_numeric_addresses(void)
{
	CU_ASSERT_TRUE(resolve_is_numeric("10.0.0.1"));
	CU_ASSERT_TRUE(resolve_is_numeric("::1"));
	CU_ASSERT_TRUE(resolve_is_numeric("fe80::1%lo"));
	CU_ASSERT_FALSE(resolve_is_numeric("localhost"));
	CU_ASSERT_FALSE(resolve_is_numeric("[::1]"));
	CU_ASSERT_FALSE(resolve_is_numeric("10.0.0.1:3260"));
	CU_ASSERT_FALSE(resolve_is_numeric(""));
}

UNIT_MAIN("resolve", UNIT(test_resolve_takes_a_numeric_ipv4_address),
	  UNIT(test_resolve_takes_a_numeric_ipv6_address),
	  UNIT(test_resolve_keeps_the_scope_of_a_link_local_address),
	  UNIT(test_resolve_gives_the_source_to_bind_to),
	  UNIT(test_resolve_source_of_another_family_finds_nothing),
	  UNIT(test_resolve_source_must_be_numeric),
	  UNIT(test_resolve_name_that_does_not_exist_is_enoent),
	  UNIT(test_resolve_gives_each_address_once), UNIT(test_resolve_cancelled_is_silent),
	  UNIT(test_resolve_ends_with_the_worker), UNIT(test_resolve_knows_numeric_addresses))
