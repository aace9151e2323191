/* SPDX-License-Identifier: MIT */
#include <bh.h>
int main(void);
int main(void) { return 0; }
