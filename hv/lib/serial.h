/* SPDX-License-Identifier: MIT */
/* One 16550 UART: polled output, interrupt-driven input into a ring. Callers serialise output (lib/print.c). */
#pragma once
#include "lib/types.h"

void serial_init(uint16_t port, uint32_t baud);  /* nothing there: later calls do nothing */
void serial_write(const char *s, size_t n);      /* \n as \r\n */
void serial_irq_init(void);                      /* routes the line's interrupt; input before that stays in the UART */
size_t serial_read(char *buf, size_t n);         /* from the receive ring */
