/* SPDX-License-Identifier: BSD-2-Clause */
/* libFuzzer target: any 48 bytes through the check and the decoder and encoder of every type.
 * Encoding what was decoded must be stable, and must keep no bit that was not there, but for
 *those that a type fixes.
 *
 *	clang -g -O1 -std=gnu17 -fsanitize=fuzzer,address,undefined -Isrc \
 *		tests/fuzz/fuzz_pdu.c src/iscsi/pdu.c -o fuzz_pdu && ./fuzz_pdu CORPUS
 */
#include "iscsi/pdu.h"

#include <stdlib.h>
#include <string.h>

#define MUST(fact)               \
	do {                     \
		if (!(fact))     \
			abort(); \
	} while (0)

/* @bhs is read from a block of its own, so that the address sanitizer sees a step too far. */
#define ROUND_TRIP(type)                                                               \
	static void round_trip_##type(const uint8_t *bhs)                              \
	{                                                                              \
		struct pdu_##type p;                                                   \
		uint8_t once[ISCSI_BHS_BYTES], twice[ISCSI_BHS_BYTES];                 \
                                                                                       \
		memset(&p, 0xee, sizeof(p));                                           \
		memset(once, 0xee, sizeof(once));                                      \
		pdu_get_##type(bhs, &p);                                               \
		pdu_put_##type(once, &p);                                              \
		pdu_get_##type(once, &p);                                              \
		pdu_put_##type(twice, &p);                                             \
		MUST(!memcmp(once, twice, sizeof(once)));                              \
		MUST(!memcmp(once + 5, bhs + 5, 3) || !memcmp(once + 5, "\0\0\0", 3)); \
		for (unsigned i = 2; i < sizeof(once); i++)                            \
			MUST(!(once[i] & ~bhs[i]) || (i >= 16 && i < 20));             \
	}
PDU_TYPES(ROUND_TRIP)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t *bhs, ahs[ISCSI_AHS_BYTES_MAX];

	if (len < ISCSI_BHS_BYTES)
		return 0;
	bhs = malloc(ISCSI_BHS_BYTES);
	MUST(bhs);
	memcpy(bhs, data, ISCSI_BHS_BYTES);
	for (enum pdu_sender s = PDU_FROM_INITIATOR; s <= PDU_FROM_TARGET; s++) {
		const char *wrong = pdu_check(bhs, s, 65536);

		if (wrong)
			MUST(pdu_check_strict(bhs, s, 65536) && *wrong);
		else
			MUST(pdu_data_bytes(bhs) <= 65536);
	}
	MUST(*pdu_name(bhs[0]));
#define CALL(type) round_trip_##type(bhs);
	PDU_TYPES(CALL)
#undef CALL
	free(bhs);
	if (len > 16 && len <= 16 + ISCSI_AHS_BYTES_MAX - 4)
		MUST(pdu_put_extended_cdb(ahs, data, len) % 4 == 0);
	return 0;
}
