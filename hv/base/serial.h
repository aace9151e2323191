/* SPDX-License-Identifier: MIT */
/* One 16550 UART, driven by its interrupt in both directions. Callers serialise output (base/print.c). */
#pragma once
#include "base/types.h"

void serial_init(uint16_t port,
                 uint32_t baud); /* baud 0: as it is; nothing there: later calls do nothing */
/* \n as \r\n. Does not wait: text that finds no room is left out. n = 0: goes on with what waits; any caller, any lock. */
void serial_write(const char *s, size_t n);
void serial_polled(bool on); /* on: what waits goes out now, and each serial_write waits until all is out */
/* Each byte that comes goes through fn first, under a lock of ours: what it writes to out, so many bytes, is what came. Given once, at the start. */
void serial_filter(unsigned (*fn)(char c, char out[4]));
size_t serial_space(void); /* bytes that serial_write takes now */
size_t serial_room(void); /* bytes that the console's holder may write now; 0: asks for serial_room_made */
bool serial_room_made(void); /* true once after a serial_room of 0, when there is room: tell the holder */
bool serial_waiting(void);               /* bytes wait for the line, or the holder for room */
size_t serial_read(char *buf, size_t n); /* from the receive ring */

/* For arch/serial_irq.c. True: input came, or there is room that the console's holder waits for; to be told by the caller. */
int serial_isa_irq(void);    /* the line's ISA interrupt, -1: no UART */
void serial_irq_on(void);    /* it is routed; input before that stays in the UART */
bool serial_interrupt(void); /* it came */
void serial_irq_again(void); /* it comes (once more) if there is anything to tell */
bool serial_look(void);      /* what the interrupt would do, without it */
