/* SPDX-License-Identifier: MIT */
/* The handful of C string functions that the core uses. */
#pragma once
#include "common/string.h"
