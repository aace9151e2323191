/* SPDX-License-Identifier: MIT */
/* One 16550 UART, driven by its interrupt in both directions. Callers serialise output (lib/print.c). */
#pragma once
#include "lib/types.h"

void serial_init(uint16_t port, uint32_t baud);  /* baud 0: as it is; nothing there: later calls do nothing */
/* \n as \r\n. Does not wait: text that finds no room is left out. n = 0: goes on with what waits; any caller, any lock. */
void serial_write(const char *s, size_t n);
void serial_polled(bool on);                     /* on: what waits goes out now, and each serial_write waits until all is out */
size_t serial_room(void);                        /* bytes that the console's holder may write now; 0: asks for serial_room_made */
bool serial_room_made(void);                     /* true once after a serial_room of 0, when there is room: tell the holder */
bool serial_waiting(void);                       /* bytes wait for the line, or the holder for room */
void serial_irq_init(void);                      /* routes the line's interrupt; input before that stays in the UART */
void serial_irq_watch(void);                     /* boot CPU, timers are there: if the interrupt does not come, a timer polls, and says so */
size_t serial_read(char *buf, size_t n);         /* from the receive ring */
