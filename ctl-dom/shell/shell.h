/* SPDX-License-Identifier: MIT */
#pragma once
struct edit;
struct edit *shell_edit(void);
