/* SPDX-License-Identifier: MIT */
// LINK: ctl-dom/shell/split.c
// FLAGS: -Ictl-dom
/* split FILE: each line as the shell cuts it into words. */
#include <stdio.h>
#include <string.h>
#include "shell/split.h"

int main(int argc, char **argv)
{
    static char line[4096];
    FILE *f = argc > 1 ? fopen(argv[1], "r") : NULL;

    while (f && fgets(line, sizeof(line), f)) {
        char *word[64];
        const char *why = "";
        line[strcspn(line, "\n")] = 0;
        printf("%s\n   ", line);
        int n = shell_split(line, word, 64, &why);
        for (int i = 0; i < n; i++)
            printf(" [%s]", word[i]);
        printf("%s\n", n < 0 ? why : "");
    }
    return 0;
}
