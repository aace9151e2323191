/* SPDX-License-Identifier: MIT */
// LINK: ctl-dom/config/config.c ctl-dom/config/config_bridge.c ctl-dom/config/config_vnet.c ctl-dom/config/config_cpus.c ctl-dom/config/config_cmdline.c ctl-dom/config/config_pci.c ctl-dom/config/findings.c ctl-dom/config/known.c ctl-dom/config/settings.c ctl-dom/config/settings_text.c ctl-dom/config/settings_value.c domains/devname.c ctl-dom/config/config_disk.c ctl-dom/config/config_vif.c
// FLAGS: -Idomains/include -Ictl-dom -luuid
/* config FILE [KEY=VALUE ...]: what the control domain's parser makes of a configuration file and of words of `create`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "config/config.h"

int main(int argc, char **argv)
{
    static struct domcfg c;
    static struct findings found;
    static char text[65536], err[512];
    FILE *f = argc > 1 ? fopen(argv[1], "rb") : NULL;

    if (!f) {
        fprintf(stderr, "usage: config FILE [KEY=VALUE ...]\n");
        return 2;
    }
    size_t len = fread(text, 1, sizeof(text), f);
    const char *name = strrchr(argv[1], '/') ? strrchr(argv[1], '/') + 1 : argv[1];
    char *copy = malloc(
        len + !len); /* without a NUL behind it, so that the sanitizer sees a read past the end */
    memcpy(copy, text, len);
    int rc = config_read(&c, name, copy, len, argc - 2, argv + 2, &found);
    for (unsigned i = 0; i < found.n; i++)
        printf("%s: %s\n", found.at[i].error ? "refused" : "note", found.at[i].text);
    if (found.left)
        printf("and %u more\n", found.left);
    if (!rc && (rc = config_check(&c, name, err, sizeof(err))))
        printf("refused: %s\n", err);
    if (rc)
        return 1;
    printf("taken: name=[%s] kernel=[%s] ramdisk=[%s] image=[%s] memory=%u vcpus=%u extra=[%s]\n",
           c.name, c.kernel, c.ramdisk, c.image, c.memory_mb, c.vcpus, c.cmdline);
    for (unsigned i = 0; i < c.nr_vifs; i++) {
        const uint8_t *m = c.vif[i].mac;
        printf("  vif %u: mac=%s%02x:%02x:%02x:%02x:%02x:%02x bridge=[%s] backend=[%s]\n", i,
               c.vif[i].has_mac ? "" : "(none) ", m[0], m[1], m[2], m[3], m[4], m[5],
               c.vif[i].bridge, c.vif[i].backend);
    }
    for (unsigned i = 0; i < c.nr_disks; i++)
        printf("  disk %u: backend=[%s] volume=[%s] vdev=[%s] mode=%s\n", i, c.disk[i].backend,
               c.disk[i].volume, c.disk[i].vdev, c.disk[i].mode);
    for (unsigned i = 0; i < c.nr_pci; i++)
        printf("  pci %u: %08x\n", i, c.pci[i]);
    printf("  on_poweroff=%d on_reboot=%d on_crash=%d autostart=%d\n", c.on_poweroff, c.on_reboot,
           c.on_crash, c.autostart);
    free(copy);
    return 0;
}
