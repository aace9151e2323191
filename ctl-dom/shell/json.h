/* SPDX-License-Identifier: MIT */
/*
 * JSON (RFC 8259) onto the screen, a member a line, as xl's lists have it. Inside an array, and for the outermost value, key is NULL.
 */
#pragma once
#include <stdint.h>

void json_open(const char *key, char bracket); /* '{' or '[' */
void json_close(char bracket);                 /* '}' or ']' */
void json_text(const char *key, const char *val);
void json_number(const char *key, uint64_t val);
