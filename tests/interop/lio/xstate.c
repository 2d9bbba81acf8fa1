/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * LD_PRELOAD for the User-Mode Linux kernel: makes it run on processors whose extended register
 * state is larger than the buffer it has for that (AMX).
 *
 * linux.uml writes the registers of its processes with PTRACE_SETREGSET and a buffer that ends
 * after PKRU. The host refuses (EFAULT) any size but the full one. So here the full state is read,
 * the part that UML has is laid over it, and all of it is written back. Components beyond UML's
 * buffer keep what the host had.
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define REGSET_XSTATE 0x202
/* Intel SDM volume 1, 13.4.2: the header follows the legacy area; its first word tells which
 * components are there. */
#define HEADER_OFFSET 512

static _Alignas(64) unsigned char full[1 << 16];

static long kernel_ptrace(long request, pid_t pid, void *addr, void *data)
{
	return syscall(SYS_ptrace, request, (long)pid, addr, data);
}

/* Which components (bits) begin within the first @size bytes. Asked once: in a virtual machine
 * CPUID is slow. */
static uint64_t components_within(size_t size)
{
	static uint64_t mask;
	static size_t mask_size;
	unsigned eax, length, offset, ecx;

	if (mask_size == size)
		return mask;
	mask = 3; /* x87 and SSE: in the legacy area */
	for (unsigned i = 2; i < 63; i++)
		if (__get_cpuid_count(0xd, i, &eax, &length, &offset, &ecx) && length &&
		    offset < size)
			mask |= 1ull << i;
	mask_size = size;
	return mask;
}

static long set_xstate(pid_t pid, void *regset, const struct iovec *part)
{
	struct iovec all = { full, sizeof(full) };
	uint64_t host, ours, mask;

	if (kernel_ptrace(PTRACE_GETREGSET, pid, regset, &all) < 0)
		return -1;
	if (part->iov_len >= all.iov_len || part->iov_len < HEADER_OFFSET + sizeof(host))
		return kernel_ptrace(PTRACE_SETREGSET, pid, regset, (void *)part);
	memcpy(&host, full + HEADER_OFFSET, sizeof(host));
	memcpy(full, part->iov_base, part->iov_len);
	memcpy(&ours, full + HEADER_OFFSET, sizeof(ours));
	mask = components_within(part->iov_len);
	ours = (ours & mask) | (host & ~mask);
	memcpy(full + HEADER_OFFSET, &ours, sizeof(ours));
	return kernel_ptrace(PTRACE_SETREGSET, pid, regset, &all);
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list list;
	va_start(list, request);
	pid_t pid = va_arg(list, pid_t);
	void *addr = va_arg(list, void *);
	void *data = va_arg(list, void *);
	va_end(list);

	switch ((int)request) {
	case PTRACE_SETREGSET:
		if ((long)addr == REGSET_XSTATE && data) {
			long r = set_xstate(pid, addr, data);
			return r < 0 ? -1 : r;
		}
		break;
	case PTRACE_PEEKTEXT:
	case PTRACE_PEEKDATA:
	case PTRACE_PEEKUSER: {
		/* the system call stores the word, the library's function returns it */
		long word = 0;
		if (kernel_ptrace(request, pid, addr, &word) < 0)
			return -1;
		errno = 0;
		return word;
	}
	}
	return kernel_ptrace(request, pid, addr, data);
}
