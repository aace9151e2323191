/* SPDX-License-Identifier: MIT */
/*
 * The core's log: a ring in memory and the serial line. printk takes the
 * formats of common/format.h. Every line on the wire carries the prefix "(BH) ". While a domain has claimed
 * the console the wire is its own and lines go to the ring alone, and the listener tells it.
 */
#pragma once
#include "base/types.h"
#include "common/format.h"

enum loglevel { LOG_ERR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* One line, without its newline; 300 bytes of it at most. Any context, NMI and exceptions included: takes the console lock, and a
 * line that comes while its own CPU prints follows that one. Nothing where lvl is above loglvl=. */
void printk(enum loglevel lvl, const char *fmt, ...) __printf(2, 3);
void vprintk(enum loglevel lvl, const char *fmt, __builtin_va_list ap);

#define log_err(...)   printk(LOG_ERR, __VA_ARGS__)
#define log_warn(...)  printk(LOG_WARN, __VA_ARGS__)
#define log_info(...)  printk(LOG_INFO, __VA_ARGS__)
#define log_debug(...) printk(LOG_DEBUG, __VA_ARGS__)

/* The core is broken: takes the console back, prints reason and registers, stops every CPU, then resets
 * (or halts with `noreboot`). Never for anything that a domain can cause. */
void panic(const char *fmt, ...) __printf(1, 2) __noreturn;

void machine_check(void) __noreturn; /* #MC, in the core or in a guest: panics with what the CPU says of it */

#define BUG_ON(c)                                       \
    do {                                                \
        if (unlikely(c))                                \
            panic("%s:%d: %s", __FILE__, __LINE__, #c); \
    } while (0)
#ifdef NDEBUG
#define ASSERT(c) ((void)0)
#else
#define ASSERT(c) BUG_ON(!(c))
#endif

/* Console input and output for the domain that holds the physical console (console_io). */
size_t console_read(char *buf, size_t n);      /* bytes taken from the receive ring */
void console_write(const char *buf, size_t n); /* raw bytes to the wire, \n as \r\n */
/* The same, if nobody prints; force: whoever does is thought to hang. False: not now. */
bool console_try_write(const char *buf, size_t n, bool force) __must_check;
void console_claim(bool claim); /* see above; panic and domain death take it back */
/* Who tells the console's holder of new lines while it has claimed the console. Set before anybody may claim it. */
struct print_listener {
    void (*soon)(void); /* any lock may be held: has print_deferred called on this CPU with none */
    void (*now)(void);  /* there are new lines; no lock held */
};
void print_listen(const struct print_listener *l);
/* Reads the log ring from absolute position *pos (moved up to the oldest byte kept); returns bytes. */
size_t log_read(uint64_t *pos, char *buf, size_t n);
