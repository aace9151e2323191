/* SPDX-License-Identifier: MIT */
/* The physical console: bytes in and out, lines that come from behind the scenes, the core's log; and the waiting, in which both go on. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dom;
struct edit;

void console_open(void);
/* The main loop's wait: serves events until then, all but the keyboard; 0: as long as it takes. Then prints what the core said. */
void con_wait(uint64_t until_ns);
void con_write(const char *s,
               size_t len); /* waits only where more than 64 KiB of it wait for the wire */
size_t con_busy(void);      /* so much of it waits for the wire */
/* Output of the command that runs, in lines that end themselves. */
void out(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* One line from behind the scenes, without its newline: never tears the prompt. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int con_peek(void);  /* the next byte from the keyboard; -1: none */
void con_getc(void); /* takes it */
/* Drops what comes before the next c; false: there is none, nothing dropped. */
bool con_skip_to(unsigned char c);
/* Takes what comes before and including the next s; false: there is none, nothing taken. */
bool con_skip_past(const char *s);
void con_drop_input(void); /* what has come from the keyboard until now */
void con_core_log(void);   /* prints new lines of the core's log */
void dmesg(const struct dom *d); /* NULL: the core's log; else the last words of d outside of its console */
void dmesg_clear(void);          /* what the core has said until now is not shown by that again */
/* What say() does now: PLAIN prints, EDITING goes around the prompt, HELD keeps lines until the console is left. */
enum con_mode { CON_PLAIN, CON_EDITING, CON_HELD };
void con_set_mode(enum con_mode m);
void con_edits(struct edit *e); /* whose prompt that is */
