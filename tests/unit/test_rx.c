/* SPDX-License-Identifier: BSD-2-Clause */
/* The receive machine over a socket pair: bytes typed from RFC 7143 section 11, cut anywhere. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/wire.h"
#include "iscsi/rx.h"
#include "unit.h"

static uint8_t staging[RX_STAGING_BYTES], place[1 << 20];
static uint32_t place_room;
static unsigned headers, completes, bad_digests, bad_headers;
static uint8_t last_bhs[48];
static bool stop_at_header, has_place;
static struct rx rx;
static int fds[2];

static enum rx_verdict on_header(struct rx *r, const uint8_t *bhs, uint8_t **dest, uint32_t *room)
{
	(void)r;
	headers++;
	memcpy(last_bhs, bhs, 48);
	if (has_place) {
		*dest = place;
		*room = place_room;
	}
	return stop_at_header ? RX_STOP : RX_OK;
}

static enum rx_verdict on_complete(struct rx *r, const uint8_t *bhs, bool is_digest_ok)
{
	(void)r;
	(void)bhs;
	completes++;
	bad_digests += !is_digest_ok;
	return RX_OK;
}

static void on_bad_header(struct rx *r, const uint8_t *bhs, enum rx_fault fault)
{
	(void)r;
	(void)bhs;
	bad_headers += fault == RX_FAULT_DIGEST;
}

static const struct rx_ops ops = { on_header, on_complete, on_bad_header };

static void setup(void)
{
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	fcntl(fds[1], F_SETFL, O_NONBLOCK);
	rx_init(&rx, &ops, staging);
	headers = completes = bad_digests = bad_headers = 0;
	stop_at_header = false;
	has_place = true;
	place_room = sizeof(place);
	memset(place, 0, sizeof(place));
}

static void teardown(void)
{
	close(fds[0]);
	if (fds[1] >= 0)
		close(fds[1]);
}

static void feed(const void *p, size_t bytes)
{
	CU_ASSERT_EQUAL_FATAL(write(fds[1], p, bytes), (ssize_t)bytes);
}

/* Data-In (0x25), final, DataSegmentLength 5: "hello" and three bytes of padding. */
static const uint8_t data_in[56] = {
	0x25, 0x80, 0, 0, 0, 0, 0, 5, [16] = 0, 0, 0, 7, 0xff, 0xff, 0xff, 0xff,
	[48] = 'h', 'e', 'l', 'l', 'o', 0, 0, 0,
};

static void test_rx_hands_out_a_whole_pdu(void)
{
	setup();
	feed(data_in, sizeof(data_in));
	CU_ASSERT_EQUAL(rx_run(&rx, fds[0], 1 << 20), RX_AGAIN);
	CU_ASSERT_EQUAL(headers, 1);
	CU_ASSERT_EQUAL(completes, 1);
	CU_ASSERT_EQUAL(memcmp(place, "hello\0", 6), 0);
	CU_ASSERT_FALSE(rx_has_buffered(&rx));
	teardown();
}

static void test_rx_takes_one_byte_at_a_time(void)
{
	setup();
	for (unsigned round = 0; round < 3; round++)
		for (size_t i = 0; i < sizeof(data_in); i++) {
			feed(data_in + i, 1);
			CU_ASSERT_EQUAL(rx_run(&rx, fds[0], 1 << 20), RX_AGAIN);
			CU_ASSERT_EQUAL(completes, round + (i + 1 == sizeof(data_in)));
		}
	CU_ASSERT_EQUAL(memcmp(place, "hello", 5), 0);
	teardown();
}

static void test_rx_hands_out_many_pdus_of_one_read(void)
{
	uint8_t many[56 * 100];

	setup();
	for (unsigned i = 0; i < 100; i++)
		memcpy(many + i * 56, data_in, 56);
	feed(many, sizeof(many));
	CU_ASSERT_EQUAL(rx_run(&rx, fds[0], 1 << 20), RX_AGAIN);
	CU_ASSERT_EQUAL(completes, 100);
	teardown();
}

