/* SPDX-License-Identifier: MIT */
#pragma once

void shell_run(void) __attribute__((noreturn));
