/* SPDX-License-Identifier: MIT */
/* What the files of libbh share among themselves and with entry.S. Programs include bh.h. */
#pragma once
#include <common/regs.h>
#include <layout.h>

#define STACK_SIZE 0x10000
#define IST_SIZE   0x4000

#ifndef __ASSEMBLER__
#include "bh.h"
#include <xen/arch-x86/hvm/start_info.h>

/* self.c */
void hypercall_init(bool intel);
long get_param(unsigned which, uint64_t *value);

/* panic.c */
void panic_print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void panic_backtrace(uint64_t rsp);
void panic_fiber(const void *stack, size_t size); /* which its backtrace may follow, too */

/* image.S */
void run_init(void);

/* start.c */
void start_domain(const struct hvm_start_info *si) __attribute__((noreturn));

/* exceptions.c */
void exceptions_init(void);
void exception_entry(struct trap_frame *r);

/* memory.c */
void paging_init(void);
void pages_init(const struct hvm_start_info *si);
bool page_is_guard(uint64_t addr); /* of a stack */

/* event.c */
void event_init(void);
/* Waits for `port` alone: true if its event came (and was taken). May return false early; other events stay pending. */
bool event_wait_port(uint32_t port, uint64_t until_ns,
                     bool others); /* others: not while there are events of others */
/* Waits for any event; what sends are left in the batch go along. And those sends alone, where there is nothing to wait for. */
void event_block(uint64_t until_ns);
void event_send_left(void);

/* time.c */
uint64_t timers_next(void); /* system time of the earliest timer, 0 if none */
unsigned timers_run(void);

/* grant.c */
void grant_init(void);

/* console.c */
void console_init(void);
void console_emergency(const char *s,
                       size_t n); /* by CONSOLEIO_write too: for reports of a dying domain */

/* xs_client.c */
bool xs_run_watches(void); /* calls the handlers of queued watch events: true if there were any */

/* cmdline.c */
bool cmdline_find(const char *text, const char *key, char *buf, size_t n);
#endif