static void test_rx_puts_a_long_segment_in_its_place(void)
{
	static uint8_t pdu[48 + 200000 + 48];
	size_t sent = 0;

	setup();
	memset(pdu, 0, sizeof(pdu));
	pdu[0] = 0x25;
	put_be24(pdu + 5, 200000);
	for (unsigned i = 0; i < 200000; i++)
		pdu[48 + i] = (uint8_t)(i * 13 + i / 251);
	pdu[48 + 200000] = 0x20; /* a NOP-In behind it */
	while (sent < sizeof(pdu)) {
		ssize_t n = write(fds[1], pdu + sent, sizeof(pdu) - sent);

		if (n > 0)
			sent += (size_t)n;
		CU_ASSERT_EQUAL(rx_run(&rx, fds[0], 1 << 16), RX_AGAIN);
	}
	while (rx_run(&rx, fds[0], 1 << 16) == RX_AGAIN && completes < 2)
		;
	CU_ASSERT_EQUAL(completes, 2);
	CU_ASSERT_EQUAL(last_bhs[0], 0x20);
	CU_ASSERT_EQUAL(memcmp(place, pdu + 48, 200000), 0);
	teardown();
}

static void test_rx_skips_what_has_no_room(void)
{
	setup();
	place_room = 2;
	feed(data_in, sizeof(data_in));
	feed(data_in, sizeof(data_in));
	CU_ASSERT_EQUAL(rx_run(&rx, fds[0], 1 << 20), RX_AGAIN);
	CU_ASSERT_EQUAL(completes, 2);
	CU_ASSERT_EQUAL(memcmp(place, "he\0\0\0", 5), 0);
	has_place = false;
	feed(data_in, sizeof(data_in));
	CU_ASSERT_EQUAL(rx_run(&rx, fds[0], 1 << 20), RX_AGAIN);
	CU_ASSERT_EQUAL(completes, 3);
	teardown();
}

static void test_rx_refuses_a_segment_over_the_limit(void)
{
	setup();
	rx.max_data_bytes = 4;
	feed(data_in, sizeof(data_in));
	CU_ASSERT_EQUAL(rx_run(&rx, fds[0], 1 << 20), RX_BROKEN);
	CU_ASSERT_PTR_NOT_NULL(rx.problem);
	CU_ASSERT_EQUAL(headers, 0);
	CU_ASSERT_EQUAL(rx_run(&rx, fds[0], 1 << 20), RX_BROKEN);
	teardown();
}

/* RFC 7143 appendix A.4 (B.4 of RFC 3720): CRC32C of 32 zero bytes is aa 36 91 8a on the wire. */
static void test_rx_checks_the_data_digest(void)
{
	uint8_t pdu[48 + 32 + 4] = { 0x25, 0x80, 0, 0, 0, 0, 0, 32 };
	static const uint8_t digest[4] = { 0xaa, 0x36, 0x91, 0x8a };

	setup();
	rx.has_data_digest = true;
	memcpy(pdu + 80, digest, 4);
	feed(pdu, sizeof(pdu));
	CU_ASSERT_EQUAL(rx_run(&rx, fds[0], 1 << 20), RX_AGAIN);
	CU_ASSERT_EQUAL(completes, 1);
	CU_ASSERT_EQUAL(bad_digests, 0);
	pdu[60] ^= 0x10;
	for (size_t i = 0; i < sizeof(pdu); i++) { /* and when it comes in pieces */
		feed(pdu + i, 1);
		CU_ASSERT_EQUAL(rx_run(&rx, fds[0], 1 << 20), RX_AGAIN);
	}
	CU_ASSERT_EQUAL(completes, 2);
	CU_ASSERT_EQUAL(bad_digests, 1);
	teardown();
}

static void test_rx_refuses_a_bad_header_digest(void)
{
	uint8_t pdu[52];

	setup();
	rx.has_header_digest = true;
	memcpy(pdu, data_in, 48);
	memset(pdu + 48, 0x5a, 4);
	feed(pdu, sizeof(pdu));
	CU_ASSERT_EQUAL(rx_run(&rx, fds[0], 1 << 20), RX_BROKEN);
	CU_ASSERT_EQUAL(headers, 0);
	teardown();
}

/* data_in with both digests. */
static void put_digests(uint8_t pdu[64])
{
	memcpy(pdu, data_in, 48);
	put_le32(pdu + 48, crc32c(pdu, 48));
	memcpy(pdu + 52, data_in + 48, 8);
	put_le32(pdu + 60, crc32c(pdu + 52, 8));
}

static void setup_resync(void)
{
	setup();
	rx.has_header_digest = rx.has_data_digest = rx.may_resync = true;
	rx.max_data_bytes = 8192;
}

