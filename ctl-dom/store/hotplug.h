/* SPDX-License-Identifier: MIT */
#pragma once

void cmd_block_attach(int argc, char **argv);
void cmd_block_detach(int argc, char **argv);
void cmd_block_limit(int argc, char **argv);
