/* SPDX-License-Identifier: MIT */
/* What tests/unit/shim/shim.c offers to a test beside weak versions of the core's base. */
#pragma once
#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Machine memory: maddr 0 is shim_ram()[0]. Made on first use, SHIM_RAM_BYTES long, zeroed. */
#ifndef SHIM_RAM_BYTES
#define SHIM_RAM_BYTES (64u << 20)
#endif
uint8_t *shim_ram(void);
extern uint64_t shim_core_pages; /* pages that core_alloc (the weak one) has out */
extern uint64_t shim_now_ns;     /* what now_ns (the weak one) says */
extern bool shim_verbose;        /* printk goes to stderr */
extern char shim_log[65536];     /* everything printed, NUL-terminated */
void shim_log_clear(void);
/* A test that expects panic: if (setjmp(shim_panic_jmp) == 0) { shim_panic_armed = true; ...; fail(); } */
extern jmp_buf shim_panic_jmp;
extern bool shim_panic_armed;
extern unsigned shim_cpu; /* this_cpu() is cpus[shim_cpu] (the weak ones) */