/* 7.8: the PDU is skipped by its tentative length, and the next header proves that it was right. */
static void test_rx_goes_on_behind_a_bad_header(void)
{
	uint8_t pdus[3][64];

	for (unsigned bad = 0; bad < 3; bad++) {
		setup_resync();
		for (unsigned i = 0; i < 3; i++)
			put_digests(pdus[i]);
		pdus[bad][17] ^= 4; /* its tag */
		for (unsigned i = 0; i < 3; i++)
			for (unsigned k = 0; k < 64; k++) {
				feed(&pdus[i][k], 1);
				CU_ASSERT_EQUAL(rx_run(&rx, fds[0], 1 << 20), RX_AGAIN);
			}
		CU_ASSERT_EQUAL(bad_headers, 1);
		CU_ASSERT_EQUAL(headers, 2);
		CU_ASSERT_EQUAL(completes, 2);
		CU_ASSERT_EQUAL(bad_digests, 0);
		CU_ASSERT_EQUAL(rx.pdus, 2);
		CU_ASSERT_EQUAL(rx.is_lost, bad == 2);
		teardown();
	}
}

static void test_rx_two_bad_headers_in_a_row_are_the_end(void)
{
	uint8_t pdus[3][64];

	setup_resync();
	for (unsigned i = 0; i < 3; i++)
		put_digests(pdus[i]);
	pdus[0][20] ^= 1;
	pdus[1][48] ^= 1;
	feed(pdus, sizeof(pdus));
	CU_ASSERT_EQUAL(rx_run(&rx, fds[0], 1 << 20), RX_BROKEN);
	CU_ASSERT_EQUAL(headers, 0);
	CU_ASSERT_EQUAL(bad_headers, 2);
	teardown();
}

static void test_rx_a_wrong_length_is_the_end(void)
{
	uint8_t pdus[3][64];

	setup_resync();
	for (unsigned i = 0; i < 3; i++)
		put_digests(pdus[i]);
	pdus[0][7] = 13; /* one word too many is skipped */
	feed(pdus, sizeof(pdus));
	CU_ASSERT_EQUAL(rx_run(&rx, fds[0], 1 << 20), RX_BROKEN);
	CU_ASSERT_EQUAL(headers, 0);
	teardown();
	setup_resync();
	put_digests(pdus[0]);
	pdus[0][5] = 1; /* 65541 bytes: more than anybody may send */
	feed(pdus[0], 64);
	CU_ASSERT_EQUAL(rx_run(&rx, fds[0], 1 << 20), RX_BROKEN);
	CU_ASSERT_EQUAL(bad_headers, 1);
	teardown();
}

static void test_rx_takes_additional_header_segments(void)
{
	uint8_t pdu[48 + 1020] = { 0x21, 0x80, 0, 0, 255 };

	setup();
	feed(pdu, sizeof(pdu));
	feed(data_in, sizeof(data_in));
	CU_ASSERT_EQUAL(rx_run(&rx, fds[0], 1 << 20), RX_AGAIN);
	CU_ASSERT_EQUAL(completes, 2);
	CU_ASSERT_EQUAL(last_bhs[0], 0x25);
	teardown();
}

static void test_rx_tells_the_end_of_the_stream(void)
{
	setup();
	feed(data_in, 20);
	close(fds[1]);
	fds[1] = -1;
	CU_ASSERT_EQUAL(rx_run(&rx, fds[0], 1 << 20), RX_AGAIN);
	CU_ASSERT_EQUAL(rx_run(&rx, fds[0], 1 << 20), RX_CLOSED);
	CU_ASSERT_EQUAL(headers, 0);
	teardown();
}

static void test_rx_stops_when_told(void)
{
	setup();
	stop_at_header = true;
	feed(data_in, sizeof(data_in));
	feed(data_in, sizeof(data_in));
	CU_ASSERT_EQUAL(rx_run(&rx, fds[0], 1 << 20), RX_STOPPED);
	CU_ASSERT_EQUAL(headers, 1);
	CU_ASSERT_EQUAL(completes, 0);
	teardown();
}

UNIT_MAIN("rx", UNIT(test_rx_hands_out_a_whole_pdu), UNIT(test_rx_takes_one_byte_at_a_time),
	  UNIT(test_rx_hands_out_many_pdus_of_one_read),
	  UNIT(test_rx_puts_a_long_segment_in_its_place), UNIT(test_rx_skips_what_has_no_room),
	  UNIT(test_rx_refuses_a_segment_over_the_limit), UNIT(test_rx_checks_the_data_digest),
	  UNIT(test_rx_refuses_a_bad_header_digest),
	  UNIT(test_rx_goes_on_behind_a_bad_header),
	  UNIT(test_rx_two_bad_headers_in_a_row_are_the_end),
	  UNIT(test_rx_a_wrong_length_is_the_end),
	  UNIT(test_rx_takes_additional_header_segments),
	  UNIT(test_rx_tells_the_end_of_the_stream), UNIT(test_rx_stops_when_told))
